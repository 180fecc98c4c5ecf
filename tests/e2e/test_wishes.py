"""What a request may wish of its answer, by the official client against the emulator in this process, both strict."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from cw_proxy.app import App
from cw_proxy.emulator import Emulator

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "description": "d", "parameters": CITY}}
    for name in ("get_weather", "get_time")
]


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture
async def client(app: App) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{app.url}/v1", api_key="dummy", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def call(name: str, arguments: str, stop: bool = True) -> dict[str, Any]:
    return {"tool": {"toolUseId": f"tooluse_{name}", "name": name}, "fragments": [arguments], "stop": stop}


def play(emulator: Emulator, *takes: list[Any]) -> None:
    """Whatever is asked from here on, the model answers with the takes, call by call; the last one stays."""
    emulator.settings.default_script = f"takes-{len(emulator.scripts)}"
    emulator.scripts[emulator.settings.default_script] = [{"takes": [*takes]}]


class Asker:
    """Asks, whole or streamed and folded by the client; `takes` as in `play`."""

    def __init__(self, client: AsyncOpenAI, stream: bool, emulator: Emulator) -> None:
        self.client = client
        self.streams = stream
        self._emulator = emulator

    async def ask(self, text: str, *takes: list[Any], **members: Any) -> Any:
        if takes:
            play(self._emulator, *takes)
        asked = {"model": "auto", "messages": user(text), **members}
        if not self.streams:
            return await self.client.chat.completions.create(**asked)
        async with self.client.chat.completions.stream(**asked) as stream:
            try:
                return await stream.get_final_completion()
            except openai.LengthFinishReasonError as cut:
                return cut.completion

    @property
    def calls(self) -> int:
        return self._emulator.stats.requests


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def asker(client: AsyncOpenAI, emulator: Emulator, request: pytest.FixtureRequest) -> Asker:
    return Asker(client, request.param, emulator)


# --- structured output ---


async def test_an_answer_is_parsed_into_a_model(client: AsyncOpenAI) -> None:
    question = user('Answer with the json {"name": "Ada", "age": 36}')
    answer = await client.chat.completions.parse(model="auto", messages=question, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
    async with client.chat.completions.stream(model="auto", messages=question, response_format=Person) as stream:
        assert (await stream.get_final_completion()).choices[0].message.parsed == Person(name="Ada", age=36)


async def test_a_wrong_answer_is_asked_for_again_once(client: AsyncOpenAI, emulator: Emulator) -> None:
    wrong, right = [{"text": '{"name": "Ada"}'}], [{"text": '{"name": "Ada", "age": 36}'}]
    play(emulator, wrong, right)
    asked: Any = {"model": "auto", "messages": user("Who?"), "response_format": Person}
    answer = await client.chat.completions.parse(**asked)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)
    assert answer.x_cw["rounds"] == 2  # type: ignore[attr-defined]  # a member of ours
    assert emulator.stats.requests == 2
    play(emulator, wrong)
    with pytest.raises(openai.InternalServerError) as raised:
        await client.chat.completions.parse(**asked)
    assert (raised.value.status_code, raised.value.code) == (502, "invalid_structured_output")
    assert "age" in raised.value.message
    assert emulator.stats.requests == 4


JSON = {"type": "json_object"}


async def test_a_json_object(asker: Asker) -> None:
    answer = await asker.ask('Answer with the json {"a": [1]}', response_format=JSON)
    assert json.loads(answer.choices[0].message.content) == {"a": [1]}
    answer = await asker.ask("Now.", [{"text": '```json\n{"a": 1}\n```'}], response_format=JSON)
    assert json.loads(answer.choices[0].message.content) == {"a": 1}
    # The client's helper for streams keeps no members that it does not know.
    assert asker.streams or answer.x_cw["unwrapped"] == "code fence"


async def test_what_is_no_json_never_comes_with_a_200(asker: Asker) -> None:
    with pytest.raises(openai.InternalServerError):
        await asker.ask("Reply with exactly the token PONG", response_format=JSON)


async def test_a_schema_that_is_none_is_refused_at_once(asker: Asker) -> None:
    wrong: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nothing"}}}
    with pytest.raises(openai.BadRequestError) as raised:
        await asker.client.chat.completions.create(model="auto", messages=user("hi"), response_format=wrong)
    assert raised.value.param == "response_format.json_schema.schema"
    assert asker.calls == 0


async def test_tools_and_a_format_go_together(asker: Asker) -> None:
    answer = await asker.ask("What is the weather in Oslo?", tools=TOOLS, response_format=JSON)
    assert [one.function.name for one in answer.choices[0].message.tool_calls] == ["get_weather"]


# --- which tool ---


async def test_a_named_tool_is_the_only_one_offered(asker: Asker) -> None:
    choice = {"type": "function", "function": {"name": "get_time"}}
    answer = await asker.ask('Call tool get_time with {"city": "Oslo"}', tools=TOOLS, tool_choice=choice)
    assert [one.function.name for one in answer.choices[0].message.tool_calls] == ["get_time"]


async def test_a_model_that_calls_nothing_is_asked_again_once(asker: Asker) -> None:
    silent, calling = [{"text": "It is warm."}], [call("get_weather", '{"city":"Oslo"}')]
    answer = await asker.ask("Now.", silent, calling, tools=TOOLS, tool_choice="required")
    assert [one.function.name for one in answer.choices[0].message.tool_calls] == ["get_weather"]
    assert not answer.choices[0].message.content
    with pytest.raises(openai.InternalServerError) as raised:
        await asker.ask("Now.", silent, tools=TOOLS, tool_choice="required")
    assert raised.value.code == "tool_choice_unmet"
    assert asker.calls == 4


async def test_one_call_at_a_time(asker: Asker) -> None:
    two = [call("get_weather", '{"city":"Oslo"}'), call("get_time", '{"city":"Oslo"}')]
    answer = await asker.ask("Now.", two, tools=TOOLS, parallel_tool_calls=False)
    assert [one.function.name for one in answer.choices[0].message.tool_calls] == ["get_weather"]
    assert asker.streams or answer.x_cw["tool_calls_left_out"] == 1


# --- how much ---


async def test_several_answers(asker: Asker) -> None:
    answer = await asker.ask("Count from 1 to 9", n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"1 2 3 4 5 6 7 8 9"}
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}
    assert asker.calls == 3


async def test_several_answers_cost_the_question_once(client: AsyncOpenAI) -> None:
    question = user("Count from 1 to 9")
    one = await client.chat.completions.create(model="auto", messages=question)
    three = await client.chat.completions.create(model="auto", messages=question, n=3)
    assert one.usage is not None
    assert three.usage is not None
    assert three.usage.completion_tokens == 3 * one.usage.completion_tokens
    stream = await client.chat.completions.create(
        model="auto", messages=question, n=3, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].usage == three.usage
    assert [chunk.choices for chunk in chunks if not chunk.choices] == [[]]


async def test_an_error_in_one_answer_is_an_error(asker: Asker) -> None:
    broken = [{"text": "Half a "}, {"exception": "error", "payload": {"message": "It broke."}}]
    with pytest.raises(openai.APIError):
        await asker.ask("Now.", [{"text": "Whole."}], broken, n=3)


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_is_cut_where_the_model_cannot_be_told(asker: Asker, limit: str) -> None:
    answer = await asker.ask("Count from 1 to 200", **{limit: 20})
    [choice] = answer.choices
    assert choice.finish_reason == "length"
    assert " ".join(map(str, range(1, 201))).startswith(choice.message.content)
    assert 0 < len(choice.message.content) < 100


async def test_the_cut_is_estimated_and_says_so(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="auto", messages=user("Count from 1 to 200"), max_tokens=20)
    assert answer.usage is not None
    assert 10 <= answer.usage.completion_tokens <= 20
    assert answer.usage.cw_usage_source == "estimated"  # type: ignore[attr-defined]  # a member of ours


async def test_a_model_that_can_be_told_is_told(asker: Asker, emulator: Emulator) -> None:
    answer = await asker.ask("Count from 1 to 200", model="claude-opus-4.5", max_tokens=20, reasoning_effort="high")
    [choice] = answer.choices
    assert choice.finish_reason == "length"
    if not asker.streams:
        assert choice.message.reasoning_content


@pytest.mark.parametrize(
    ("model", "ignored"), [("claude-opus-4.5", "temperature"), ("auto", "temperature, reasoning_effort")]
)
async def test_what_changes_nothing_is_said(client: AsyncOpenAI, model: str, ignored: str) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model=model,
        messages=user("hi"),
        temperature=0.5,
        reasoning_effort="low",
        max_tokens=500,
        parallel_tool_calls=True,
    )
    assert raw.headers["x-cw-proxy-ignored"] == ignored


async def test_logprobs_are_refused(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.chat.completions.create(model="auto", messages=user("hi"), logprobs=True)
    assert (raised.value.code, raised.value.param) == ("unsupported_parameter", "logprobs")


async def test_a_text_ends_before_its_stop(asker: Asker) -> None:
    answer = await asker.ask("Count from 1 to 50", stop=[" 17 1"])
    assert answer.choices[0].message.content == " ".join(map(str, range(1, 17)))
    answer = await asker.ask("Count from 1 to 50", stop="5", n=2, max_tokens=400)
    assert [choice.message.content for choice in answer.choices] == ["1 2 3 4 "] * 2
