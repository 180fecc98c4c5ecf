"""The official client before `cw-proxy serve` before a server with OpenAI's API: the emulator's, which is strict, and
another `cw-proxy serve` before CodeWhisperer. From the outside they are the same."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, NamedTuple

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI
from pydantic import BaseModel
from servers import NOBODY, Service, ask, control, request, run, serving, stats, urls

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
KEY = "sk-canary-of-the-upstream"


class Chain(NamedTuple):
    proxy: str
    emulator: str


def before(base_url: str, model: str, **more: str) -> Any:
    """A proxy whose only upstream is `base_url`: AWS is where nobody listens, and there is no login."""
    settings = {"CW_PROXY_OPENAI_BASE_URL": base_url, "CW_PROXY_OPENAI_MODEL": model, "CW_PROXY_OPENAI_API_KEY": KEY}
    return serving(NOBODY, CW_PROXY_ACCESS_TOKEN="", CW_PROXY_BACKEND="openai", **settings, **more)


@pytest.fixture(scope="module")
def direct(service: Service) -> Iterator[Chain]:
    """The emulator plays the OpenAI server itself."""
    with before(f"{service.emulator}/v1", "gpt-5") as (proxy, _):
        yield Chain(proxy, service.emulator)


@pytest.fixture(scope="module")
def proxied(service: Service) -> Iterator[Chain]:
    """Another proxy is the server."""
    with before(f"{service.proxy}/v1", "codewhisperer") as (proxy, _):
        yield Chain(proxy, service.emulator)


@pytest.fixture(params=["direct", "proxied"])
def chain(request: pytest.FixtureRequest) -> Chain:
    found: Chain = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def client(chain: Chain) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=f"{chain.proxy}/v1", api_key="of-the-client", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def asked(client: OpenAI, text: str, **more: Any) -> Any:
    return client.chat.completions.create(model="auto", messages=user(text), **more).choices[0]


def streamed(client: OpenAI, text: str, **more: Any) -> list[Any]:
    return list(client.chat.completions.create(model="auto", messages=user(text), stream=True, **more))


WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "d",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TIME: Any = {"type": "function", "function": {"name": "get_time", "description": "d", "parameters": {"type": "object"}}}


def test_text_whole_and_streamed(client: OpenAI) -> None:
    expected = " ".join(map(str, range(1, 21)))
    whole = asked(client, "count from 1 to 20")
    assert (whole.message.content, whole.finish_reason) == (expected, "stop")
    chunks = streamed(client, "count from 1 to 20")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_the_system_is_heard_and_the_chat_remembered(client: OpenAI) -> None:
    messages: Any = [
        {"role": "developer", "content": "The system token is S-7."},
        *user("remember the token ONE"),
        {"role": "assistant", "content": "ok"},
        *user("State the system token. List every remembered token"),
    ]
    answer = client.chat.completions.create(model="auto", messages=messages)
    assert answer.choices[0].message.content == "system: S-7 remembered: ONE"


def test_a_round_of_tools(client: OpenAI) -> None:
    first = asked(client, "what is the weather in Paris", tools=[WEATHER])
    (call,) = first.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Paris"}')
    assert first.finish_reason == "tool_calls"
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages = [*user("what is the weather in Paris"), first.message.model_dump(exclude_none=True), result]
    last = client.chat.completions.create(model="auto", messages=messages, tools=[WEATHER])
    assert last.choices[0].message.content == "done: sunny"


def test_calls_that_come_in_pieces_of_each_other(client: OpenAI) -> None:
    with client.chat.completions.stream(model="auto", messages=user("play the script tools-interleaved")) as stream:
        message = stream.get_final_completion().choices[0].message
    calls = [(call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    assert calls == [("get_weather", '{"city": "Paris"}'), ("get_time", '{"zone": "CET"}')]


def test_a_picture(client: OpenAI) -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    content: Any = [
        {"type": "text", "text": "describe the attached image"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    answer = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": content}])
    assert (answer.choices[0].message.content or "").startswith(f"images=1 png/{len(PNG)}/")


class Person(BaseModel):
    name: str
    age: int


def test_structured_output(client: OpenAI) -> None:
    text = 'answer with the json {"name": "Ada", "age": 36}'
    parsed = client.chat.completions.parse(model="auto", messages=user(text), response_format=Person)
    assert parsed.choices[0].message.parsed == Person(name="Ada", age=36)


def test_wishes(client: OpenAI) -> None:
    assert asked(client, "count from 1 to 20", stop=["4 5"]).message.content.strip() == "1 2 3"
    cut = asked(client, "count from 1 to 50", max_tokens=5)
    assert cut.finish_reason == "length"
    assert "1 2 3 ".startswith(cut.message.content[:6])
    both = asked(client, 'call tool get_weather with {"city": "A"} call tool get_time with {}', tools=[WEATHER, TIME])
    one = asked(
        client,
        'call tool get_weather with {"city": "A"} call tool get_time with {}',
        tools=[WEATHER, TIME],
        parallel_tool_calls=False,
    )
    assert [len(choice.message.tool_calls) for choice in (both, one)] == [2, 1]


def test_wishes_that_the_emulators_model_grants_unasked(direct: Chain) -> None:
    with OpenAI(base_url=f"{direct.proxy}/v1", api_key="x", max_retries=0) as client:
        assert asked(client, "hello", tools=[TIME], tool_choice="required").message.tool_calls
        assert asked(client, "hello", reasoning_effort="high").message.reasoning_content


def test_several_answers(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=user("reply with exactly the token PONG"), n=3)
    assert [choice.message.content for choice in answer.choices] == ["PONG"] * 3


def test_usage_is_the_servers_to_the_last_token(chain: Chain, client: OpenAI) -> None:
    (*_, last) = streamed(client, "play the script text", stream_options={"include_usage": True})
    assert last.usage is not None
    numbers = (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens)
    assert numbers == (10, 5, 15)
    assert last.usage.cw_usage_source == "exact"
    whole = client.chat.completions.create(model="auto", messages=user("play the script text")).usage
    assert whole is not None
    assert (whole.prompt_tokens, whole.completion_tokens, whole.total_tokens) == numbers


ERRORS: list[tuple[str, type[openai.APIStatusError], str | None]] = [
    ("throttled", openai.RateLimitError, "rate_limit_exceeded"),
    ("too-long", openai.BadRequestError, "context_length_exceeded"),
    ("server-error", openai.InternalServerError, "upstream_unavailable"),
    ("exception-first", openai.InternalServerError, "upstream_unavailable"),
]


@pytest.mark.parametrize(("script", "error", "code"), ERRORS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_error_is_that_error(
    client: OpenAI, script: str, error: type[openai.APIStatusError], code: str, stream: bool
) -> None:
    with pytest.raises(error) as raised:
        client.chat.completions.create(model="auto", messages=user(f"play the script {script}"), stream=stream)
    assert raised.value.code == code


def test_an_answer_that_breaks_off_raises(client: OpenAI, breaking: str) -> None:
    text = ""
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(
            model="auto", messages=user(f"play the script {breaking}"), stream=True
        ):
            text += chunk.choices[0].delta.content or ""
    assert text


def test_a_call_that_is_cut_off_is_no_call(client: OpenAI) -> None:
    with pytest.raises(openai.APIError):
        streamed(client, "play the script tool-without-stop")


def test_a_clean_end_without_a_last_word_is_a_cut(direct: Chain) -> None:
    """CodeWhisperer's answers, behind another proxy, have no last word of their own until an account has shown one."""
    with OpenAI(base_url=f"{direct.proxy}/v1", api_key="x", max_retries=0) as client, pytest.raises(openai.APIError):
        streamed(client, "play the script no-tail")


