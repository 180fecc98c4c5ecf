"""Streamed answers: when the 200 goes out, what a failure looks like before and after it, silence, slow readers."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from servers import PATIENCE, Wire, ask, chat, frames, post, proxy, request, said, until, wire

from cw_proxy.app import App
from cw_proxy.emulator import Emulator
from cw_proxy.emulator.frames import event_frame
from cw_proxy.events import Begin, End, Event, Fail, Text
from cw_proxy.guard import Guard
from cw_proxy.transports.http_in import HttpServer, Timing
from cw_proxy.transports.http_in.routes import Routes
from cw_proxy.transports.http_in.stream import stream_answer
from cw_proxy.wire import sse


def play(script: str, **more: Any) -> bytes:
    return post(f"Play the script {script}", **more)


# --- before the 200 ---------------------------------------------------------------------------------------

BEFORE: list[tuple[str, int, str, str, dict[str, str | None]]] = [
    ("throttled", 429, "rate_limit_error", "rate_limit_exceeded", {"retry-after": "2", "retry-after-ms": "2000"}),
    ("no-capacity", 429, "rate_limit_error", "rate_limit_exceeded", {"retry-after": "2"}),
    ("quota", 429, "insufficient_quota", "insufficient_quota", {"retry-after": None, "x-should-retry": "false"}),
    ("quota-as-throttling", 429, "insufficient_quota", "insufficient_quota", {"retry-after": None}),
    ("too-long", 400, "invalid_request_error", "context_length_exceeded", {"x-should-retry": "false"}),
    ("feature-not-supported", 403, "permission_error", "upstream_access_denied", {"x-should-retry": "false"}),
    ("server-error", 502, "upstream_error", "upstream_unavailable", {}),
    ("unavailable", 502, "upstream_error", "upstream_unavailable", {}),
    ("exception-first", 502, "upstream_error", "upstream_unavailable", {}),
    ("empty", 502, "upstream_error", "empty_upstream_response", {}),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("script", "status", "kind", "code", "headers"), BEFORE, ids=[case[0] for case in BEFORE])
async def test_a_failure_before_the_first_event_has_a_status(
    app: App, script: str, status: int, kind: str, code: str, headers: dict[str, str | None], stream: bool
) -> None:
    answer = await ask(app.url, play(script, stream=stream))
    assert (answer.status, answer.error["type"], answer.error["code"]) == (status, kind, code)
    assert {name: answer.headers.get(name) for name in headers} == headers


# --- after the 200 ----------------------------------------------------------------------------------------

AFTER = [
    ("exception", "partial", "upstream_unavailable"),
    ("exception-unmodeled", "partial", "rate_limit_exceeded"),
    ("error-frame", "partial", "upstream_unavailable"),
    ("crc-flip", "Before. ", "upstream_truncated"),
    ("cut-in-frame", "Before the cut. ", "upstream_truncated"),
    ("abort-in-frame", "Before the abort. ", "upstream_truncated"),
    ("drop", "Before the drop. ", "upstream_truncated"),
    ("reset", "Before the reset. ", "upstream_truncated"),
]


@pytest.mark.parametrize(("script", "text", "code"), AFTER, ids=[case[0] for case in AFTER])
async def test_a_failure_after_it_ends_the_stream_and_never_looks_like_success(
    app: App, emulator: Emulator, script: str, text: str, code: str
) -> None:
    # Time to send the text before the break: what the proxy has when it breaks is all it can pass on.
    steps = list(emulator.scripts[script])
    emulator.scripts["paused"] = [steps[0], {"delay": 0.05}, *steps[1:]]
    answer = await ask(app.url, play("paused", stream=True, stream_options={"include_usage": True}))
    assert answer.status == 200
    *chunks, last = map(json.loads, frames(answer.body))
    deltas = [choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]]
    assert "".join(deltas) == text
    assert set(last) == {"error"}
    assert set(last["error"]) == {"message", "type", "param", "code"}
    assert last["error"]["code"] == code
    assert b"[DONE]" not in answer.body
    assert {choice["finish_reason"] for chunk in chunks for choice in chunk["choices"]} == {None}


@pytest.mark.parametrize("script", [case[0] for case in AFTER])
async def test_a_whole_answer_that_breaks_is_no_answer(app: App, script: str) -> None:
    answer = await ask(app.url, play(script))
    assert answer.status in (429, 502)
    assert answer.error["type"] in ("rate_limit_error", "upstream_error")


async def test_a_good_stream(app: App) -> None:
    answer = await ask(app.url, post("Count from 1 to 5", stream=True))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert "content-encoding" not in answer.headers
    assert said(answer.body) == "1 2 3 4 5"
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_every_byte_alone_makes_the_same_text(app: App) -> None:
    answer = await ask(app.url, play("one-byte-chunks", stream=True))
    assert said(answer.body) == "Every byte alone, é and 😀."


async def test_the_answer_comes_as_the_service_sends_it(app: App) -> None:
    """The first words are here while the service still waits: nothing collects them."""
    async with wire(app.url) as connection:
        await connection.send(play("hang", stream=True))
        await connection.until(b"Then")


# --- silence ----------------------------------------------------------------------------------------------

BOOM = {"exception": "error", "payload": {"message": "boom"}}


async def silent(emulator: Emulator, steps: list[dict[str, Any]]) -> bytes:
    emulator.scripts["silent"] = steps
    async with proxy(emulator, ping_interval=0.05) as app:
        answer = await ask(app.url, play("silent", stream=True))
    assert answer.status == 200
    return answer.body


async def test_silence_before_the_first_event_is_filled(emulator: Emulator) -> None:
    body = await silent(emulator, [{"delay": 0.3}, {"text": "Late."}])
    assert body.startswith(b": ping\n\n")
    assert said(body) == "Late."


async def test_silence_in_the_middle_is_filled(emulator: Emulator) -> None:
    body = await silent(emulator, [{"text": "First. "}, {"delay": 0.3}, {"text": "Second."}])
    first, rest = body.split(b": ping\n\n", 1)
    assert b"First" in first
    assert b"Second" in rest.split(b": ping\n\n")[-1]
    assert said(body) == "First. Second."


async def test_a_failure_after_a_ping_comes_in_the_stream(emulator: Emulator) -> None:
    body = await silent(emulator, [{"delay": 0.2}, BOOM])
    assert body.startswith(b": ping\n\n")
    (only,) = frames(body)
    assert json.loads(only)["error"]["message"] == "boom"


async def test_a_stream_that_flows_gets_no_pings(emulator: Emulator) -> None:
    async with proxy(emulator, ping_interval=20) as app:
        answer = await ask(app.url, play("slow", stream=True))
    assert b": ping" not in answer.body


# --- streams made by hand, for what no service can time ---------------------------------------------------


class Lines:
    """Encodes events as lines of themselves."""

    ended = False
    ping = sse.PING

    def feed(self, events: list[Event]) -> bytes:
        self.ended = isinstance(events[-1], (End, Fail))
        return b"".join(b"data: %s\n\n" % str(event).encode() for event in events)


@asynccontextmanager
async def streaming(
    batches: Callable[[], AsyncGenerator[list[Event], None]], ping: float = 10.0
) -> AsyncIterator[HttpServer]:
    async def handler(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        return await stream_answer(request, batches(), Lines(), extra, Timing(ping=ping, write=10.0))

    routes = Routes()
    routes.add("GET", "/stream", handler)
    server = HttpServer(routes=routes, guard=Guard.of([], [], []))
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.stop()


async def test_a_fault_of_ours_in_the_middle_breaks_the_stream_off() -> None:
    """No second answer inside the first, and no clean end of the body: that would look like success."""

    async def batches() -> AsyncGenerator[list[Event], None]:
        yield [Begin(), Text("one")]
        raise RuntimeError("of the insides")

    async with streaming(batches) as server, wire(server.url) as connection:
        await connection.send(request("GET", "/stream"))
        seen = b""
        while data := await connection.read():
            seen += data
    assert b"one" in seen
    assert seen.count(b"HTTP/1.1") == 1
    assert not seen.endswith(b"0\r\n\r\n")


async def test_a_ping_that_falls_together_with_the_end_is_dropped() -> None:
    """Both are due at once; the end comes first in the queue, and nothing may be written after it."""
    ping, faults = 0.1, list[dict[str, Any]]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))

    async def batches() -> AsyncGenerator[list[Event], None]:
        yield [Begin(), Text("one")]
        end = loop.create_future()
        loop.call_later(ping - 0.02, time.sleep, 0.06)  # holds the loop until both timers are due
        loop.call_later(ping - 0.01, end.set_result, None)
        await end
        yield [End("stop")]

    async with streaming(batches, ping) as server, wire(server.url) as connection:
        answers = []
        for _ in range(2):  # what is written too late would stand before the second answer
            await connection.send(request("GET", "/stream"))
            answers.append(await connection.answer())
    gc.collect()
    assert [answer.body.count(b"data: ") for answer in answers] == [3, 3]
    assert [fault["message"] for fault in faults] == []


# --- slow readers -----------------------------------------------------------------------------------------

PIECE = event_frame("assistantResponseEvent", json.dumps({"content": "x" * 8000}).encode())
PIECES = 8000  # 64 MB


class Fountain:
    """A service that says as much as is read of it: `sent` bytes so far."""

    def __init__(self) -> None:
        self.sent = 0
        self.lost = False
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n")
            writer.write(b"Connection: close\r\n\r\n")
            for _ in range(PIECES):
                writer.write(PIECE)
                await writer.drain()
                self.sent += len(PIECE)
        except (ConnectionError, asyncio.CancelledError):
            self.lost = True
        finally:
            writer.close()


@pytest.fixture
async def fountain() -> AsyncIterator[Fountain]:
    source = Fountain()
    server = await asyncio.start_server(source.serve, "127.0.0.1", 0)
    source.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield source
    server.close()


@asynccontextmanager
async def lazy_reader(app: App) -> AsyncIterator[Wire]:
    """Asks, and then reads nothing: asyncio reads ahead by its limit only, the kernel by a small buffer."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    raw.connect(("127.0.0.1", int(app.url.rpartition(":")[2])))
    reader, writer = await asyncio.open_connection(sock=raw, limit=4096)
    try:
        connection = Wire(reader, writer)
        await connection.send(request("POST", "/v1/chat/completions", chat("Hello", stream=True)))
        yield connection
    finally:
        writer.transport.abort()


async def test_a_client_that_does_not_read_stops_the_service(fountain: Fountain) -> None:
    async with proxy(fountain.url) as app, lazy_reader(app) as connection:
        before = -1
        while fountain.sent > before:
            before = fountain.sent
            await asyncio.sleep(0.3)
        assert 0 < fountain.sent < PIECES * len(PIECE) / 3, "kernel buffers and little more"
        read = 0
        while fountain.sent == before:
            read += len(await connection.read())
        assert read > 0, "reading on makes it flow again"
        assert not fountain.lost


async def test_a_client_that_never_reads_is_given_up(fountain: Fountain) -> None:
    async with proxy(fountain.url, ping_interval=0.1, write_timeout=0.2) as app, lazy_reader(app) as connection:
        await until(lambda: fountain.lost, "the call to the service is dropped")
        await until(app.endpoints.idle.is_set, "the proxy forgets the request")
        seen = b""
        while data := await asyncio.wait_for(connection.read(), PATIENCE):
            seen = seen[-100:] + data
        assert b"[DONE]" not in seen
