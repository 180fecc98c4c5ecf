"""Frames of a toy protocol go in over real WebSockets; frames, closes and calls to the emulator come out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from servers import proxy

from cw_proxy.app import App
from cw_proxy.emulator import Emulator
from cw_proxy.errors import InvalidRequest, ProxyError
from cw_proxy.events import Reply
from cw_proxy.interfaces import NOBODY, Ask, Caller, Close, Encoder, ErrorReply, Later, Send, Stamp, WebSocket
from cw_proxy.model import Message, Request, TextPart
from cw_proxy.protocols.openai_chat import ChunkEncoder
from cw_proxy.transports.http_in import endpoints as served

PATH = "/toy"


class ToyAsk:
    stream = True

    def __init__(self, text: str) -> None:
        self.request = Request(model="auto", messages=(Message("user", (TextPart(text),)),))

    def encoder(self, stamp: Stamp) -> Encoder:
        return ChunkEncoder(self.request, False, stamp)

    def render(self, replies: Sequence[Reply], stamp: Stamp) -> bytes:
        raise NotImplementedError


class Toy:
    """`{"say": text, "lane": name}` asks; `{"echo": x}` is sent back; `{"close": n}` closes; anything else is wrong."""

    name = "toy"
    bindings = (WebSocket(PATH, lanes=2, turns=4),)
    swapped = False

    def session(self, caller: Caller = NOBODY) -> Any:
        return self

    def socket(self, caller: Caller) -> Any:
        return self

    def error(self, error: ProxyError) -> ErrorReply:
        return ErrorReply(error.status, error.headers(), error.body())

    def receive(self, frame: bytes) -> list[Ask | Send | Close | Later]:
        said = json.loads(frame)
        match said:
            case {"say": text}:
                return [Later(said.get("lane"), lambda: [ToyAsk(text)])]
            case {"ask": text}:
                return [ToyAsk(text)]
            case {"echo": _}:
                return [Send(frame)]
            case {"close": code}:
                return [Close(code, "bye")]
        raise InvalidRequest("What?")

    def frame(self, data: bytes) -> bytes:
        return data.swapcase() if self.swapped else data

    def failure(self, error: ProxyError, lane: str | None) -> bytes:
        return json.dumps({"error": error.code, "lane": lane}).encode()


@pytest.fixture
async def toy(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    async with toy_proxy(emulator, monkeypatch) as app:
        yield app


@asynccontextmanager
async def toy_proxy(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> AsyncIterator[App]:
    monkeypatch.setattr(served, "protocols", lambda options: [Toy()])
    async with proxy(emulator, **settings) as app:
        yield app


@asynccontextmanager
async def connected(app: App, **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session, session.ws_connect(app.url + PATH, **options) as socket:
        yield socket


async def turn(socket: aiohttp.ClientWebSocketResponse) -> str:
    """The text of one answer."""
    text = ""
    while True:
        frame = await socket.receive_str()
        if frame == "[DONE]":
            return text
        text += json.loads(frame)["choices"][0]["delta"].get("content") or ""


async def test_each_event_of_an_answer_is_a_frame(toy: App) -> None:
    async with connected(toy) as socket:
        for way in ("say", "ask"):
            await socket.send_json({way: "Count from 1 to 9"})
            assert await turn(socket) == "1 2 3 4 5 6 7 8 9"


async def test_the_session_says_what_a_frame_holds(toy: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "swapped", True)
    async with connected(toy) as socket:
        await socket.send_json({"say": "Reply with exactly the token PONG"})
        frames = [await socket.receive_str()]
        while frames[-1] != "[done]":
            frames.append(await socket.receive_str())
        assert '"CONTENT":"pong"' in "".join(frames)


async def test_what_needs_no_model_comes_at_once(toy: App) -> None:
    async with connected(toy) as socket:
        await socket.send_json({"echo": "é" * 100_000})
        assert await socket.receive_json() == {"echo": "é" * 100_000}


async def test_what_is_wrong_leaves_the_socket_open(toy: App) -> None:
    async with connected(toy) as socket:
        await socket.send_json({"huh": 1})
        assert await socket.receive_json() == {"error": "invalid_request", "lane": None}
        await socket.send_bytes(b"{}")
        assert await socket.receive_json() == {"error": "invalid_request", "lane": None}
        await socket.send_json({"say": "Play the script throttled", "lane": "a"})
        assert await socket.receive_json() == {"error": "rate_limit_exceeded", "lane": "a"}
        await socket.send_json({"say": "Reply with exactly the token PONG"})
        assert await turn(socket) == "PONG"


async def test_an_answer_that_breaks_off_is_an_error_in_its_own_frames(toy: App) -> None:
    async with connected(toy) as socket:
        await socket.send_json({"say": "Play the script exception"})
        frames = [await socket.receive_json()]
        while "error" not in frames[-1]:
            frames.append(await socket.receive_json())
        assert len(frames) > 1
        await socket.send_json({"say": "Reply with exactly the token PONG"})
        assert await turn(socket) == "PONG"


async def test_a_lane_keeps_its_order(toy: App) -> None:
    async with connected(toy) as socket:
        await socket.send_json({"say": "Play the script slow", "lane": "a"})
        await socket.send_json({"say": "Reply with exactly the token SECOND", "lane": "a"})
        assert [await turn(socket), await turn(socket)] == ["First. Second.", "SECOND"]


async def test_lanes_go_on_beside_each_other(toy: App) -> None:
    async with connected(toy) as socket:
        await socket.send_json({"say": "Play the script slow", "lane": "a"})
        await socket.send_json({"say": "Reply with exactly the token QUICK", "lane": "b"})
        ids: list[str] = []
        while len(ids) < 2:
            frame = await socket.receive_str()
            if frame != "[DONE]" and json.loads(frame)["choices"][0]["finish_reason"]:
                ids.append(json.loads(frame)["id"])
        assert len(set(ids)) == 2


async def test_lanes_and_turns_have_their_limits(toy: App) -> None:
    async with connected(toy) as socket:
        for lane in ("a", "b", None, "a", "c"):
            await socket.send_json({"say": "Play the script slow", "lane": lane})
        assert await socket.receive_json() == {"error": "websocket_stream_limit_reached", "lane": "c"}
    async with connected(toy) as socket:
        for lane in ("a", "b"):
            await socket.send_json({"say": "Reply with exactly the token PONG", "lane": lane})
        assert [await turn(socket), await turn(socket)] == ["PONG", "PONG"]
        await socket.send_json({"say": "x", "lane": "c"})
        assert (await socket.receive_json())["error"] == "websocket_stream_limit_reached"


async def test_the_protocol_may_close(toy: App) -> None:
    async with connected(toy) as socket:
        await socket.send_json({"close": 1008})
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1008


async def test_a_client_that_leaves_ends_its_calls(toy: App, emulator: Emulator) -> None:
    async with connected(toy) as socket:
        await socket.send_json({"say": "Play the script slow"})
        while emulator.stats.in_flight == 0:
            await asyncio.sleep(0.01)
    while emulator.stats.in_flight:
        await asyncio.sleep(0.01)
    assert toy.endpoints.active == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 426),
        ({"Upgrade": "websocket"}, 400),
        ({"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "https://a.example"}, 403),
    ],
)
async def test_who_may_not_come_in_is_told_in_http(toy: App, headers: dict[str, str], status: int) -> None:
    async with aiohttp.ClientSession() as session, session.get(toy.url + PATH, headers=headers) as response:
        assert response.status == status
        assert (await response.json())["error"]["message"]


async def test_a_key_may_be_demanded(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from cw_proxy.secret import Secret

    async with toy_proxy(emulator, monkeypatch, api_keys=[Secret("right")]) as app:
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            async with connected(app):
                pass
        assert raised.value.status == 401
        async with connected(app, headers={"x-api-key": "right"}) as socket:
            await socket.send_json({"echo": 1})
            assert await socket.receive_json() == {"echo": 1}


async def test_there_is_room_for_so_many(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async with toy_proxy(emulator, monkeypatch, max_sockets=1) as app, connected(app):
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            async with connected(app):
                pass
        assert raised.value.status == 503


async def test_each_turn_counts_against_the_rate_limit(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection counts once, then each turn."""
    async with (
        toy_proxy(emulator, monkeypatch, rate_limit_max=2, rate_limit_window=600.0) as app,
        connected(app) as socket,
    ):
        assert socket._response.headers["x-ratelimit-remaining-requests"] == "1"
        await socket.send_json({"say": "Count from 1 to 2"})
        assert await turn(socket) == "1 2"
        await socket.send_json({"say": "Count from 1 to 2"})
        assert await socket.receive_json() == {"error": "rate_limit_exceeded", "lane": None}
        with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
            async with connected(app):
                pass
        assert raised.value.status == 429


