"""The prompt socket of a real server on either upstream, asked by a client that knows nothing of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from servers import NOBODY, UPSTREAM_KEY, Service, control, openai_upstream, serving, stats, until
from websocket_peers import ask, received_text, stream, turn
from websocket_peers import client as connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

PATH = "/ws"
TEMPLATES = {
    "PROMPT_SYSTEM": "The system token is S-canary-7.",
    "CW_PROMPT_OTHER": "The system token is OTHER.",
    "MY_TEMPLATE": "The system token is MINE.",
    "PROMPT_API_KEY": "sk-canary-of-the-environment",
    "AWS_SECRET_ACCESS_KEY": "canary-of-aws",
    "CW_PROXY_PROMPT_TEMPLATES": "MY_TEMPLATE",
}


@pytest.fixture(scope="module", params=["codewhisperer", "openai"])
def service(request: pytest.FixtureRequest, emulated: str) -> Iterator[Service]:
    variables = openai_upstream(emulated) if request.param == "openai" else {}
    with serving(NOBODY if variables else emulated, "--prompt-socket", **TEMPLATES, **variables) as (url, _):
        yield Service(url, emulated)


def script(service: Service, *steps: Any) -> None:
    control(service.emulator, "scripts/prompted", list(steps))


async def test_each_way_to_answer_several_times_on_one_socket(service: Service) -> None:
    script(service, {"text": "Well: [[a b]], or [[-42]]?\n<END>"})
    async with connect(service.proxy, PATH) as socket:
        for _ in range(3):
            assert await turn(socket, "Count from 1 to 5") == "1 2 3 4 5"
            assert await turn(socket, "Play the script prompted", "int") == "-42"
            assert await turn(socket, "Play the script prompted", "string") == "a b"
            assert await turn(socket, "Play the script prompted", "full") == "Well: [[a b]], or [[-42]]?\n<END>"
            await ask(socket, "Count from 1 to 20", "stream")
            *pieces, end = await stream(socket)
            assert ("".join(pieces), end) == (" ".join(map(str, range(1, 21))), "<END>")
            assert len(pieces) > 1


async def test_questions_at_once_are_answered_in_their_order(service: Service) -> None:
    async with connect(service.proxy, PATH) as socket:
        await ask(socket, "Play the script slow", "stream")
        await socket.send("no JSON")
        await ask(socket, "Reply with exactly the token PONG")
        assert (await stream(socket))[-1] == "<END>"
        assert json.loads(await received_text(socket))["error"]["code"] == "invalid_json"
        assert await received_text(socket) == "PONG"


async def test_a_piece_that_is_the_word_for_the_end_is_not_the_end(service: Service) -> None:
    script(service, {"text": "a", "piece": 1}, {"text": "<END>", "piece": 5}, {"text": "b", "piece": 1})
    async with connect(service.proxy, PATH) as socket:
        await ask(socket, "Play the script prompted", "stream")
        *pieces, end = await stream(socket)
    assert ("".join(pieces), end) == ("a<END>b", "<END>")


@pytest.mark.parametrize(
    ("template", "token"),
    [("PROMPT_SYSTEM", "S-canary-7"), ("CW_PROMPT_OTHER", "OTHER"), ("MY_TEMPLATE", "MINE"), (None, None), ("", None)],
)
async def test_a_templates_text_is_the_system_prompt_upstream(
    service: Service, template: str | None, token: str | None
) -> None:
    async with connect(service.proxy, PATH) as socket:
        said = await turn(socket, "State the system token", template=template)
        sent = json.dumps(stats(service.emulator)["last_body"])
        assert (said == f"system: {token}", TEMPLATES.get(template or "", "?") in sent) == (bool(token), bool(token))
        # The client hears of it only what the model says: not where something goes wrong.
        for breaking in ("throttled", "exception", "server-error", "too-long"):
            for answer in ("full", "stream"):
                await ask(socket, f"Play the script {breaking}", answer, template)
                assert "system token" not in "".join(await stream(socket))


HIDDEN = ["AWS_SECRET_ACCESS_KEY", "PATH", "HOME", "PROMPT_API_KEY", "CW_PROXY_PROMPT_TEMPLATES", "prompt_system"]
NOWHERE = ["__proto__", "constructor", "PROMPT_OF_NOBODY", "PROMPT_SYSTEM\0", "../PROMPT_SYSTEM"]


async def test_what_is_no_template_is_refused_alike_and_nothing_is_disclosed(service: Service) -> None:
    requests = stats(service.emulator)["requests"]
    async with connect(service.proxy, PATH) as socket:
        refusals = {await turn(socket, "State the system token", template=name) for name in [*HIDDEN, *NOWHERE]}
        assert await turn(socket, "Reply with exactly the token PONG") == "PONG"
    [refusal] = refusals
    assert json.loads(refusal)["error"]["param"] == "prompt_template"
    assert not any(word in refusal for word in ["canary", *HIDDEN, *NOWHERE])
    assert stats(service.emulator)["requests"] == requests + 1


@pytest.mark.parametrize("answer", ["int", "string"])
async def test_a_million_brackets_are_no_value(service: Service, answer: str) -> None:
    script(service, {"text": "[" * 1_000_000, "piece": 50_000})
    async with connect(service.proxy, PATH) as socket:
        error = json.loads(await turn(socket, "Play the script prompted", answer))["error"]
    assert error["code"] == "no_bracketed_value"


async def test_a_million_brackets_are_passed_on(service: Service) -> None:
    script(service, {"text": "[" * 1_000_000, "piece": 50_000})
    async with connect(service.proxy, PATH) as socket:
        assert await turn(socket, "Play the script prompted") == "[" * 1_000_000


async def test_an_answer_that_breaks_off_is_an_error_in_every_way(service: Service) -> None:
    async with connect(service.proxy, PATH) as socket:
        for answer in ("int", "string", "full"):
            error = json.loads(await turn(socket, "Play the script exception", answer))["error"]
            assert set(error) == {"message", "type", "param", "code"}
        await ask(socket, "Play the script exception", "stream")
        *pieces, end = await stream(socket)
        assert "".join(pieces)
        assert end.startswith('{"error"')
        assert await turn(socket, "Reply with exactly the token PONG") == "PONG"


async def test_an_answer_that_the_model_cuts_is_not_whole(emulated: str) -> None:
    with serving(emulated, "--prompt-socket") as (url, _):
        async with connect(url, PATH) as socket:
            error = json.loads(await turn(socket, "Play the script stop-reason-length"))["error"]
            assert error["code"] == "answer_incomplete"
            await ask(socket, "Play the script stop-reason-length", "stream")
            *pieces, end = await stream(socket)
            assert "".join(pieces) == "Cut off by the li"
            assert json.loads(end)["error"]["code"] == "answer_incomplete"


async def test_neither_the_key_nor_the_model_is_told(emulated: str) -> None:
    """A model that the upstream does not know, and says so by its name; then a key that it refuses."""
    with serving(NOBODY, "--prompt-socket", **openai_upstream(emulated, OPENAI_MODEL="canary-model")) as (url, server):
        async with connect(url, PATH) as socket:
            unknown = await turn(socket, "hello")
            control(emulated, "settings", {"strict_tokens": True})
            refused = await turn(socket, "hello")
            control(emulated, "settings", {"strict_tokens": False})
        assert [json.loads(said)["error"]["code"] for said in (unknown, refused)] == [
            "model_not_found",
            "upstream_access_denied",
        ]
        assert not any(word in unknown + refused for word in ("canary", "openai", "OPENAI", "emulator"))
        await until(lambda: b"canary-model" in server.err, "the log has the reason")
        assert UPSTREAM_KEY.encode() not in server.err


async def test_the_time_for_an_answer_counts_here_too(emulated: str) -> None:
    with serving(emulated, "--prompt-socket", CW_PROXY_REQUEST_TIMEOUT="0.3") as (url, _):
        async with connect(url, PATH) as socket:
            assert json.loads(await turn(socket, "Play the script hang"))["error"]["code"] == "upstream_timeout"
            await ask(socket, "Play the script hang", "stream")
            *pieces, end = await stream(socket)
            assert ("".join(pieces), json.loads(end)["error"]["code"]) == ("Then nothing. ", "upstream_timeout")


async def test_a_socket_is_guarded_as_all_else(emulated: str) -> None:
    with serving(emulated, "--prompt-socket", "--api-key", "a-key") as (url, _):
        with pytest.raises(InvalidStatus) as raised:
            async with connect(url, PATH):
                pass
        assert raised.value.response.status_code == 401
        async with connect(url, PATH, additional_headers={"x-api-key": "a-key"}) as socket:
            assert await turn(socket, "Reply with exactly the token PONG") == "PONG"
        with pytest.raises(InvalidStatus) as raised:
            async with connect(url, PATH, origin="https://page.example", additional_headers={"x-api-key": "a-key"}):
                pass
        assert raised.value.response.status_code == 403


async def test_what_is_refused_at_once_is_told_in_its_turn(service: Service) -> None:
    """Nothing but the order says which answer is whose."""
    script(service, {"text": "One"}, {"delay": 0.3}, {"text": " two"})
    async with connect(service.proxy, PATH) as socket:
        await ask(socket, "play the script prompted", "stream")
        assert await received_text(socket) == "One"
        await socket.send(b"binary")
        for _ in range(20):
            await ask(socket, "Reply with exactly the token PONG")
        first = await stream(socket)
        assert (first[-1], "".join(first[:-1])) == ("<END>", " two")
        assert json.loads(await received_text(socket))["error"]["code"] == "invalid_request"
        answers = [await received_text(socket) for _ in range(20)]
    refused = [answer for answer in answers if answer != "PONG"]
    assert answers == ["PONG"] * (20 - len(refused)) + refused
    assert {json.loads(answer)["error"]["code"] for answer in refused} == {"websocket_stream_limit_reached"}


async def test_a_flood_of_what_is_refused_ends_the_socket(service: Service) -> None:
    script(service, {"text": "One"}, {"hang": True})
    async with connect(service.proxy, PATH) as socket:
        await ask(socket, "play the script prompted", "stream")
        assert await received_text(socket) == "One"
        for _ in range(100):
            await socket.send(b"binary")
        with pytest.raises(ConnectionClosed) as closed:
            await received_text(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