def test_a_spent_quota_is_told_once_to_the_server(service: Service) -> None:
    with before(f"{service.emulator}/v1", "gpt-5") as (proxy, _), OpenAI(base_url=f"{proxy}/v1", api_key="x") as client:
        requests = stats(service.emulator)["requests"]
        for _ in range(3):
            with pytest.raises(openai.RateLimitError) as raised:
                asked(client, "play the script quota")
            assert raised.value.code == "insufficient_quota"
        assert stats(service.emulator)["requests"] == requests + 1


def test_a_refused_key_is_the_settings_fault(emulator_process: str) -> None:
    control(emulator_process, "settings", {"strict_tokens": True})
    try:
        with (
            before(f"{emulator_process}/v1", "gpt-5") as (proxy, _),
            OpenAI(base_url=f"{proxy}/v1", api_key="x") as client,
        ):
            with pytest.raises(openai.PermissionDeniedError, match="CW_PROXY_OPENAI_API_KEY") as raised:
                asked(client, "hello")
            assert raised.value.code == "upstream_access_denied"
            assert KEY not in str(raised.value)
    finally:
        control(emulator_process, "settings", {"strict_tokens": False})


async def test_nothing_of_the_clients_goes_there(direct: Chain) -> None:
    """What goes there is seen where the emulator is the server."""
    body = b'{"model":"auto","messages":[{"role":"user","content":"hello"}],"temperature":1,"metadata":{"a":"b"}}'
    headers = {
        "Authorization": "Bearer of-the-client",
        "x-api-key": "of-the-client",
        "Cookie": "a=b",
        "User-Agent": "x/1",
    }
    answer = await ask(direct.proxy, request("POST", "/v1/chat/completions", body, headers=headers))
    assert (answer.status, answer.headers["x-cw-proxy-ignored"]) == (200, "metadata")
    seen = stats(direct.emulator)["last_headers"]
    assert seen.keys() == {"host", "accept", "content-type", "content-length", "authorization", "user-agent"}
    assert seen["user-agent"].startswith("cw-proxy/")
    assert stats(direct.emulator)["last_body"]["temperature"] == 1


# --- the other fronts -------------------------------------------------------------------------------------


