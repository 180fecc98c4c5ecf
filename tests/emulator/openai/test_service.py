"""The official client against the emulator's OpenAI, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from cw_proxy.emulator import Emulator
from cw_proxy.emulator.conversation import Conversation, Tool
from cw_proxy.emulator.decision import Decision
from cw_proxy.emulator.openai.service import wished
from cw_proxy.emulator.toolbox import ToolCall

PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{emulator.url}/v1", api_key="x", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def asked(client: AsyncOpenAI, text: str, **more: Any) -> Any:
    return (await client.chat.completions.create(model="gpt-5", messages=user(text), **more)).choices[0]


async def test_whole_and_streamed(emulator: Emulator, client: AsyncOpenAI) -> None:
    whole = await asked(client, "count from 1 to 5")
    assert (whole.message.content, whole.finish_reason) == ("1 2 3 4 5", "stop")
    options: Any = {"include_usage": True}
    stream = await client.chat.completions.create(
        model="gpt-5", messages=user("count from 1 to 5"), stream=True, stream_options=options
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "1 2 3 4 5"
    assert chunks[-1].usage is not None
    assert (emulator.stats.requests, emulator.stats.completed, emulator.stats.in_flight) == (2, 2, 0)
    assert emulator.stats.last_headers["authorization"] == "Bearer ***"


async def test_a_round_of_tools(client: AsyncOpenAI) -> None:
    first = await asked(client, "what is the weather in Paris", tools=[WEATHER])
    (call,) = first.message.tool_calls
    assert (first.finish_reason, call.function.arguments) == ("tool_calls", '{"city": "Paris"}')
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages = [*user("what is the weather in Paris"), first.message.model_dump(exclude_none=True), result]
    last = await client.chat.completions.create(model="gpt-5", messages=messages, tools=[WEATHER])
    assert last.choices[0].message.content == "done: sunny"


async def test_a_picture(client: AsyncOpenAI) -> None:
    content: Any = [
        {"type": "text", "text": "describe the attached image"},
        {"type": "image_url", "image_url": {"url": PNG}},
    ]
    said = await client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": content}])
    assert (said.choices[0].message.content or "").startswith("images=1 png/8/")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("play the script throttled", openai.RateLimitError),
        ("play the script server-error", openai.InternalServerError),
        ("fault 400 times 1 id x", openai.BadRequestError),
        ("play the script no-such-script", openai.NotFoundError),
        ("play the script exception", openai.InternalServerError),
        ("play the script drop", openai.APIConnectionError),
    ],
)
async def test_failures(emulator: Emulator, client: AsyncOpenAI, text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await asked(client, text)
    assert emulator.stats.in_flight == 0


async def test_what_is_wrong_with_a_request_is_said(emulator: Emulator, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="Unknown parameter: 'top_k'"):
        await asked(client, "hello", extra_body={"top_k": 5})
    assert emulator.stats.last_rejection == "top_k: Unknown parameter: 'top_k'."
    emulator.settings.update({"check_requests": False})
    assert await asked(client, "hello", extra_body={"top_k": 5})


async def test_keys(emulator: Emulator, client: AsyncOpenAI) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{emulator.url}/v1/models") as answer:
        assert answer.status == 200, "no key at all"
    emulator.settings.update({"strict_tokens": True})
    for call in (client.models.list(), client.chat.completions.create(model="gpt-5", messages=user("x"))):
        with pytest.raises(openai.AuthenticationError):
            await call


async def test_models(emulator: Emulator, client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == emulator.settings.openai_models
    assert (await client.models.retrieve("gpt-5")).id == "gpt-5"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-6")
    with pytest.raises(openai.NotFoundError):
        await client.chat.completions.create(model="gpt-6", messages=user("x"))


async def test_a_body_that_is_no_json(emulator: Emulator, client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="parse the JSON"):
        await client.post("/chat/completions", content=b"{", cast_to=object, options={"headers": {"content-type": "x"}})


SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": WEATHER["function"]["parameters"]}}
OFFERED = Conversation((), (Tool("get_weather", WEATHER["function"]["parameters"]),))
TWO = Decision("", (ToolCall("a", {}), ToolCall("b", {})))


@pytest.mark.parametrize(
    ("decision", "body", "expected"),
    [
        (Decision("one two"), {"stop": " "}, Decision("one")),
        (Decision("one two"), {"stop": ["x", "w"]}, Decision("one t")),
        (Decision("x" * 9), {"max_completion_tokens": 2}, Decision("x" * 8, cut=True)),
        (Decision("x" * 9), {"max_tokens": 1}, Decision("x" * 4, cut=True)),
        (TWO, {"parallel_tool_calls": False}, Decision("", TWO.calls[:1])),
        (
            Decision("no"),
            {"tool_choice": "required"},
            Decision("", (ToolCall("get_weather", {"city": "emulated"}),)),
        ),
        (Decision("no"), {"response_format": SCHEMA}, Decision('{"city":"emulated"}')),
        (Decision('{"a":1}'), {"response_format": SCHEMA}, Decision('{"a":1}')),
        (Decision("no"), {"response_format": {"type": "json_object"}}, Decision("{}")),
        (Decision("no"), {"response_format": {"type": "text"}}, Decision("no")),
        (Decision(fault=429), {"stop": "x"}, Decision(fault=429)),
    ],
)
def test_wishes(decision: Decision, body: dict[str, Any], expected: Decision) -> None:
    assert wished(decision, OFFERED, body) == expected


def test_thoughts_for_those_who_want_effort() -> None:
    assert wished(Decision("a"), OFFERED, {"reasoning_effort": "high"}).thought
    assert not wished(Decision("a"), OFFERED, {"reasoning_effort": "minimal"}).thought
