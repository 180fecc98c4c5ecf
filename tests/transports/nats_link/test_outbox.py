"""What becomes of messages when a real server dies, stalls, or comes back with another limit: none is lost unsaid."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats_peers import (
    SUBJECT,
    NatsServer,
    chat,
    client,
    code,
    nats_server,
    request,
    streamed,
    text_of,
    under_way,
    working,
)
from servers import PATIENCE, until

from cw_proxy.emulator import Emulator
from cw_proxy.errors import NatsUnavailable, ProxyError, RequestTooLarge
from cw_proxy.nats_settings import NatsConfig
from cw_proxy.transports.nats_link import client as nats_client
from cw_proxy.transports.nats_link.client import flushed
from cw_proxy.transports.nats_link.outbox import Outbox, Recipient
from cw_proxy.wire.nats_message import SEQUENCE, STATUS


class Listed(Recipient):
    """Keeps what it is told."""

    def __init__(self, *, streaming: bool = False, most: int | None = None) -> None:
        super().__init__("asker")
        self.streaming = streaming
        self.most = most
        self.told: list[str] = []

    def check_size(self, size: int, limit: int) -> None:
        if size > (self.most or limit):
            raise RequestTooLarge(f"{size} bytes")

    def gone(self) -> None:
        self.told.append("gone")

    async def fail(self, error: ProxyError) -> None:
        self.told.append(error.message)


@asynccontextmanager
async def opened(server: NatsServer) -> AsyncIterator[Outbox]:
    made = Outbox("work")
    await made.open(NatsConfig(server=server.url))
    try:
        yield made
    finally:
        await made.close()


async def test_messages_arrive_in_their_order(server: NatsServer) -> None:
    async with opened(server) as ours, client(server) as connection:
        asker = await connection.subscribe("asker")
        await flushed(connection)
        recipient = Listed(streaming=True)
        for number in range(100):
            await ours.send(recipient, str(number).encode(), {"Number": str(number)})
        found = [await asker.next_msg(PATIENCE) for _ in range(100)]
        assert [message.data for message in found] == [message.headers["Number"].encode() for message in found]
        assert [int(message.data) for message in found] == list(range(100))
        assert recipient.sent == 100
        await ours.drain()


async def test_what_was_sent_is_not_called_lost_when_it_closes(
    server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with client(server) as connection:
        asker = await connection.subscribe("asker")
        await flushed(connection)
        async with opened(server) as made:
            await made.send(Listed(), b"answer", {})
        assert (await asker.next_msg(PATIENCE)).data == b"answer"
    assert "lost" not in caplog.text


async def test_what_is_too_large_is_not_sent(server: NatsServer) -> None:
    async with opened(server) as ours:
        recipient = Listed(streaming=True, most=10)
        with pytest.raises(RequestTooLarge, match="11 bytes"):
            await ours.send(recipient, b"x" * 11, {})
        # A header and the line above it count as well.
        with pytest.raises(RequestTooLarge, match="29 bytes"):
            await ours.send(recipient, b"x" * 9, {"ab": "cd"})
        assert recipient.sent == 0


async def test_a_stream_that_nobody_listens_to(server: NatsServer) -> None:
    async with opened(server) as ours:
        whole, streaming = Listed(), Listed(streaming=True)
        for recipient in (whole, streaming):
            ours.expect(recipient)
            await ours.send(recipient, b"x", {})
        await until(lambda: streaming.told, "the server says so")
        assert (whole.told, streaming.told) == ([], ["gone"])


@pytest.mark.parametrize("end", [True, False])
async def test_a_stream_that_the_server_took_with_it(server: NatsServer, end: bool) -> None:
    """It is told with the next message, or, where its end is gone too, by itself; either way once."""
    async with opened(server) as ours:
        recipient = Listed(streaming=True)
        server.signal(signal.SIGSTOP)
        for body in (b"one", b"two", b"" if end else b"three"):
            await ours.send(recipient, body, {})
        server.kill()
        server.start()
        await until(lambda: ours._returned > 0, "the connection stands again")
        if end:
            await until(lambda: recipient.told, "it is told")
            assert ["may be missing" in words for words in recipient.told] == [True]
        else:
            with pytest.raises(NatsUnavailable, match="may be missing"):
                await ours.send(recipient, b"four", {})
            assert not recipient.told


# --- with a worker --------------------------------------------------------------------------------------------


ENDLESS = [{"repeat": 100_000, "steps": [{"text": "More. "}, {"delay": 0.01}]}]


DOWN = [{"delay": 0.3}, {"text": "done"}]


@pytest.mark.parametrize("patience", [0.1, 2.5])
async def test_what_is_in_hand_when_the_server_dies_is_answered(
    server: NatsServer, emulator: Emulator, patience: float
) -> None:
    """Askers that are back before the worker, and those that are back later, get their answer without asking again."""
    async with working(server, emulator) as worker, client(server, reconnect_time_wait=patience) as connection:
        asking = await under_way(connection, emulator, 30)
        server.kill()
        await until(lambda: emulator.stats.in_flight == 0, "the answers are there")
        server.start()
        assert [answer.data for answer in await asyncio.gather(*asking)] == [b"done"] * 30
        assert emulator.stats.requests == 30
        assert not worker.lost.is_set()


async def test_an_answer_that_the_server_did_not_take_is_sent_again(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker, client(server) as connection:
        asking = await under_way(connection, emulator, 5)
        # It stops reading: what is sent now dies with it.
        server.signal(signal.SIGSTOP)
        await until(lambda: len(worker._outbox._unconfirmed) == 5, "all answers are sent")
        server.kill()
        server.start()
        assert [answer.data for answer in await asyncio.gather(*asking)] == [b"done"] * 5
        await until(lambda: not worker._outbox._unconfirmed, "the new server has taken them")


async def test_a_stream_in_a_pause_survives_the_server(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["pause"] = [{"text": "before "}, {"delay": 0.5}, {"text": "after"}]
    async with working(server, emulator) as worker, client(server) as connection:
        asking = asyncio.create_task(streamed(connection, chat("play the script pause", stream=True)))
        await until(lambda: worker._outbox._unconfirmed, "the first part is sent")
        await until(lambda: not worker._outbox._unconfirmed, "the server has taken it")
        server.kill()
        server.start()
        *chunks, end = await asking
        assert text_of(chunks) == "before after"
        assert [message.headers[SEQUENCE] for message in (*chunks, end)] == list(map(str, range(1, len(chunks) + 2)))
        assert end.headers[STATUS] == "200"


async def test_a_stream_that_may_have_lost_a_part_says_so(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["endless"] = ENDLESS
    async with working(server, emulator) as worker, client(server) as connection:
        asking = asyncio.create_task(streamed(connection, chat("play the script endless", stream=True)))
        await until(lambda: worker._outbox._unconfirmed, "parts are sent")
        server.signal(signal.SIGSTOP)
        sent = len(worker._outbox._unconfirmed)
        await until(lambda: len(worker._outbox._unconfirmed) > sent + 3, "the server does not take them")
        server.kill()
        server.start()
        *chunks, end = await asking
        assert code(end) == end.headers[STATUS] == "503"
        assert json.loads(chunks[-1].data)["error"]["code"] == "nats_unavailable"
        await until(lambda: emulator.stats.in_flight == 0, "the call is dropped")


async def test_the_end_of_a_stream_is_not_lost(server: NatsServer, emulator: Emulator) -> None:
    """Its text and its end died with the server: there is an end all the same, and it does not look like a good one."""
    emulator.scripts["down"] = DOWN
    async with working(server, emulator) as worker, client(server) as connection:
        asking = asyncio.create_task(streamed(connection, chat("play the script down", stream=True)))
        await until(lambda: emulator.stats.in_flight == 1, "it is under way")
        server.signal(signal.SIGSTOP)
        await until(lambda: any(not parcel.body for parcel in worker._outbox._unconfirmed), "its end is sent")
        server.kill()
        server.start()
        [end] = await asking
        assert code(end) == "503"


async def test_an_asker_that_never_comes_back_is_given_up(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker:
        async with client(server) as connection:
            asking = await under_way(connection, emulator, 1)
            server.kill()
        server.start()
        await until(lambda: worker._outbox._returned > 0, "the server is back")
        await until(lambda: worker._counts.active == 0 and worker._outbox._repeating, "the answer waits by itself")
        worker._outbox._returned = 0.0  # long ago
        await until(lambda: not worker._outbox._repeating, "the answer is dropped")
        asking[0].cancel()
        async with client(server) as connection:
            assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"


async def test_a_connection_closed_for_good_is_lost(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker:
        await worker._outbox.client._process_err("'user authentication expired'")
        async with asyncio.timeout(PATIENCE):
            await worker.lost.wait()


async def test_what_a_new_connection_mends(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker, client(server) as connection:
        # More than the server takes: it says so, and ends the connection.
        await worker._outbox.client.publish(SUBJECT, b"x" * 1_048_576, headers={"a": "b"})
        await until(lambda: worker._outbox._returned > 0, "it is back")
        assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
        assert not worker.lost.is_set()


async def test_a_server_that_stalls(server: NatsServer, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than a flush waits: its late answer is no reason to go deaf."""
    monkeypatch.setattr(nats_client, "_FLUSH", 0.1)
    async with working(server, emulator) as worker, client(server) as connection:
        asking = await under_way(connection, emulator, 5)
        server.signal(signal.SIGSTOP)
        await until(lambda: len(worker._outbox._unconfirmed) == 5, "the answers are sent")
        late = len(worker._outbox.client._pongs)
        await until(lambda: len(worker._outbox.client._pongs) > late + 2, "flushes are given up")
        server.signal(signal.SIGCONT)
        assert [answer.data for answer in await asyncio.gather(*asking)] == [b"done"] * 5
        assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
        await until(lambda: not worker._outbox._unconfirmed, "the server has taken them")
        assert worker._outbox._breaks == 0


