"""Plans on a real connection."""

from __future__ import annotations

import asyncio

import pytest
from emulator_client import Caller, a_body

from cw_proxy.emulator import Emulator
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


async def test_a_large_answer_is_sent_before_the_connection_is_lost(emulator: Emulator, caller: Caller) -> None:
    """More than the socket takes at once: what waits in the process must not be thrown away."""
    payload = {"content": "x" * 1_000_000}
    emulator.scripts["large"] = [{"event": "assistantResponseEvent", "payload": payload}, {"drop": True}]
    seen = await caller.ask("play the script large")
    assert (seen.lost, len(seen.text)) == (True, 1_000_000)


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
