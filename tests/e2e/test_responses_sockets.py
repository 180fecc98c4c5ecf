"""Many WebSockets on one process, and one that nobody reads."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from servers import PATIENCE, Program, control, serving
from websockets.asyncio.client import ClientConnection, connect

IDLE, ACTIVE, TURNS = 200, 20, 5
PIECES, PIECE = 150, 100_000
STILL = 5  # looks at a number that no longer changes

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory from /proc")


@pytest.fixture
def server(emulator_process: str) -> Iterator[tuple[str, Program]]:
    """A proxy of the test's own: nobody else takes memory in it."""
    with serving(emulator_process) as started:
        yield started


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[ClientConnection]:
    """Takes little that it does not read: neither here nor in the system's buffers."""
    parts = urlsplit(url)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    small.connect((parts.hostname, parts.port))
    async with connect(f"ws://{parts.netloc}/v1/responses", sock=small, max_size=None, max_queue=1) as connection:
        yield connection


async def ask(connection: ClientConnection, text: str, **more: Any) -> None:
    frame = {"type": "response.create", "model": "codewhisperer", "input": text, "store": False, **more}
    await connection.send(json.dumps(frame))


async def turn(connection: ClientConnection, text: str, **more: Any) -> tuple[Any, str]:
    """The response, and the text of its deltas."""
    await ask(connection, text, **more)
    return await answer(connection)


async def answer(connection: ClientConnection) -> tuple[Any, str]:
    deltas: list[str] = []
    while True:
        event = json.loads(await asyncio.wait_for(connection.recv(), PATIENCE))
        if event["type"] == "response.output_text.delta":
            deltas.append(event["delta"])
        elif event["type"] == "response.completed":
            return event["response"], "".join(deltas)
        assert event["type"] not in ("error", "response.failed"), event


def resident(running: Program) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


async def test_many_that_are_silent_and_some_that_talk(server: tuple[str, Program]) -> None:
    url, running = server

    async def talk(number: int) -> None:
        async with connected(url) as connection:
            previous: dict[str, str] = {}
            for at in range(TURNS):
                asked = f"Please remember the token {number}-{at}. List every remembered token"
                response, text = await turn(connection, asked, **previous)
                previous = {"previous_response_id": response["id"]}
                assert text == "remembered: " + ",".join(f"{number}-{one}" for one in range(at + 1))

    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(url)) for _ in range(IDLE)]
        await asyncio.gather(*map(talk, range(ACTIVE)))
        assert not any(connection.close_code for connection in idle)
        # Those that were silent are as good as new.
        texts = [(await turn(one, "Reply with exactly the token PONG"))[1] for one in idle[:: IDLE // 10]]
        assert texts == ["PONG"] * 10
    assert running.process.poll() is None


async def test_a_client_that_does_not_read_holds_memory_flat(
    server: tuple[str, Program], emulator_process: str
) -> None:
    url, running = server
    script = [{"repeat": PIECES, "steps": [{"text": "x" * PIECE, "piece": PIECE}]}]
    await asyncio.to_thread(control, emulator_process, "scripts/flood", script)
    async with connected(url) as lazy, connected(url) as busy:
        await turn(busy, "Reply with exactly the token PONG")
        before = resident(running)
        await ask(lazy, "Play the script flood")
        await still(running)
        assert (await turn(busy, "Reply with exactly the token PONG"))[1] == "PONG"
        assert resident(running) - before < PIECES * PIECE
        response, text = await answer(lazy)
        assert text == "x" * PIECES * PIECE == response["output"][0]["content"][0]["text"]


async def still(running: Program) -> None:
    """Until the process takes no more memory."""
    seen = [resident(running)]
    while len(seen) < STILL or len(set(seen[-STILL:])) > 1:
        await asyncio.sleep(0.2)
        seen.append(resident(running))
