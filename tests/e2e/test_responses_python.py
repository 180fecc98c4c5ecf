"""Responses by the official Python SDK, unmodified: only its base_url is ours. It validates every answer strictly."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from servers import Service

MODEL = "codewhisperer"
PONG = "Reply with exactly the token PONG"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "name": "get_weather", "description": "w", "parameters": SCHEMA, "strict": False}
NOTE: Any = {"type": "custom", "name": "note", "description": "takes a note"}
NUMBERS = " ".join(map(str, range(1, 21)))


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[OpenAI]:
    with OpenAI(**options(service)) as made:
        yield made


def options(service: Service) -> Any:
    url = f"{service.proxy}/v1"
    return {"base_url": url, "api_key": "any", "max_retries": 0, "timeout": 60, "_strict_response_validation": True}


# --- over HTTP ---


def test_a_whole_answer(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=PONG, metadata={"a": "b"})
    assert (response.output_text, response.status, response.metadata) == ("PONG", "completed", {"a": "b"})
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0


def test_a_stream_is_one_response_from_created_to_completed(client: OpenAI) -> None:
    events = list(client.responses.create(model=MODEL, input="Count from 1 to 20", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 3
    assert "".join(deltas) == NUMBERS


def test_the_sdk_s_own_stream(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="Count from 1 to 20") as stream:
        assert stream.get_final_response().output_text == NUMBERS


def test_instructions_reach_the_model_and_end_with_their_turn(client: OpenAI) -> None:
    asked = "State the system token"
    first = client.responses.create(model=MODEL, input=asked, instructions="The system token is S-7.")
    assert first.output_text == "system: S-7"
    second = client.responses.create(model=MODEL, input=asked, previous_response_id=first.id)
    assert second.output_text == "system: none"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_tool_is_called_and_its_result_comes_back(client: OpenAI, stream: bool) -> None:
    asked: Any = {"model": MODEL, "tools": [WEATHER]}
    if stream:
        with client.responses.stream(input="What is the weather in Paris?", **asked) as events:
            first: Any = events.get_final_response()
    else:
        first = client.responses.create(input="What is the weather in Paris?", **asked)
    [call] = first.output
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "get_weather", {"city": "Paris"})
    result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    assert client.responses.create(input=result, previous_response_id=first.id, **asked).output_text == "done: sunny"
    history: Any = [{"role": "user", "content": "What is the weather in Paris?"}, *first.output, *result]
    assert client.responses.create(input=history, store=False, **asked).output_text == "done: sunny"


def test_a_custom_tool_takes_text(client: OpenAI) -> None:
    asked = 'Call tool note with {"input": "a \\"quoted\\" 👍\\n line"}'
    events = list(client.responses.create(model=MODEL, input=asked, tools=[NOTE], stream=True))
    deltas = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
    last: Any = events[-1]
    [call] = last.response.output
    assert (call.type, call.name, call.input) == ("custom_tool_call", "note", 'a "quoted" 👍\n line')
    assert "".join(deltas) == call.input
    result: Any = [{"type": "custom_tool_call_output", "call_id": call.call_id, "output": "kept"}]
    on = client.responses.create(model=MODEL, input=result, tools=[NOTE], previous_response_id=last.response.id)
    assert on.output_text == "done: kept"


def test_a_tool_of_a_namespace(client: OpenAI) -> None:
    namespace: Any = {"type": "namespace", "name": "crm", "description": "d", "tools": [WEATHER]}
    asked = "What is the weather in Rome?"
    response = client.responses.create(model=MODEL, input=asked, tools=[namespace, {"type": "web_search"}])
    [call] = response.output
    assert call.type == "function_call"
    assert (call.name, call.namespace, json.loads(call.arguments)) == ("get_weather", "crm", {"city": "Rome"})


def test_what_is_left_out_is_named(client: OpenAI) -> None:
    raw = client.responses.with_raw_response.create(
        model=MODEL, input=PONG, tools=[{"type": "web_search"}], temperature=0.5
    )
    assert raw.headers["x-cw-proxy-ignored"] == "temperature, tools[web_search]"


def test_structured_output(client: OpenAI) -> None:
    parsed = client.responses.parse(
        model=MODEL, input='Answer with the json {"name":"Ada","age":36}', text_format=Person
    )
    assert parsed.output_parsed == Person(name="Ada", age=36)


def test_a_limit_makes_an_answer_incomplete(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input="Count from 1 to 120", max_output_tokens=5)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert 0 < len(response.output_text) < 40


def test_kept_responses(client: OpenAI) -> None:
    first = client.responses.create(model=MODEL, input="Please remember the token T-1")
    second = client.responses.create(model=MODEL, input="List every remembered token", previous_response_id=first.id)
    assert second.output_text == "remembered: T-1"
    assert client.responses.retrieve(second.id) == second
    listed = list(client.responses.input_items.list(second.id, limit=1, order="asc"))
    assert [item.type for item in listed] == ["message"] * 3
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(second.id)
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)


def test_what_is_not_stored_is_unknown(client: OpenAI) -> None:
    first = client.responses.create(model=MODEL, input=PONG, store=False)
    with pytest.raises(openai.BadRequestError) as raised:
        client.responses.create(model=MODEL, input="x", previous_response_id=first.id)
    assert (raised.value.code, raised.value.param) == ("previous_response_not_found", "previous_response_id")


def test_another_key_s_responses_are_unknown(client: OpenAI, service: Service) -> None:
    first = client.responses.create(model=MODEL, input=PONG)
    with OpenAI(**{**options(service), "api_key": "another"}) as other, pytest.raises(openai.NotFoundError):
        other.responses.retrieve(first.id)


def test_tokens_can_be_counted(client: OpenAI) -> None:
    few = client.responses.input_tokens.count(model=MODEL, input="hello")
    many = client.responses.input_tokens.count(model=MODEL, input="hello " * 100, tools=[WEATHER])
    assert 0 < few.input_tokens < many.input_tokens


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_errors_before_the_answer_have_their_status(client: OpenAI, stream: bool) -> None:
    for script, error in {"throttled": openai.RateLimitError, "too-long": openai.BadRequestError}.items():
        with pytest.raises(error):
            client.responses.create(model=MODEL, input=f"Play the script {script}", stream=stream)


def test_an_answer_that_breaks_is_never_a_short_one(client: OpenAI, breaking: str) -> None:
    asked = f"Play the script {breaking}"
    events = list(client.responses.create(model=MODEL, input=asked, stream=True))
    last: Any = events[-1]
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert last.response.error.code in ("server_error", "rate_limit_exceeded")
    with pytest.raises(openai.APIStatusError):
        client.responses.create(model=MODEL, input=asked)


# --- over a WebSocket ---


def turn(connection: Any, **asked: Any) -> Any:
    """The response of a turn, or the error."""
    connection.response.create(model=MODEL, **asked)
    text = ""
    for event in connection:
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "error":
            return event
        elif event.type == "response.completed":
            assert text == event.response.output_text
            return event.response
        elif event.type == "response.failed":
            return event.response
    raise AssertionError("the connection ended")


def test_turns_over_a_websocket(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        first = turn(connection, input="Please remember the token T-2", store=False)
        on = turn(connection, input="List every remembered token", previous_response_id=first.id, store=False)
        assert on.output_text == "remembered: T-2"
        assert on.usage.total_tokens > 0
        called = turn(connection, input="What is the weather in Oslo?", tools=[WEATHER], store=False)
        [call] = called.output
        result = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
        on = turn(connection, input=result, tools=[WEATHER], previous_response_id=called.id, store=False)
        assert on.output_text == "done: rain"


def test_a_warm_up_over_a_websocket(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        warm = turn(connection, input="Please remember the token T-3", generate=False, store=False)
        assert (warm.status, warm.output) == ("completed", [])
        on = turn(connection, input="List every remembered token", previous_response_id=warm.id, store=False)
        assert on.output_text == "remembered: T-3"


def test_errors_over_a_websocket_leave_it_open(client: OpenAI) -> None:
    with client.responses.connect() as connection:
        wrong = turn(connection, input="x", previous_response_id="resp_missing", store=False)
        assert (wrong.status, wrong.error.code) == (400, "previous_response_not_found")
        slow = turn(connection, input="Play the script throttled", store=False)
        assert (slow.status, slow.error.code) == (429, "rate_limit_exceeded")
        broken = turn(connection, input="Play the script exception", store=False)
        assert broken.status == "failed"
        assert turn(connection, input=PONG, store=False).output_text == "PONG"


async def test_lanes_over_a_websocket(service: Service) -> None:
    lanes = [f"lane-{number}" for number in range(4)]
    texts = dict.fromkeys(lanes, "")
    async with AsyncOpenAI(**options(service)) as client, client.responses.connect() as connection:
        for lane in lanes:
            for text in ("Count from 1 to 20", f"Reply with exactly the token {lane}"):
                await connection.response.create(model=MODEL, input=text, stream_id=lane, store=False)
        ended = 0
        async with asyncio.timeout(60):
            async for event in connection:
                assert event.stream_id in texts
                if event.type == "response.output_text.delta":
                    texts[event.stream_id] += event.delta
                ended += event.type == "response.completed"
                if ended == 2 * len(lanes):
                    break
    assert texts == {lane: NUMBERS + lane for lane in lanes}
