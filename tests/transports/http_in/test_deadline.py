"""Answers that must have ended by a time: what they end with before and after their first byte."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from servers import CHAT, Wire, chat, frames, request

from cw_proxy.app import App
from cw_proxy.emulator import Emulator
from cw_proxy.errors import TimeIsUp
from cw_proxy.transports.http_in.deadline import deadline_of, ended_by


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_block_that_is_done_in_time_is_left_alone() -> None:
    for when in (None, now() + 60):
        async with ended_by(when):
            await asyncio.sleep(0)


async def test_one_that_is_not_ends_with_an_error() -> None:
    with pytest.raises(TimeIsUp):
        async with ended_by(now() - 1):
            await asyncio.Event().wait()


async def test_a_time_limit_inside_is_another_matter() -> None:
    with pytest.raises(TimeoutError):
        async with ended_by(now() + 60):
            raise TimeoutError


async def test_a_connection_of_the_usual_kind_has_none() -> None:
    other: Any = SimpleNamespace(protocol=None)
    assert deadline_of(other) is None


@asynccontextmanager
async def connected(app: App, seconds: float) -> AsyncIterator[Wire]:
    """A connection whose answers must end within `seconds`."""
    ours, theirs = socket.socketpair()
    await app.serve(theirs, now() + seconds)
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def silent(emulator: Emulator, *steps: Any) -> bytes:
    emulator.scripts["silent"] = [*steps, {"delay": 3600}]
    return request("POST", CHAT, chat("Play the script silent", stream=True))


async def test_before_its_first_byte_an_answer_is_a_504(app: App, emulator: Emulator) -> None:
    async with connected(app, 0.2) as client:
        await client.send(silent(emulator))
        answer = await client.answer()
    assert (answer.status, answer.error["code"], answer.error["type"]) == (504, "time_is_up", "timeout_error")


async def test_after_it_a_stream_ends_with_an_error_frame(app: App, emulator: Emulator) -> None:
    async with connected(app, 2) as client:
        await client.send(silent(emulator, {"text": "Half an answer"}))
        answer = await client.answer()
    *chunks, last = frames(answer.body)
    assert (
        "".join(json.loads(chunk)["choices"][0]["delta"].get("content") or "" for chunk in chunks) == "Half an answer"
    )
    assert json.loads(last)["error"]["code"] == "time_is_up"
    assert b"[DONE]" not in answer.body


async def test_other_answers_of_that_time_are_whole(app: App) -> None:
    async with connected(app, 60) as client:
        for stream in (True, False):
            await client.send(request("POST", CHAT, chat("Count from 1 to 5", stream=stream)))
            assert b"5" in (await client.answer()).body
