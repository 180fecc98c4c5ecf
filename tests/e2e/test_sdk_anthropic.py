"""Anthropic's official Python SDK, unmodified: only its base_url is ours. It validates every answer strictly."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import anthropic
import pytest
from anthropic import Anthropic
from anthropic.types import Message
from servers import Service, serving, stats

# The SDK knows when models end; the names are the point here.
pytestmark = pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
MODEL = "claude-sonnet-4-5"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
WEATHER: Any = {
    "name": "get_weather",
    "description": "What the weather is like.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def connect(url: str, **settings: Any) -> Anthropic:
    usual: dict[str, Any] = {"api_key": "dummy", "max_retries": 0, "timeout": 60, "_strict_response_validation": True}
    return Anthropic(base_url=url, **usual | settings)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Anthropic]:
    with connect(service.proxy) as made:
        yield made


class Chat:
    """A chat that grows; each answer is asked for whole, or streamed and folded by the client."""

    def __init__(self, client: Anthropic, stream: bool) -> None:
        self._client = client
        self._stream = stream
        self.messages: list[Any] = []

    def say(self, content: Any, **members: Any) -> Message:
        self.messages.append({"role": "user", "content": content})
        asked = {"model": MODEL, "max_tokens": 4096, "messages": self.messages, **members}
        if self._stream:
            with self._client.messages.stream(**asked) as stream:
                message: Message = stream.get_final_message()
        else:
            message = self._client.messages.create(**asked)
        self.messages.append({"role": "assistant", "content": message.content})
        return message


@pytest.fixture(params=[False, True], ids=["whole", "stream"])
def chat(client: Anthropic, request: pytest.FixtureRequest) -> Chat:
    return Chat(client, request.param)


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message: Message) -> list[Any]:
    assert message.stop_reason == "tool_use"
    return [block for block in message.content if block.type == "tool_use"]


def result(call: Any, content: Any, **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call.id, "content": content, **more}


def test_an_answer(chat: Chat) -> None:
    message = chat.say("Reply with exactly the token PONG")
    assert (message.type, message.role, message.model, message.stop_reason) == (
        *("message", "assistant"),
        *(MODEL, "end_turn"),
    )
    assert text_of(message) == "PONG"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def test_a_stream_comes_in_pieces_and_in_order(client: Anthropic) -> None:
    messages: Any = [{"role": "user", "content": "Count from 1 to 40"}]
    events = list(client.messages.create(model=MODEL, max_tokens=1024, messages=messages, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert len(kinds) > 8


@pytest.mark.parametrize("token", ["Grüße", "日本語", "😀👩‍👩‍👧", "\\u0041\\n", "\ufeffbom", "\U0010ffff"])
def test_text_of_every_script_comes_back_as_it_was(chat: Chat, token: str) -> None:
    assert text_of(chat.say(f"Reply with exactly the token {token}")) == token


@pytest.mark.parametrize(
    "system",
    [
        "The system token is S-7.",
        [{"type": "text", "text": "The system token is S-7", "cache_control": {"type": "ephemeral"}}],
    ],
)
def test_instructions_reach_the_model(chat: Chat, system: Any) -> None:
    assert text_of(chat.say("State the system token", system=system)) == "system: S-7"


def test_a_round_trip_with_a_tool(chat: Chat) -> None:
    [call] = calls_of(chat.say("What is the weather in Oslo?", tools=[WEATHER]))
    assert (call.name, call.input) == ("get_weather", {"city": "Oslo"})
    content = [{"type": "text", "text": "sunny,"}, {"type": "text", "text": "21 °C"}]
    message = chat.say([result(call, content)], tools=[WEATHER])
    assert (message.stop_reason, text_of(message)) == ("end_turn", "done: sunny,\n\n21 °C")


def test_a_tool_that_failed_is_told_to_the_model(chat: Chat) -> None:
    [call] = calls_of(chat.say("What is the weather in Oslo?", tools=[WEATHER]))
    assert text_of(chat.say([result(call, "no network", is_error=True)], tools=[WEATHER])) == "done: no network"


def test_equal_calls_stay_two(chat: Chat) -> None:
    calls = calls_of(chat.say("Play the script tools-identical", tools=[WEATHER]))
    assert [(call.name, call.input) for call in calls] == [("get_weather", {"city": "Paris"})] * 2
    assert len({call.id for call in calls}) == 2


def test_one_call_at_a_time(chat: Chat) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(calls_of(chat.say("Play the script tools-identical", tools=[WEATHER], tool_choice=choice))) == 1


TIME = {**WEATHER, "name": "get_time"}


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_time"}], ids=["any", "tool"])
def test_a_tool_that_must_be_called_is_called_or_it_is_an_error(chat: Chat, choice: Any) -> None:
    wished: dict[str, Any] = {"tools": [WEATHER, TIME], "tool_choice": choice}
    [call] = calls_of(chat.say('Call tool get_time with {"city":"Oslo"}', **wished))
    assert call.name == "get_time"
    chat.messages.clear()
    with pytest.raises(anthropic.InternalServerError):
        chat.say("Reply with exactly the token PONG", **wished)


def test_images_reach_the_model_also_from_a_tool(chat: Chat) -> None:
    source = {"type": "base64", "media_type": "image/jpeg", "data": base64.b64encode(PNG).decode()}
    image = {"type": "image", "source": source}
    seen = f"png/{len(PNG)}/{hashlib.sha256(PNG).hexdigest()[:12]}"
    message = chat.say([image, {"type": "text", "text": "Describe the attached image"}])
    assert text_of(message) == f"images=1 {seen}"
    [call] = calls_of(chat.say("What is the weather in Oslo?", tools=[WEATHER]))
    shown = [result(call, [image]), {"type": "text", "text": "Describe the attached image"}]
    assert text_of(chat.say(shown, tools=[WEATHER])) == f"images=1 {seen}"


def test_a_document_is_taken(chat: Chat) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "Remember the token D-1."}
    content = [
        {"type": "document", "source": source, "title": "notes"},
        {"type": "text", "text": "List every remembered token"},
    ]
    assert text_of(chat.say(content)) == "remembered: D-1"


THINKING: Any = {"type": "enabled", "budget_tokens": 2048}


def test_thinking(chat: Chat) -> None:
    thought, text = chat.say("Reply with exactly the token PONG", model="claude-opus-4-5", thinking=THINKING).content
    assert (thought.type, text.type) == ("thinking", "text")
    assert thought.thinking
    assert thought.signature
    # It goes back in the history, which is fine.
    message = chat.say("Reply with exactly the token PING", model="claude-opus-4-5")
    assert [block.type for block in message.content] == ["text"]


def test_thinking_that_is_omitted_is_its_signature(chat: Chat) -> None:
    omitted = {**THINKING, "display": "omitted"}
    thought, _ = chat.say("Reply with exactly the token PONG", model="claude-opus-4-5", thinking=omitted).content
    assert thought.type == "thinking"
    assert (thought.thinking, bool(thought.signature)) == ("", True)


def test_a_stop_sequence_ends_the_answer_and_is_named(chat: Chat) -> None:
    message = chat.say("Count from 1 to 40", stop_sequences=["never", " 12"])
    assert (text_of(message), message.stop_reason, message.stop_sequence) == (
        " ".join(map(str, range(1, 12))),
        *("stop_sequence", " 12"),
    )


def test_a_length_ends_the_answer(chat: Chat) -> None:
    message = chat.say("Count from 1 to 200", max_tokens=20)
    assert message.stop_reason == "max_tokens"
    assert text_of(message).startswith("1 2 3 4 5")
    assert message.usage.output_tokens <= 20


def test_an_answer_in_json(chat: Chat) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    config = {"format": {"type": "json_schema", "schema": schema}}
    assert text_of(chat.say('Answer with the json {"age": 36}', output_config=config)) == '{"age":36}'
    with pytest.raises(anthropic.InternalServerError):
        chat.say('Answer with the json {"age": "x"}', output_config=config)


def test_counts(client: Anthropic) -> None:
    counts = [
        client.messages.count_tokens(model=MODEL, messages=[{"role": "user", "content": text}]).input_tokens
        for text in ("hello", "hello " * 500)
    ]
    assert 0 < counts[0] < counts[1]
    messages: Any = [{"role": "user", "content": "hello"}]
    assert client.beta.messages.count_tokens(model=MODEL, messages=messages).input_tokens == counts[0]


def test_the_beta_is_the_same(client: Anthropic) -> None:
    message = client.beta.messages.create(
        model=MODEL,
        max_tokens=99,
        messages=[{"role": "user", "content": "Reply with exactly the token PONG"}],
        betas=["interleaved-thinking-2025-05-14"],
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
    )
    assert message.content[0].to_dict()["text"] == "PONG"


def test_a_parameter_that_changes_nothing_is_named(client: Anthropic) -> None:
    messages: Any = [{"role": "user", "content": "hello"}]
    answer = client.messages.with_raw_response.create(model=MODEL, max_tokens=9, messages=messages, service_tier="auto")
    assert answer.headers["x-cw-proxy-ignored"] == "service_tier"


ERRORS: list[tuple[str, type[anthropic.APIStatusError], str]] = [
    ("throttled", anthropic.RateLimitError, "rate_limit_error"),
    ("too-long", anthropic.BadRequestError, "invalid_request_error"),
    ("server-error", anthropic.InternalServerError, "api_error"),
]


@pytest.mark.parametrize(("script", "error", "kind"), ERRORS, ids=[case[0] for case in ERRORS])
def test_an_error_is_raised_as_what_it_is(
    chat: Chat, script: str, error: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(error) as caught:
        chat.say(f"Play the script {script}")
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", kind)
    headers = caught.value.response.headers
    if script == "throttled":
        assert 1 <= int(headers["retry-after"]) <= 60
    if script == "too-long":
        assert headers["x-should-retry"] == "false"
        assert body["error"]["message"].startswith("prompt is too long")


OF_THE_ACCOUNT: list[tuple[str, type[anthropic.APIStatusError], str]] = [
    ("quota", anthropic.RateLimitError, "billing_error"),
    ("feature-not-supported", anthropic.PermissionDeniedError, "permission_error"),
]


@pytest.mark.parametrize(("script", "error", "kind"), OF_THE_ACCOUNT, ids=[case[0] for case in OF_THE_ACCOUNT])
def test_the_service_sees_no_storm_after_an_error_of_the_account(
    fresh: Service, script: str, error: type[anthropic.APIStatusError], kind: str
) -> None:
    before = stats(fresh.emulator)["requests"]
    took: list[float] = []
    with connect(fresh.proxy, max_retries=2) as client:
        for stream in (False, True):
            started = time.perf_counter()
            with pytest.raises(error) as caught:
                Chat(client, stream).say(f"Play the script {script}", model="codewhisperer")
            body: Any = caught.value.body
            assert body["error"]["type"] == kind
            took.append(time.perf_counter() - started)
    # Neither the proxy nor the SDK tries again: both would wait longer.
    assert max(took) < 0.4
    assert stats(fresh.emulator)["requests"] - before == 1


def test_a_key_that_is_wrong_is_said_in_its_words(emulator_process: str) -> None:
    with serving(emulator_process, CW_PROXY_API_KEYS="right") as (url, _):
        with connect(url, api_key="wrong") as client, pytest.raises(anthropic.AuthenticationError) as caught:
            Chat(client, False).say("hello")
        body: Any = caught.value.body
        assert body["error"]["type"] == "authentication_error"
        with connect(url, api_key="right") as client:
            assert text_of(Chat(client, False).say("Reply with exactly the token PONG")) == "PONG"


def test_what_is_no_question_is_refused_with_its_place(client: Anthropic) -> None:
    said_by_nobody: Any = {"role": "robot", "content": "a"}
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\]\.role"):
        client.messages.create(model=MODEL, max_tokens=9, messages=[said_by_nobody])
    with pytest.raises(anthropic.BadRequestError, match=r"tools\[0\]\.type"):
        client.messages.create(
            model=MODEL,
            max_tokens=9,
            messages=[{"role": "user", "content": "a"}],
            tools=[{"type": "web_search_20250305", "name": "web_search"}],
        )


def test_an_answer_that_breaks_is_never_a_short_one(chat: Chat, breaking: str) -> None:
    with pytest.raises(anthropic.APIError):
        chat.say(f"Play the script {breaking}")


def test_a_passing_fault_is_over_when_the_sdk_tries_again(service: Service) -> None:
    with connect(service.proxy, max_retries=2) as patient:
        message = Chat(patient, False).say("Fault 500 times 1 id sdk-anthropic")
    assert text_of(message) == "recovered-sdk-anthropic"


def test_a_silent_service_is_waited_for(pinging: Service) -> None:
    with connect(pinging.proxy) as client:
        assert text_of(Chat(client, True).say("Play the script slow")) == "First. Second."


def test_the_models(service: Service) -> None:
    # Not validated: the list has OpenAI's shape, whose members are not all of Anthropic's.
    with connect(service.proxy, _strict_response_validation=False) as client:
        ids = [model.id for model in client.models.list()]
        assert "claude-sonnet-4.5" in ids
        assert client.models.retrieve("claude-haiku-4-5-20251001").id == "claude-haiku-4-5-20251001"


NAMES = ("claude-haiku-4-5-20251001", "claude-opus-4-1-20250805", "claude-3-5-haiku-latest", "sonnet", "opus", "haiku")


@pytest.mark.parametrize("model", NAMES)
def test_the_names_of_claudes_clients_work(client: Anthropic, model: str) -> None:
    message = Chat(client, False).say("Reply with exactly the token PONG", model=model)
    assert (message.model, text_of(message)) == (model, "PONG")


def test_forty_turns_with_tools(chat: Chat) -> None:
    tools = [{**WEATHER, "description": "long " * 3000}]
    cities = ["Oslo", "Rome", "Bern", "Kyiv", "Riga", "Lima", "Baku", "Doha", "Bonn", "Cork"]
    for city in cities:
        [call] = calls_of(chat.say(f"Remember the token T-{city}. What is the weather in {city}?", tools=tools))
        assert call.input == {"city": city}
        assert text_of(chat.say([result(call, f"W-{city}")], tools=tools)) == f"done: W-{city}"
    assert len(chat.messages) == 40
    answer = text_of(chat.say("List every remembered token", tools=tools))
    assert answer == "remembered: " + ",".join(f"T-{city}" for city in cities)


def test_a_request_has_an_id_that_the_client_finds(client: Anthropic) -> None:
    answer = client.messages.create(
        model="claude-sonnet-4-5", max_tokens=100, messages=[{"role": "user", "content": "hi"}]
    )
    assert (answer._request_id or "").startswith("req_")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/messages", 405), ("POST", "/v1/messages/nothing", 404)]
)
def test_errors_around_it_have_its_shape(service: Service, method: str, path: str, status: int) -> None:
    asked = Request(service.proxy + path, method=method, data=b"{}" if method == "POST" else None)
    with pytest.raises(HTTPError) as raised:
        urlopen(asked)
    body = json.loads(raised.value.read())
    assert (raised.value.code, body["type"], bool(body["error"]["message"])) == (status, "error", True)
