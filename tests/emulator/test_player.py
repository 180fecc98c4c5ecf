"""Plans on a real connection."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web
from emulator_client import Caller, a_body

from cw_proxy.emulator import Emulator
from cw_proxy.emulator.player import Player
from cw_proxy.emulator.script import Lose, Write
from cw_proxy.wire.eventstream import FrameDecoder, TruncatedStream


async def test_bytes_one_by_one(emulator: Emulator, caller: Caller) -> None:
    emulator.scripts["bytes"] = [{"chunk": 1}, {"text": "abc"}, {"tail": False}]
    pieces = []
    url = caller.url + "/generateAssistantResponse"
    async with caller.session.post(url, json=a_body("play the script bytes")) as response:
        async for data, _ in response.content.iter_chunks():
            pieces.append(data)
    assert {len(piece) for piece in pieces} == {1}
    assert len(FrameDecoder().feed(b"".join(pieces))) == 1


@pytest.mark.parametrize("name", ["drop", "reset", "abort-in-frame"])
async def test_lost_connections_lose_nothing_that_was_sent(emulator: Emulator, caller: Caller, name: str) -> None:
    seen = await caller.ask(f"play the script {name}")
    assert seen.lost
    assert seen.text.startswith("Before the ")
    assert (emulator.stats.cancelled_by_client, emulator.stats.in_flight) == (0, 0)


async def test_nothing_that_waits_in_the_process_is_thrown_away() -> None:
    """More than the sockets take, on a connection that never asks its writer to wait."""
    size = 32 * 1024 * 1024

    async def handle(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.set_write_buffer_limits(high=2 * size)
        return await Player(request).play([Write(bytes(size)), Lose()], {})

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        assert await _received(f"http://127.0.0.1:{runner.addresses[0][1]}/") == size
    finally:
        await runner.cleanup()


async def _received(url: str) -> int:
    received = 0
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            async for chunk in response.content.iter_any():
                received += len(chunk)
    return received


async def test_a_clean_end_inside_a_frame(caller: Caller) -> None:
    seen = await caller.ask("play the script cut-in-frame")
    assert not seen.lost
    assert isinstance(seen.fault, TruncatedStream)


async def test_frames_come_while_the_answer_waits(emulator: Emulator, caller: Caller) -> None:
    response = await caller.session.post(caller.url + "/generateAssistantResponse", json=a_body("play the script hang"))
    async with asyncio.timeout(10):
        data = b""
        while b"thing. " not in data:
            data += await response.content.readany()
    assert emulator.stats.in_flight == 1
    response.close()
