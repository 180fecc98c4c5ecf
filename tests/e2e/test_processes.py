"""The server as a process: signals, two servers with one sign-in, a sign-in beside it; and that no secret gets out."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from servers import (
    PATIENCE,
    TOKEN,
    Answer,
    Wire,
    ask,
    control,
    post,
    program,
    request,
    run,
    said,
    serving,
    stats,
    urls,
    wire,
)

PONG = "Reply with exactly the token PONG"
READY = request("GET", "/health/ready")


@pytest.fixture
def emulator_url() -> Iterator[str]:
    """One for each test: its numbers are counted."""
    with program("emulator", "--auto-approve", "--strict-tokens") as emulator:
        url = emulator.first_line()
        control(url, "settings", {"strict_tokens": False})
        yield url


@asynccontextmanager
async def hanging(url: str) -> AsyncIterator[Wire]:
    """A stream that never ends, whose first words have come."""
    async with wire(url) as connection:
        await connection.send(post("Play the script hang", stream=True))
        await connection.until(b"Then")
        yield connection


async def until_status(url: str, data: bytes, status: int) -> Answer:
    async with asyncio.timeout(PATIENCE):
        while (answer := await ask(url, data)).status != status:
            await asyncio.sleep(0.02)
        return answer


# --- signals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once(emulator_url: str, number: signal.Signals) -> None:
    with serving(emulator_url) as (_, server):
        server.send(number)
        assert server.wait() == 0
    assert server.err == b""


async def test_a_server_that_ends_lets_open_streams_finish(emulator_url: str) -> None:
    control(emulator_url, "scripts/two", [{"text": "First. "}, {"delay": 1.5}, {"text": "Second."}])
    with serving(emulator_url) as (url, server):
        async with wire(url) as connection:
            await connection.send(post("Play the script two", stream=True))
            status, _ = await connection.head()
            server.send(signal.SIGTERM)
            ready = await until_status(url, READY, 503)
            refused = await ask(url, post(PONG))
            assert (status, ready.json) == (200, {"status": "draining"})
            assert (refused.status, refused.error["code"]) == (503, "shutting_down")
            assert server.process.poll() is None, "the stream is still open"
            body = b"".join([chunk async for chunk in connection.chunks()])
        assert said(body) == "First. Second."
        assert server.wait() == 0
    assert b"Traceback" not in server.err


async def test_a_server_that_ends_still_gives_a_whole_answer(emulator_url: str) -> None:
    control(emulator_url, "scripts/late", [{"delay": 1}, {"text": "x" * 200_000, "piece": 10_000}])
    with serving(emulator_url) as (url, server):
        async with wire(url) as connection:
            await connection.send(post("Play the script late"))
            await until_stats(emulator_url, in_flight=1)
            server.send(signal.SIGTERM)
            answer = await connection.answer()
        assert answer.json["choices"][0]["message"]["content"] == "x" * 200_000
        assert server.wait() == 0


async def test_a_second_signal_does_not_wait(emulator_url: str) -> None:
    with serving(emulator_url) as (url, server):
        async with hanging(url) as connection:
            server.send(signal.SIGTERM)
            await until_status(url, READY, 503)
            server.send(signal.SIGTERM)
            assert await asyncio.to_thread(server.wait) == 0
            assert b"[DONE]" not in await connection.read()
    await until_stats(emulator_url, in_flight=0)


async def until_stats(emulator_url: str, **wanted: Any) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while True:
            seen = await asyncio.to_thread(stats, emulator_url)
            if {**seen, **wanted} == seen:
                return seen
            await asyncio.sleep(0.02)


async def test_a_client_that_leaves_ends_the_call_to_the_service(emulator_url: str, record_property: Any) -> None:
    with serving(emulator_url) as (url, _):
        async with hanging(url) as connection:
            left = time.monotonic()
            connection.vanish()
            await until_stats(emulator_url, cancelled_by_client=1, in_flight=0)
            record_property("seconds_to_cancel", time.monotonic() - left)


# --- one sign-in, several processes -----------------------------------------------------------------------


async def signed_in(emulator_url: str, home: Path) -> dict[str, str]:
    """What `serve` needs to use the sign-in that `cw-proxy login` has just made."""
    control(emulator_url, "settings", {"strict_tokens": True})
    environment = {**urls(emulator_url), "CW_PROXY_HOME": str(home)}
    done = await asyncio.to_thread(run, "login", "--no-browser", environment=environment)
    assert done.returncode == 0, done.stderr
    return {**environment, "CW_PROXY_ACCESS_TOKEN": ""}


async def test_who_signs_in_while_the_server_runs_is_answered(emulator_url: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serving(emulator_url, CW_PROXY_ACCESS_TOKEN="", CW_PROXY_HOME=str(home)) as (url, server):
        answer = await ask(url, post(PONG, stream=True))
        assert (answer.status, answer.error["code"]) == (401, "login_required")
        await signed_in(emulator_url, home)
        await until_status(url, post(PONG), 200)
        assert server.process.poll() is None


async def test_two_servers_and_a_hundred_requests_that_meet_an_expired_token_make_one_refresh(
    emulator_url: str, tmp_path: Path
) -> None:
    environment = await signed_in(emulator_url, tmp_path / "home")
    with serving(emulator_url, **environment) as (one, _), serving(emulator_url, **environment) as (two, _):
        for url in (one, two):
            assert (await ask(url, post(PONG))).status == 200
        control(emulator_url, "expire", {})
        answers = await asyncio.gather(
            *(ask(url, post(f"Reply with exactly the token T{at}")) for at in range(50) for url in (one, two))
        )
    assert [answer.status for answer in answers] == [200] * 100
    contents = [answer.json["choices"][0]["message"]["content"] for answer in answers]
    assert contents == [f"T{at}" for at in range(50) for _ in (one, two)]
    seen = stats(emulator_url)
    assert (seen["refreshes"], seen["refresh_reuse"]) == (1, 0)


# --- secrets ----------------------------------------------------------------------------------------------

KEY = "canary-client-key-0123456789"
OTHER_KEY = "canary-wrong-key-9876543210"
CANARY = "canary-access-token-0123456789"

CALLS = [
    post(PONG),
    post(PONG, stream=True),
    post("Play the script exception", stream=True),
    post("Play the script throttled"),
    post("Fault 403 times 1 id leaks"),
    post("Play the script server-error"),
    post("Play the script drop"),
    post("x", messages=[{"role": "user", "content": 7}]),
    post("x", model="no-such-model"),
    request("GET", "/v1/models"),
    request("GET", "/health"),
    request("GET", "/v1/models/no-such-model"),
]


def with_key(data: bytes, key: str) -> bytes:
    line, rest = data.split(b"\r\n", 1)
    return b"\r\n".join([line, f"Authorization: Bearer {key}".encode(), rest])


async def outcomes(url: str) -> bytes:
    """Whatever the server says to all kinds of requests."""
    seen = b""
    garbage = [
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization Bearer {KEY}\r\n\r\n".encode(),
        f"G@T / HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nAuthorization: Bearer {KEY}{'x' * 20_000}\r\n\r\n".encode(),
        with_key(request("GET", "/health", headers={"Host": "evil"}), KEY),
    ]
    for data in [*(with_key(call, KEY) for call in CALLS), *(with_key(call, OTHER_KEY) for call in CALLS), *garbage]:
        async with wire(url) as connection:
            await connection.send(data)
            answer = await connection.answer()
            seen += str(answer.all_headers).encode() + answer.body
    return seen


def secrets_in(*places: bytes) -> list[str]:
    text = b"".join(places).decode(errors="replace")
    return [secret for secret in (KEY, OTHER_KEY, CANARY, TOKEN) if secret in text]


@pytest.mark.parametrize("debug", [False, True], ids=["quiet", "debug"])
async def test_a_ready_token_and_client_keys_get_nowhere(emulator_url: str, debug: bool) -> None:
    arguments = ["--api-key", KEY, *(["--debug"] if debug else [])]
    with serving(emulator_url, *arguments, CW_PROXY_ACCESS_TOKEN=CANARY) as (url, server):
        answers = await outcomes(url)
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    assert b"PONG" in answers
    assert b"invalid_api_key" in answers
    assert secrets_in(answers, server.out, server.err) == []


async def test_the_secrets_of_a_sign_in_get_nowhere(emulator_url: str, tmp_path: Path) -> None:
    """Also while it is renewed, which is when libraries log what they send."""
    environment = await signed_in(emulator_url, tmp_path / "home")
    secrets = secrets_of(tmp_path / "home")
    with serving(emulator_url, "--debug", "--api-key", KEY, **environment) as (url, server):
        answers = await outcomes(url)
        control(emulator_url, "expire", {})
        answers += await outcomes(url)
        control(emulator_url, "settings", {"next_token_errors": ["invalid_grant"]})
        control(emulator_url, "expire", {})
        answers += (await ask(url, with_key(post(PONG), KEY))).body
        server.send(signal.SIGTERM)
        assert server.wait() == 0
    secrets += secrets_of(tmp_path / "home")
    told = (answers + server.out + server.err).decode(errors="replace")
    assert len(secrets) >= 4
    assert [name for name, secret in secrets if secret in told] == []
    assert secrets_in(answers, server.out, server.err) == []


def secrets_of(home: Path) -> list[tuple[str, str]]:
    fields = json.loads((home / "tokens.json").read_text())
    return [(name, fields[name]) for name in ("accessToken", "refreshToken", "clientSecret") if fields.get(name)]
