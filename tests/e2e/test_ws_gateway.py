"""The prompt socket on Lambda: `cw-proxy lambda` behind API Gateway's strict stand-in, asked by a client that knows
nothing of either."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from serverless_offline import serverless_offline
from servers import PATIENCE, Program, control, program, stats, until, urls
from websocket_peers import ask, received_text, stream, turn
from websocket_peers import client as connect
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cw_proxy.cli.dev import variables
from cw_proxy.emulator.ws_gateway import Gateway, Limits

KEY = "a-client-key"
HEADERS = {"Authorization": f"Bearer {KEY}"}
TEMPLATES = {"PROMPT_SYSTEM": "The system token is S-canary-7.", "AWS_SESSION_TOKEN": "canary-of-aws"}


@pytest.fixture
def settings_file(tmp_path: Path) -> str:
    file = tmp_path / "config.toml"
    file.write_text(f'api_keys = ["{KEY}"]\naccess_token = "a-token-of-the-tests"\n')
    return str(file)


@asynccontextmanager
async def deployed(upstream: str, file: str, limits: Limits | None = None, **more: str) -> AsyncIterator[Gateway]:
    async with Gateway(limits=limits) as gateway:
        environment = {**variables(gateway.address), **urls(upstream), **TEMPLATES, "CW_PROXY_CONFIG": file, **more}
        with program("lambda", **environment) as function:
            yield gateway
            assert_quiet(function)


def assert_quiet(function: Program) -> None:
    assert function.process.poll() is None, function.err.decode()
    assert b"Traceback" not in function.err


def script(emulated: str, *steps: Any) -> None:
    control(emulated, "scripts/prompted", list(steps))


async def closed(socket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        while True:
            await asyncio.wait_for(socket.recv(), PATIENCE)
    return socket.close_code


async def converse(url: str, emulated: str) -> None:
    """What a client of the prompt socket relies on, whoever holds its connection."""
    script(emulated, {"text": "Well: [[a b]], or [[-42]]?\n<END>"})
    async with connect(url, "", additional_headers=HEADERS, open_timeout=PATIENCE) as socket:
        for _ in range(2):
            assert await turn(socket, "Play the script prompted", "int") == "-42"
            assert await turn(socket, "Play the script prompted", "string") == "a b"
            assert await turn(socket, "Play the script prompted", "full") == "Well: [[a b]], or [[-42]]?\n<END>"
            await ask(socket, "Count from 1 to 20", "stream")
            *pieces, end = await stream(socket)
            assert ("".join(pieces), end) == (" ".join(map(str, range(1, 21))), "<END>")
            assert len(pieces) > 1
        assert await turn(socket, "State the system token", template="PROMPT_SYSTEM") == "system: S-canary-7"
        refusals = [await turn(socket, "hello", template=name) for name in ("AWS_SESSION_TOKEN", "PATH", "__proto__")]
        assert len(set(refusals)) == 1
        assert "canary" not in refusals[0]
        assert json.loads(await turn(socket, "Play the script exception", "int"))["error"]["code"]
        await socket.send("no JSON")
        assert json.loads(await received_text(socket))["error"]["code"] == "invalid_json"


async def leave_early(url: str, emulated: str) -> None:
    control(emulated, "reset", {})
    script(emulated, {"repeat": 1000, "steps": [{"text": "more ", "piece": 5}, {"delay": 0.02}]})
    async with connect(url, "", additional_headers=HEADERS, open_timeout=PATIENCE) as socket:
        await ask(socket, "Play the script prompted", "stream")
        await received_text(socket)
        socket.transport.abort()
    await until(lambda: stats(emulated)["cancelled_by_client"] == 1, "the upstream sees that we have left")


@pytest.mark.parametrize("mode", ["async", "inline"])
async def test_each_way_to_answer_several_times_on_one_socket(emulated: str, settings_file: str, mode: str) -> None:
    async with deployed(emulated, settings_file, CW_PROXY_LAMBDA_SOCKET_MODE=mode) as gateway:
        await converse(gateway.url, emulated)


@pytest.mark.node
@pytest.mark.xdist_group("serverless-offline")
async def test_behind_serverless_offline_it_is_the_same(emulated: str, settings_file: str) -> None:
    """Another's gateway, another's Lambda: the Python handler, asynchronous invocations, a 410 without a type."""
    with serverless_offline(emulated, settings_file, TEMPLATES) as url:
        await converse(url, emulated)
        await leave_early(url, emulated)


async def warm(gateway: Gateway) -> None:
    """Until nothing is slow any more because it is the first."""
    for _ in range(20):
        with suppress(InvalidStatus):
            async with connect(gateway.url, "", additional_headers=HEADERS) as socket:
                if await turn(socket, "Reply with exactly the token PONG") == "PONG":
                    return
    pytest.fail("is never warm")


@pytest.mark.parametrize("mode", ["async", "inline"])
async def test_only_what_is_acknowledged_may_take_longer_than_an_integration(
    emulated: str, settings_file: str, mode: str
) -> None:
    script(emulated, {"text": "a"}, {"delay": 2}, {"text": "b"})
    limits = Limits(integration=1.5)
    async with deployed(emulated, settings_file, limits, CW_PROXY_LAMBDA_SOCKET_MODE=mode) as gateway:
        await warm(gateway)
        async with connect(gateway.url, "", additional_headers=HEADERS) as socket:
            said = [await turn(socket, "Play the script prompted")]
            if mode == "inline":
                assert json.loads(said[0])["message"] == "Endpoint request timed out"
                said = [await received_text(socket)]
    assert said == ["ab"]


async def test_a_client_that_is_gone_stops_the_upstream(emulated: str, settings_file: str) -> None:
    async with deployed(emulated, settings_file) as gateway:
        await leave_early(gateway.url, emulated)
        async with connect(gateway.url, "", additional_headers=HEADERS) as socket:
            assert await turn(socket, "Reply with exactly the token PONG") == "PONG"


async def test_what_is_large_is_split_or_refused(emulated: str, settings_file: str) -> None:
    async with (
        deployed(emulated, settings_file) as gateway,
        connect(gateway.url, "", additional_headers=HEADERS) as socket,
    ):
        text = "é€" * 20_000
        script(emulated, {"text": text, "piece": 100_000})
        await ask(socket, "Play the script prompted", "stream")
        *pieces, end = await stream(socket)
        assert ("".join(pieces), end) == (text, "<END>")
        assert all(len(piece.encode()) <= 32 * 1024 for piece in pieces)
        assert await turn(socket, "Play the script prompted") == text
        script(emulated, {"text": "x" * (128 * 1024 + 1), "piece": 100_000})
        assert json.loads(await turn(socket, "Play the script prompted"))["error"]["code"] == "answer_too_large"
        assert await turn(socket, "Reply with exactly the token PONG") == "PONG"


@pytest.mark.parametrize(
    ("message", "code"), [(b"{}", 1003), ("x" * (32 * 1024 + 1), 1009), (["x" * 30_000] * 5, 1009)]
)
async def test_the_gateway_closes_on_what_aws_closes_on(
    emulated: str, settings_file: str, message: Any, code: int
) -> None:
    async with (
        deployed(emulated, settings_file) as gateway,
        connect(gateway.url, "", additional_headers=HEADERS) as socket,
    ):
        await socket.send(message)
        assert await closed(socket) == code


async def test_a_question_of_several_frames_is_answered(emulated: str, settings_file: str) -> None:
    async with (
        deployed(emulated, settings_file) as gateway,
        connect(gateway.url, "", additional_headers=HEADERS) as socket,
    ):
        content = "Reply with exactly the token PONG\n" + "\n" * 40_000
        question = json.dumps({"messages": [{"role": "user", "content": content}], "response_type": "full"})
        await socket.send([question[start : start + 30_000] for start in range(0, len(question), 30_000)])
        assert await received_text(socket) == "PONG"


async def test_a_connection_is_guarded_as_all_else(emulated: str, settings_file: str) -> None:
    async with deployed(emulated, settings_file) as gateway:
        for headers, status in (({}, 401), ({"x-api-key": "another"}, 401), ({**HEADERS, "Origin": "https://a"}, 403)):
            with pytest.raises(InvalidStatus) as raised:
                async with connect(gateway.url, "", additional_headers=headers):
                    pass
            assert raised.value.response.status_code == status


async def test_each_connection_has_its_own_rate(emulated: str, settings_file: str) -> None:
    async with deployed(emulated, settings_file, CW_PROXY_RATE_LIMIT_MAX="2") as gateway:
        for _ in range(2):
            async with connect(gateway.url, "", additional_headers=HEADERS) as socket:
                said = [await turn(socket, "Reply with exactly the token PONG") for _ in range(3)]
            assert said[:2] == ["PONG", "PONG"]
            assert json.loads(said[2])["error"]["type"] == "rate_limit_error"


async def test_without_the_prompt_socket_there_is_none(emulated: str, settings_file: str) -> None:
    async with deployed(emulated, settings_file, CW_PROXY_PROMPT_SOCKET="0") as gateway:
        with pytest.raises(InvalidStatus) as raised:
            async with connect(gateway.url, "", additional_headers=HEADERS):
                pass
        assert raised.value.response.status_code == 502