async def test_a_server_that_comes_back_with_a_smaller_limit(tmp_path: Path, emulator: Emulator) -> None:
    emulator.scripts["long"] = [{"delay": 0.3}, {"text": "x" * 5000, "piece": 5000}]
    with nats_server(tmp_path) as server:
        async with working(server, emulator) as worker, client(server) as connection:
            made = asyncio.create_task(request(connection, b"play the script long"))
            await until(lambda: emulator.stats.in_flight == 1, "it is under way")
            server.kill()
            server.configure("max_payload: 1000")
            server.start()
            assert code(await made) == "413"
            # What was sent already, and may be lost, is measured again as well.
            server.kill()
            server.configure("max_payload: 8000")
            server.start()
            await until(lambda: worker._outbox._breaks == 2 and worker._outbox._standing.is_set(), "the worker is back")
            await until(lambda: connection.is_connected, "the asker is back")
            sent = asyncio.create_task(request(connection, b"play the script long"))
            await until(lambda: emulator.stats.in_flight == 1, "it is under way")
            server.signal(signal.SIGSTOP)
            await until(lambda: worker._outbox._unconfirmed, "it is sent")
            server.kill()
            server.configure("max_payload: 1000")
            server.start()
            assert code(await sent) == "413"
            assert not worker.lost.is_set()


async def test_an_answer_waits_for_the_server_longer_than_it_may_take(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator, timeout=1.0), client(server) as connection:
        asking = await under_way(connection, emulator, 1)
        server.kill()
        await until(lambda: emulator.stats.in_flight == 0, "it is there")
        await asyncio.sleep(1)
        server.start()
        assert (await asking[0]).data == b"done"


async def test_a_stream_whose_time_runs_out_while_the_server_is_away(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["endless"] = ENDLESS
    async with working(server, emulator, timeout=1.0) as worker, client(server) as connection:
        asking = asyncio.create_task(streamed(connection, chat("play the script endless", stream=True)))
        await until(lambda: worker._outbox._unconfirmed, "parts are sent")
        server.signal(signal.SIGSTOP)
        await until(lambda: worker._outbox._unconfirmed, "the server does not take them")
        server.kill()
        await until(lambda: emulator.stats.in_flight == 0, "its time is over")
        server.start()
        assert code((await asking)[-1]) in ("503", "504")
