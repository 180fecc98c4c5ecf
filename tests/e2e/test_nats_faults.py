"""Workers as processes on a real NATS server, under load: restarts, kills, and a server that dies."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client
from nats_peers import SUBJECT, NatsServer, client, nats_server, request, worker
from servers import PATIENCE, Program, until

from cw_proxy.emulator import Emulator

PAUSE = b"play the script pause"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as running:
        yield running


class Load:
    """Askers that ask again and again. A request whose time runs out is asked again, where that is allowed."""

    def __init__(self, connection: Client, timeout: float, again: bool) -> None:
        self.answered = self.repeated = 0
        self.ending = False
        self._connection = connection
        self._timeout = timeout
        self._again = again

    async def ask(self) -> None:
        while not self.ending:
            while await self._answer() != b"done":
                assert self._again, "a request was lost"
                self.repeated += 1
            self.answered += 1

    async def _answer(self) -> bytes:
        while True:
            try:
                return (await self._connection.request(SUBJECT, PAUSE, timeout=self._timeout)).data
            except nats.errors.TimeoutError:
                return b""
            except nats.errors.NoRespondersError:
                # The worker is not back yet, and nobody has taken the request: that is said at once.
                assert self._again, "nobody listens"
                await asyncio.sleep(0.02)

    async def more(self, number: int) -> None:
        goal = self.answered + number
        await until(lambda: self.answered >= goal, "requests are answered")


@asynccontextmanager
async def load(
    server: NatsServer, askers: int, timeout: float = PATIENCE, *, again: bool = False
) -> AsyncIterator[Load]:
    async with client(server, reconnect_time_wait=0.1, max_reconnect_attempts=-1) as connection:
        asking = Load(connection, timeout, again)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(askers):
                tasks.create_task(asking.ask())
            try:
                yield asking
            finally:
                asking.ending = True


async def ended(running: Program) -> None:
    running.send(signal.SIGTERM)
    assert await asyncio.to_thread(running.wait) == 0, running.err.decode()


async def test_thirty_rolling_restarts_lose_nothing(server: NatsServer, emulator: Emulator) -> None:
    """Each of two workers is replaced in turn while 32 keep asking. Nobody asks twice."""
    emulator.scripts["pause"] = [{"delay": 0.02}, {"text": "done"}]
    start = ("--nats_server", server.url)
    with ExitStack() as stack:
        working = [stack.enter_context(worker(emulator.url, *start)) for _ in range(2)]
        async with load(server, 32) as asking:
            for _ in range(30):
                await asking.more(40)
                # The new one starts while the old one ends: neither waits for the other.
                new = asyncio.to_thread(stack.enter_context, worker(emulator.url, *start))
                _, started = await asyncio.gather(ended(working.pop(0)), new)
                working.append(started)
            await asking.more(40)
        for running in working:
            await ended(running)
    assert asking.answered >= 31 * 40
    assert emulator.stats.requests == asking.answered


async def test_a_killed_worker_loses_what_it_was_answering_and_nothing_else(
    server: NatsServer, emulator: Emulator
) -> None:
    emulator.scripts["pause"] = [{"delay": 1.0}, {"text": "done"}]
    start = ("--nats_server", server.url)
    with worker(emulator.url, *start), worker(emulator.url, *start) as victim:
        async with client(server) as connection:
            asking = [asyncio.create_task(connection.request(SUBJECT, PAUSE, timeout=4)) for _ in range(60)]
            await until(lambda: emulator.stats.in_flight == 60, "all are under way")
            active = await _active(connection)
            victim.send(signal.SIGKILL)
            answers = await asyncio.gather(*asking, return_exceptions=True)
            (survivor,) = await _active(connection)
            # The others are told by their own clock, and by nothing else.
            failed = [answer for answer in answers if isinstance(answer, nats.errors.TimeoutError)]
            assert len(answers) - len(failed) == active[survivor]
            assert len(failed) == sum(active.values()) - active[survivor] > 0
            assert {answer.data for answer in answers if not isinstance(answer, BaseException)} == {b"done"}


async def _active(connection: Client) -> dict[str, int]:
    """How many requests each worker is answering, by its id."""
    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox)
    await connection.publish("$SRV.STATS.cw-proxy", reply=inbox)
    found = {}
    try:
        while len(found) < 2:
            told = json.loads((await subscription.next_msg(1)).data)
            found[told["id"]] = told["endpoints"][0]["data"]["active"]
    except nats.errors.TimeoutError:
        pass
    return found


async def test_asking_again_makes_up_for_a_killed_worker(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["pause"] = [{"delay": 0.05}, {"text": "done"}]
    start = ("--nats_server", server.url)
    with worker(emulator.url, *start), worker(emulator.url, *start) as victim:
        async with load(server, 100, timeout=3, again=True) as asking:
            await asking.more(400)
            victim.send(signal.SIGKILL)
            await asking.more(1000)
    # One try more for each that was with the victim, of 100 at most.
    assert 0 < asking.repeated <= 100


async def test_a_server_that_is_away_for_a_second_loses_nothing(server: NatsServer, emulator: Emulator) -> None:
    """Under load. What died within the server reached no worker, so that only its asker can know of it."""
    emulator.scripts["pause"] = [{"delay": 0.05}, {"text": "done"}]
    with worker(emulator.url, "--nats_server", server.url) as running:
        async with load(server, 50, timeout=5, again=True) as asking:
            await asking.more(200)
            server.kill()
            await asyncio.sleep(1)
            server.start()
            await asking.more(1000)
        async with client(server) as connection:
            assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
        await ended(running)
    assert asking.repeated <= 50
    lines = running.err.decode().splitlines()
    assert [line for line in lines if line.endswith("Connected to NATS Server again")]
    assert b"Traceback" not in running.err