async def test_the_turns_of_one_client_have_their_limit(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async with toy_proxy(emulator, monkeypatch, max_streams_per_key=1) as app, connected(app) as socket:
        await socket.send_json({"say": "Play the script slow", "lane": "a"})
        while emulator.stats.in_flight == 0:
            await asyncio.sleep(0.01)
        await socket.send_json({"say": "Count from 1 to 2", "lane": "b"})
        frames = [await socket.receive_json()]
        while "error" not in frames[-1]:
            frames.append(await socket.receive_json())
        assert frames[-1] == {"error": "concurrency_limit_exceeded", "lane": "b"}


async def test_a_drain_waits_for_turns_and_closes_with_1001(toy: App) -> None:
    async with connected(toy) as idle, connected(toy) as busy:
        await busy.send_json({"say": "Play the script slow"})
        await busy.receive_str()
        draining = asyncio.create_task(toy.drain())
        assert (await idle.receive()).type is aiohttp.WSMsgType.CLOSE
        assert idle.close_code == 1001
        assert (await turn(busy)).endswith("Second.")
        assert (await busy.receive()).type is aiohttp.WSMsgType.CLOSE
        assert busy.close_code == 1001
        assert await draining


async def test_a_stop_closes_with_1012(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async with toy_proxy(emulator, monkeypatch) as app, connected(app) as socket:
        await socket.send_json({"say": "Play the script slow"})
        await socket.receive_str()
        stopping = asyncio.create_task(app.stop())
        while (await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
        assert socket.close_code == 1012
        await stopping


async def test_a_socket_has_its_time(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async with toy_proxy(emulator, monkeypatch, socket_age=0.2) as app, connected(app) as socket:
        assert (await socket.receive_json())["error"] == "websocket_connection_limit_reached"
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_a_frame_too_large_is_refused(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async with toy_proxy(emulator, monkeypatch, max_body_bytes=1000) as app, connected(app) as socket:
        await socket.send_str("x" * 2000)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1009


async def test_turns_that_wait_have_a_size_together(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    async with toy_proxy(emulator, monkeypatch, max_body_bytes=1000) as app, connected(app) as socket:
        for _ in range(2):
            await socket.send_json({"say": "Play the script slow", "padding": "x" * 600})
        assert (await socket.receive_json())["error"] == "websocket_stream_limit_reached"
        assert (await turn(socket)).endswith("Second.")
        await socket.send_json({"say": "Reply with exactly the token PONG", "padding": "x" * 600})
        assert await turn(socket) == "PONG"
