"""The official Python SDK, unmodified: only its base_url is ours. It validates every answer strictly."""

from __future__ import annotations

import time
from typing import Any

import openai
import pytest
from openai import OpenAI
from servers import Service, serving, stats

PONG: Any = [{"role": "user", "content": "Reply with exactly the token PONG"}]


@pytest.fixture(scope="module")
def client(service: Service) -> Any:
    with OpenAI(
        base_url=f"{service.proxy}/v1", api_key="dummy", max_retries=0, timeout=60, _strict_response_validation=True
    ) as made:
        yield made


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_the_example_of_the_readme_streams(client: OpenAI) -> None:
    response = client.chat.completions.create(model="codewhisperer", messages=user("Count from 1 to 20"), stream=True)
    text = ""
    for chunk in response:
        if chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
    assert text == " ".join(map(str, range(1, 21)))


def test_a_whole_answer(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="codewhisperer", messages=PONG)
    assert answer.object == "chat.completion"
    assert answer.model == "codewhisperer"
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "PONG", "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert (answer._request_id or "").startswith("req_")


def test_a_stream_is_one_answer_from_its_role_to_its_finish(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="codewhisperer", messages=PONG, stream=True))
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0].choices[0].delta.role == "assistant"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)


def test_usage_comes_last_and_alone_when_asked_for(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="codewhisperer", messages=PONG, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens > 0
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_instructions_reach_the_model(client: OpenAI, role: str, stream: bool) -> None:
    messages: Any = [{"role": role, "content": "The system token is S-7."}, *user("State the system token")]
    answer: Any = client.chat.completions.create(model="codewhisperer", messages=messages, stream=stream)
    if stream:
        text = "".join(chunk.choices[0].delta.content or "" for chunk in answer)
    else:
        text = answer.choices[0].message.content
    assert text == "system: S-7"


def test_what_was_said_before_is_remembered(client: OpenAI) -> None:
    messages: Any = [
        *user("Remember the token ONE"),
        {"role": "assistant", "content": "ok"},
        *user([{"type": "text", "text": "Remember the token TWO."}, {"type": "text", "text": "Then go on."}]),
        {"role": "assistant", "content": "ok"},
        *user("List every remembered token"),
    ]
    answer = client.chat.completions.create(model="codewhisperer", messages=messages)
    assert answer.choices[0].message.content == "remembered: ONE,TWO"


@pytest.mark.parametrize(
    "token", ["Grüße", "日本語", "😀👩‍👩‍👧", "a\u2028b\u2029c", "\\u0041\\n", "\ufeffbom", "\U0010ffff"]
)
def test_text_of_every_script_comes_back_as_it_was(client: OpenAI, token: str) -> None:
    messages = user(f"Reply with exactly the token {token}")
    whole = client.chat.completions.create(model="codewhisperer", messages=messages).choices[0].message.content
    stream = client.chat.completions.create(model="codewhisperer", messages=messages, stream=True)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    # The emulated model takes a token to end at the first space, and these separators are spaces.
    assert whole == streamed == token.split("\u2028")[0]


def test_a_silent_service_is_waited_for(pinging: Service) -> None:
    """Comments keep the connection alive, and the SDK does not mind them."""
    with OpenAI(base_url=f"{pinging.proxy}/v1", api_key="dummy", max_retries=0) as client:
        messages = user("Play the script slow")
        stream = client.chat.completions.create(model="codewhisperer", messages=messages, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "First. Second."


def test_the_models(client: OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert ids[0] == "codewhisperer"
    assert "claude-sonnet-4.5" in ids
    for name in (*ids, "claude-sonnet-4-5", "gpt-4o"):
        assert client.models.retrieve(name).id == name
        assert client.chat.completions.create(model=name, messages=PONG).model == name


ERRORS: list[tuple[str, type[openai.APIStatusError], str]] = [
    ("throttled", openai.RateLimitError, "rate_limit_exceeded"),
    ("too-long", openai.BadRequestError, "context_length_exceeded"),
    ("server-error", openai.InternalServerError, "upstream_unavailable"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("script", "error", "code"), ERRORS, ids=[case[0] for case in ERRORS])
def test_an_error_is_raised_as_what_it_is(
    client: OpenAI, script: str, error: type[openai.APIStatusError], code: str, stream: bool
) -> None:
    with pytest.raises(error) as caught:
        client.chat.completions.create(model="codewhisperer", messages=user(f"Play the script {script}"), stream=stream)
    assert caught.value.code == code
    assert (caught.value.request_id or "").startswith("req_")


OF_THE_ACCOUNT: list[tuple[str, type[openai.APIStatusError], str]] = [
    ("quota", openai.RateLimitError, "insufficient_quota"),
    ("feature-not-supported", openai.PermissionDeniedError, "upstream_access_denied"),
]


@pytest.mark.parametrize(("script", "error", "code"), OF_THE_ACCOUNT, ids=[case[0] for case in OF_THE_ACCOUNT])
def test_the_service_sees_no_storm_after_an_error_of_the_account(
    fresh: Service, script: str, error: type[openai.APIStatusError], code: str
) -> None:
    before = stats(fresh.emulator)["requests"]
    took: list[float] = []
    with OpenAI(base_url=f"{fresh.proxy}/v1", api_key="dummy", max_retries=2) as client:
        for stream in (False, True, False):
            started = time.perf_counter()
            with pytest.raises(error) as caught:
                client.chat.completions.create(
                    model="codewhisperer", messages=user(f"Play the script {script}"), stream=stream
                )
            assert caught.value.code == code
            took.append(time.perf_counter() - started)
    # Neither the proxy nor the SDK tries again: both would wait longer.
    assert min(took) < 0.1
    assert stats(fresh.emulator)["requests"] - before == 1


def test_an_unknown_model_is_raised(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("claude-sonet-4.5")
    assert caught.value.code == "model_not_found"


def test_an_answer_that_breaks_is_never_a_short_one(client: OpenAI, breaking: str) -> None:
    messages = user(f"Play the script {breaking}")
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="codewhisperer", messages=messages, stream=True))
    with pytest.raises(openai.APIError):
        client.chat.completions.create(model="codewhisperer", messages=messages)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_older_completions(service: Service, stream: bool) -> None:
    # Not validated: the SDK's type wants a finish_reason on every chunk, which OpenAI does not send either.
    with OpenAI(base_url=f"{service.proxy}/v1", api_key="dummy", max_retries=0) as client:
        answer: Any = client.completions.create(model="codewhisperer", prompt="Count from 1 to 5", stream=stream)
        text = "".join(chunk.choices[0].text for chunk in answer) if stream else answer.choices[0].text
    assert text == "1 2 3 4 5"


def test_what_the_service_does_not_have_is_said_once(service: Service) -> None:
    with OpenAI(base_url=f"{service.proxy}/v1", api_key="dummy", max_retries=2) as client:
        for ask in (
            lambda: client.embeddings.create(model="x", input="x"),
            lambda: client.moderations.create(input="x"),
            lambda: client.images.generate(prompt="x"),
            lambda: client.audio.speech.create(model="x", voice="alloy", input="x"),
            lambda: client.files.list(),
        ):
            with pytest.raises(openai.InternalServerError, match="/v1/chat/completions") as caught:
                ask()
            assert (caught.value.status_code, caught.value.code) == (501, "unsupported_endpoint")


def test_a_passing_fault_is_over_when_the_sdk_tries_again(service: Service) -> None:
    with OpenAI(base_url=f"{service.proxy}/v1", api_key="dummy", max_retries=2) as patient:
        answer = patient.chat.completions.create(model="codewhisperer", messages=user("Fault 500 times 1 id sdk-py"))
    assert answer.choices[0].message.content == "recovered-sdk-py"


def test_leaving_a_stream_early_is_no_error(client: OpenAI) -> None:
    stream = client.chat.completions.create(model="codewhisperer", messages=user("Play the script hang"), stream=True)
    with stream:
        assert next(iter(stream)).choices[0].delta.role == "assistant"
    assert client.chat.completions.create(model="codewhisperer", messages=PONG).choices[0].message.content == "PONG"


def test_a_rate_limit_is_waited_for(service: Service) -> None:
    """The SDK comes back when it was told to, and is let in then."""
    limits = {"CW_PROXY_RATE_LIMIT_MAX": "1", "CW_PROXY_RATE_LIMIT_WINDOW": "1"}
    with (
        serving(service.emulator, **limits) as (url, _),
        OpenAI(base_url=f"{url}/v1", api_key="dummy", max_retries=1) as patient,
        OpenAI(base_url=f"{url}/v1", api_key="dummy", max_retries=0) as hasty,
    ):
        for _ in range(2):
            raw = patient.chat.completions.with_raw_response.create(model="codewhisperer", messages=PONG)
            assert raw.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as refused:
            for _ in range(2):
                hasty.chat.completions.create(model="codewhisperer", messages=PONG)
    assert refused.value.code == "rate_limit_exceeded"