def test_the_responses_api_works_on_it(chain: Chain, client: OpenAI) -> None:
    said = client.responses.create(model="auto", input="count from 1 to 5")
    assert (said.output_text, said.status) == ("1 2 3 4 5", "completed")
    tool: Any = {"type": "function", **WEATHER["function"], "strict": False}
    with client.responses.stream(model="auto", input="what is the weather in Paris", tools=[tool]) as stream:
        (call,) = stream.get_final_response().output
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("get_weather", '{"city": "Paris"}')
    rounds: Any = [
        {"role": "user", "content": "what is the weather in Paris"},
        call.model_dump(exclude_none=True, include={"type", "call_id", "name", "arguments"}),
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    assert client.responses.create(model="auto", input=rounds, tools=[tool]).output_text == "done: sunny"


def test_the_messages_api_works_on_it(chain: Chain) -> None:
    tool: Any = {"name": "get_weather", "description": "d", "input_schema": WEATHER["function"]["parameters"]}
    question: Any = {"role": "user", "content": "what is the weather in Paris"}
    with Anthropic(base_url=chain.proxy, api_key="x", max_retries=0) as client:
        with client.messages.stream(model="auto", max_tokens=500, messages=[question], tools=[tool]) as stream:
            first = stream.get_final_message()
        (call,) = first.content
        assert (call.type, first.stop_reason) == ("tool_use", "tool_use")
        assert call.input == {"city": "Paris"}
        results: Any = [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]
        rest: Any = [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        last = client.messages.create(model="auto", max_tokens=500, messages=[question, *rest], tools=[tool])
        assert [block.text for block in last.content if block.type == "text"] == ["done: sunny"]
        with pytest.raises(anthropic.RateLimitError):
            script: Any = {"role": "user", "content": "play the script throttled"}
            client.messages.create(model="auto", max_tokens=5, messages=[script])


# --- both at once -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(emulator_process: str) -> Iterator[str]:
    """CodeWhisperer, and an OpenAI upstream beside it."""
    upstream = {"CW_PROXY_OPENAI_BASE_URL": f"{emulator_process}/v1", "CW_PROXY_ALIASES": "fast=openai/gpt-5-mini"}
    with serving(emulator_process, **upstream) as (proxy, _):
        yield proxy


def test_the_models_name_says_who_answers(both: str, emulator_process: str) -> None:
    with OpenAI(base_url=f"{both}/v1", api_key="x", max_retries=0, _strict_response_validation=True) as client:
        for name, model in (
            ("openai/gpt-5", "gpt-5"),
            ("fast", "gpt-5-mini"),
            ("codewhisperer", None),
            ("codewhisperer/claude-sonnet-4.5", None),
        ):
            answer = client.chat.completions.create(model=name, messages=user("reply with exactly the token PONG"))
            assert (answer.model, answer.choices[0].message.content) == (name, "PONG")
            assert stats(emulator_process)["last_body"].get("model") == model
        owners = {model.id: model.owned_by for model in client.models.list()}
        assert (owners["openai/gpt-5"], owners["fast"], owners["claude-sonnet-4.5"]) == ("openai", "openai", "aws")
        assert client.models.retrieve("openai/gpt-5").owned_by == "openai"
        for name in ("openai/gpt-6", "codewhisperer/no-such-model"):
            with pytest.raises(openai.NotFoundError):
                client.chat.completions.create(model=name, messages=user("hello"))


def test_the_commands_know_both(both: str, emulator_process: str) -> None:
    environment = {
        "CW_PROXY_ACCESS_TOKEN": "token",
        **urls(emulator_process),
        "CW_PROXY_OPENAI_BASE_URL": f"{emulator_process}/v1",
    }
    listed = run("models", environment=environment)
    assert listed.returncode == 0
    assert "openai/gpt-4o" in listed.stdout
    said = run("chat", "--model", "openai/gpt-5", "count from 1 to 3", environment=environment)
    assert (said.stdout, said.returncode) == ("1 2 3\n", 0)


def test_without_a_login_the_other_upstream_still_answers(emulator_process: str) -> None:
    environment = {
        **urls(NOBODY),
        "CW_PROXY_BACKEND": "openai",
        "CW_PROXY_OPENAI_BASE_URL": f"{emulator_process}/v1",
        "CW_PROXY_OPENAI_MODEL": "gpt-5",
    }
    said = run("chat", "count from 1 to 3", environment=environment)
    assert (said.stdout, said.stderr, said.returncode) == ("1 2 3\n", "", 0)
    listed = run("models", environment=environment)
    assert (listed.returncode, "gpt-5" in listed.stdout, "claude" in listed.stdout) == (0, True, False)
    refused = run("chat", "--model", "codewhisperer/auto", "hello", environment=environment)
    assert (refused.returncode, "cw-proxy login" in refused.stderr) == (4, True)


def test_openai_without_a_key_does_not_start() -> None:
    refused = run("serve", "--port", "0", environment={"CW_PROXY_BACKEND": "openai"})
    assert (refused.returncode, "CW_PROXY_OPENAI_API_KEY" in refused.stderr) == (2, True)
