"""One conversation by chat completions and by Responses, over HTTP and a WebSocket: it tells and costs the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from openai import OpenAI
from servers import Service

MODEL = "codewhisperer"
PARAMETERS: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Tells the weather.", "parameters": PARAMETERS}
ASKED = "What is the weather in Paris? And what is the weather in Rome? é 漢字 👍"
RESULTS = ["sunny", "rain"]


class Told(NamedTuple):
    """What a turn brought: text, calls, tokens."""

    text: str
    calls: list[tuple[str, str]]
    tokens: tuple[int, int]


class Conversation(NamedTuple):
    """A question, and the answer to what its tools gave back."""

    first: Told
    second: Told


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.proxy}/v1", api_key="any", max_retries=0, timeout=60) as made:
        yield made


def by_chat(client: OpenAI, stream: bool) -> Conversation:
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": ASKED}]
    told = []
    for _ in range(2):
        asked: Any = {"model": MODEL, "messages": messages, "tools": [{"type": "function", "function": FUNCTION}]}
        if stream:
            with client.chat.completions.stream(stream_options={"include_usage": True}, **asked) as events:
                answer: Any = events.get_final_completion()
        else:
            answer = client.chat.completions.create(**asked)
        message = answer.choices[0].message
        calls = message.tool_calls or []
        tokens = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
        told.append(Told(message.content or "", [_call(one.function) for one in calls], tokens))
        messages.append(
            {"role": "assistant", "content": message.content, "tool_calls": [one.to_dict() for one in calls]}
        )
        for one, result in zip(calls, RESULTS, strict=False):
            messages.append({"role": "tool", "tool_call_id": one.id, "content": result})
    return Conversation(*told)


def _call(called: Any) -> tuple[str, str]:
    return called.name, json.dumps(json.loads(called.arguments))


def responses(answer: Callable[[Any], Any]) -> Conversation:
    items: list[Any] = [{"role": "user", "content": ASKED}]
    told, previous = [], None
    for _ in range(2):
        response = answer(
            {
                "model": MODEL,
                "instructions": "Be brief.",
                "input": items,
                "tools": [{"type": "function", **FUNCTION}],
                "previous_response_id": previous,
            }
        )
        calls = [item for item in response.output if item.type == "function_call"]
        tokens = (response.usage.input_tokens, response.usage.output_tokens)
        told.append(Told(response.output_text, [_call(one) for one in calls], tokens))
        pairs = zip(calls, RESULTS, strict=False)
        items = [{"type": "function_call_output", "call_id": one.call_id, "output": result} for one, result in pairs]
        previous = response.id
    return Conversation(*told)


def by_responses(client: OpenAI, stream: bool) -> Conversation:
    def answer(asked: Any) -> Any:
        if not stream:
            return client.responses.create(**asked)
        with client.responses.stream(**asked) as events:
            return events.get_final_response()

    return responses(answer)


def by_websocket(client: OpenAI, store: bool) -> Conversation:
    with client.responses.connect() as connection:

        def answer(asked: Any) -> Any:
            connection.response.create(**{name: value for name, value in asked.items() if value}, store=store)
            for event in connection:
                if event.type == "response.completed":
                    return event.response
            raise AssertionError("the connection ended")

        return responses(answer)


@pytest.mark.parametrize("way", [by_chat, by_responses, by_websocket])
@pytest.mark.parametrize("flag", [False, True])
def test_all_ways_tell_the_same(client: OpenAI, way: Callable[[OpenAI, bool], Conversation], flag: bool) -> None:
    expected = by_chat(client, False)
    assert expected.first.calls == [("get_weather", '{"city": "Paris"}'), ("get_weather", '{"city": "Rome"}')]
    assert expected.second.text == "done: sunny | rain"
    assert way(client, flag) == expected
