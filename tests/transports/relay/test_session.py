"""Frames and ends: everything passes unchanged, both sides learn how it ended, and nothing is heaped up."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import PATIENCE, program, request, until, wire
from websocket_peers import UPGRADE, Counts, client, closed, config, echo, received, relay, silence, upstream
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection

from cw_proxy.transports.relay import Relay
from cw_proxy.transports.relay.session import Pace, Session

End = Callable[[Relay, Connection, ServerConnection], Awaitable[None]]

PIECE = 64 * 1024
FLOOD = 2000  # pieces: 125 MiB, more than all buffers on the way together
FLAT = 32 * 1024  # KiB that the relay may grow by


# --- what passes ------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.lists(st.text(max_size=300) | st.binary(max_size=300), max_size=8))
async def test_texts_and_bytes_pass_unchanged_and_in_order(messages: list[str | bytes]) -> None:
    async with upstream(echo) as peer, relay(config(peer.url)) as running, client(running) as socket:
        for message in messages:
            await socket.send(message)
        assert [await received(socket) for _ in messages] == messages


async def test_large_and_fragmented_messages_pass_whole() -> None:
    large = "ä" * 2_000_000
    async with upstream(echo) as peer, relay(config(peer.url)) as running, client(running) as socket:
        await socket.send(large)
        assert await received(socket) == large
        await socket.send([large[:1000], "", large[1000:2000]])
        assert await received(socket) == large[:2000]
        await socket.send([b"\x00\xff", b"\xfe"])
        assert await received(socket) == b"\x00\xff\xfe"


async def test_pings_are_answered_on_both_sides() -> None:
    async with upstream(silence) as peer, relay(config(peer.url)) as running, client(running) as socket:
        await asyncio.wait_for(await socket.ping(b"from the client"), PATIENCE)
        await asyncio.wait_for(await peer.sockets[0].ping(b"from the upstream"), PATIENCE)


# --- how it ends ------------------------------------------------------------------------------------------

CLOSES = [
    (1000, "bye", 1000),
    (1001, "", 1001),
    (1008, "policy ü", 1008),
    (1011, "broken", 1011),
    (1012, "restart", 1012),
    (1013, "x" * 123, 1013),
    (3000, "", 3000),
    (4999, "own", 4999),
    (None, "", 1000),
]


async def leave(socket: Connection, code: int | None, reason: str) -> None:
    socket.protocol.send_close(code, reason)
    socket.send_data()


@pytest.mark.parametrize(("code", "reason", "seen"), CLOSES)
async def test_the_upstream_learns_how_the_client_closed(code: int | None, reason: str, seen: int) -> None:
    counts = Counts()
    async with upstream(silence) as peer, relay(config(peer.url), metrics=counts) as running, client(running) as socket:
        await leave(socket, code, reason)
        assert await closed(peer.sockets[0]) == (seen, reason)
        await asyncio.wait_for(socket.wait_closed(), PATIENCE)
    assert counts.ended == [("", "ok")]


@pytest.mark.parametrize(("code", "reason", "seen"), CLOSES)
async def test_the_client_learns_how_the_upstream_closed(code: int | None, reason: str, seen: int) -> None:
    counts = Counts()

    async def closing(socket: ServerConnection) -> None:
        await socket.send("last words")
        await leave(socket, code, reason)
        await socket.wait_closed()

    async with upstream(closing) as peer, relay(config(peer.url), metrics=counts) as running, client(running) as socket:
        assert await received(socket) == "last words"
        assert await closed(socket) == (seen, reason)
    assert counts.ended == [("", "ok" if seen in (1000, 1001) else "upstream_error")]


async def test_an_upstream_that_dies_is_told_as_an_error() -> None:
    counts = Counts()
    async with upstream(silence) as peer, relay(config(peer.url), metrics=counts) as running:
        async with client(running) as socket:
            await socket.send("on the way")
            peer.sockets[0].transport.abort()
            assert await closed(socket) == (1011, "The upstream's connection was lost.")
        await until(lambda: counts.ended, "the session is counted")
    assert counts.ended == [("", "upstream_error")]


async def test_an_upstream_that_hangs_up_without_a_word_is_no_clean_end() -> None:
    async with upstream(silence) as peer, relay(config(peer.url)) as running, client(running) as socket:
        peer.sockets[0].transport.close()
        assert await closed(socket) == (1011, "The upstream's connection was lost.")


async def test_a_client_that_dies_is_told_to_the_upstream() -> None:
    counts = Counts()
    async with upstream(silence) as peer, relay(config(peer.url), metrics=counts) as running:
        async with client(running) as socket:
            socket.transport.abort()
            assert await closed(peer.sockets[0]) == (1001, "The client is gone.")
        await until(lambda: counts.ended, "the session is counted")
    assert counts.ended == [("", "client_error")]


async def close_upstream(_: Relay, __: Connection, peer: ServerConnection) -> None:
    await leave(peer, 1000, "")


async def kill_upstream(_: Relay, __: Connection, peer: ServerConnection) -> None:
    peer.transport.abort()


async def close_client(_: Relay, socket: Connection, __: ServerConnection) -> None:
    await leave(socket, 1000, "")


async def drain(running: Relay, _: Connection, __: ServerConnection) -> None:
    await running.drain()


async def stop(running: Relay, _: Connection, __: ServerConnection) -> None:
    for session in running._sessions:
        session.end(1012)


@pytest.mark.parametrize("end", [close_upstream, kill_upstream, close_client, drain, stop])
async def test_an_end_is_no_fault_in_the_log(end: End, caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    async with upstream(echo) as peer, relay(config(peer.url), metrics=counts) as running, client(running) as socket:
        await socket.send("hello")
        assert await received(socket) == "hello"
        await end(running, socket, peer.sockets[0])
        await until(lambda: counts.ended, "the session is counted")
    # What nobody asked for is told when it is thrown away.
    gc.collect()
    errors = [told for told in caplog.records if told.levelno >= logging.ERROR]
    assert [told.getMessage() for told in errors if not told.name.startswith("websockets.")] == []


async def test_a_pump_that_fails_is_a_fault_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise ArithmeticError

    monkeypatch.setattr(Session, "_pass", broken)
    async with upstream(silence) as peer, relay(config(peer.url)) as running, client(running) as socket:
        await socket.send("hello")
        assert (await closed(socket))[0] == 1011
    gc.collect()
    assert [told.exc_info[0] for told in caplog.records if told.exc_info] == [ArithmeticError]


async def send_broken(socket: Connection) -> None:
    socket.protocol.send_text(b"\xc3\x28 is no UTF-8")
    socket.send_data()


async def test_broken_text_of_the_client_is_its_own_fault() -> None:
    async with upstream(silence) as peer, relay(config(peer.url)) as running, client(running) as socket:
        await send_broken(socket)
        assert (await closed(socket))[0] == 1007
        assert (await closed(peer.sockets[0]))[0] == 1001


async def test_broken_text_of_the_upstream_is_not_the_clients_fault() -> None:
    async with upstream(send_broken) as peer, relay(config(peer.url)) as running, client(running) as socket:
        assert (await closed(socket))[0] == 1011
        assert (await closed(peer.sockets[0]))[0] == 1007


async def test_messages_have_a_largest_size_in_both_directions() -> None:
    async def grow(socket: ServerConnection) -> None:
        await socket.send(await socket.recv())
        await socket.send("x" * 1001)
        await socket.wait_closed()

    async with upstream(grow) as peer, relay(config(peer.url, max_message_bytes=1000)) as running:
        async with client(running) as socket:
            await socket.send("x" * 1000)
            assert len(await received(socket)) == 1000
            assert (await closed(socket))[0] == 1011
            assert (await closed(peer.sockets[0]))[0] == 1009
        async with client(running) as socket:
            await socket.send("x" * 1001)
            assert (await closed(socket))[0] == 1009
            assert (await closed(peer.sockets[1]))[0] == 1001


# --- silence ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def mute() -> AsyncIterator[str]:
    """An upstream that upgrades and then answers nothing, not even pings."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        (key,) = [line[19:] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key: ")]
        digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        accept = base64.b64encode(digest).decode()
        lines = ["HTTP/1.1 101 x", "Upgrade: websocket", "Connection: upgrade", f"Sec-WebSocket-Accept: {accept}"]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        await reader.read(-1)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_an_upstream_that_answers_no_pings_is_lost() -> None:
    counts = Counts()
    async with mute() as url, relay(config(url), metrics=counts, pace=Pace(ping=0.05)) as running:
        async with client(running) as socket:
            assert await closed(socket) == (1011, "The upstream's connection was lost.")
        await until(lambda: counts.ended, "the session is counted")
    assert counts.ended == [("", "upstream_error")]


async def test_a_client_that_answers_no_pings_is_lost() -> None:
    async with (
        upstream(silence) as peer,
        relay(config(peer.url), pace=Pace(ping=0.05)) as running,
        wire(running.url) as connection,
    ):
        await connection.send(request("GET", "/v1/responses", headers=UPGRADE))
        await connection.until(b"\r\n\r\n")
        assert await closed(peer.sockets[0]) == (1001, "The client is gone.")


async def test_an_upstream_that_says_nothing_but_answers_pings_stays() -> None:
    async with (
        upstream(echo) as peer,
        relay(config(peer.url), pace=Pace(ping=0.02)) as running,
        client(running) as socket,
    ):
        # Each answered ping of ours spans at least one of the relay's.
        for _ in range(10):
            await asyncio.sleep(0.02)
            await asyncio.wait_for(await socket.ping(), PATIENCE)
        await socket.send("still there")
        assert await received(socket) == "still there"
    assert peer.sockets[0].close_code == 1000


# --- load -------------------------------------------------------------------------------------------------


def resident(pid: int) -> int:
    """KiB of memory that a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory from /proc")


async def stuck(count: list[int]) -> None:
    """Until a flood no longer makes progress: its reader holds it back."""
    seen = -1
    while seen != count[0] or not seen:
        seen = count[0]
        await asyncio.sleep(0.5)


async def flood(socket: Connection, count: list[int]) -> None:
    for _ in range(FLOOD):
        await socket.send(b"x" * PIECE)
        count[0] += 1


@linux
async def test_a_client_that_does_not_read_holds_the_upstream_back_and_memory_flat() -> None:
    count = [0]

    async def flooding(socket: ServerConnection) -> None:
        await flood(socket, count)
        await socket.close()

    async with upstream(flooding, write_limit=PIECE) as peer:
        with program("relay", "--upstream-url", peer.url, OPENAI_API_KEY="the-key") as running:
            url = await asyncio.to_thread(running.first_line)
            async with client(url, max_queue=1) as socket:
                assert len(await received(socket)) == PIECE
                before = resident(running.process.pid)
                await stuck(count)
                assert count[0] < FLOOD / 2, "nothing held the upstream back"
                assert resident(running.process.pid) - before < FLAT
                for _ in range(FLOOD - 1):
                    assert len(await received(socket)) == PIECE
                assert resident(running.process.pid) - before < FLAT
                assert (await closed(socket))[0] == 1000


@linux
async def test_an_upstream_that_does_not_read_holds_the_client_back_and_memory_flat() -> None:
    go, taken, count = asyncio.Event(), [0], [0]

    async def lazy(socket: ServerConnection) -> None:
        await go.wait()
        async for message in socket:
            taken[0] += len(message)

    async with upstream(lazy, max_queue=1) as peer:
        with program("relay", "--upstream-url", peer.url, OPENAI_API_KEY="the-key") as running:
            url = await asyncio.to_thread(running.first_line)
            before = resident(running.process.pid)
            async with client(url, write_limit=PIECE) as socket:
                flooding = asyncio.ensure_future(flood(socket, count))
                await stuck(count)
                assert count[0] < FLOOD / 2, "nothing held the client back"
                assert resident(running.process.pid) - before < FLAT
                go.set()
                await asyncio.wait_for(flooding, 2 * PATIENCE)
                await until(lambda: taken[0] == FLOOD * PIECE, "all of it arrives")
                assert resident(running.process.pid) - before < FLAT


async def test_an_upstream_that_dies_behind_a_client_that_does_not_read_is_told_in_the_end() -> None:
    count = [0]

    async def dying(socket: ServerConnection) -> None:
        await flood(socket, count)

    async with upstream(dying, write_limit=PIECE) as peer, relay(config(peer.url)) as running:
        async with client(running, max_queue=1) as socket:
            await stuck(count)
            peer.sockets[0].transport.abort()
            with pytest.raises(Exception, match="1011"):
                for _ in range(FLOOD):
                    await received(socket)
        assert await closed(socket) == (1011, "The upstream's connection was lost.")


async def test_a_client_that_never_reads_is_given_up() -> None:
    counts, sent = Counts(), [0]

    async def flooding(socket: ServerConnection) -> None:
        await flood(socket, sent)

    pace = Pace(write=0.5)
    async with (
        upstream(flooding, write_limit=PIECE) as peer,
        relay(config(peer.url), metrics=counts, pace=pace) as running,
        wire(running.url) as connection,
    ):
        await connection.send(request("GET", "/v1/responses", headers=UPGRADE))
        await until(lambda: counts.ended, "the session is given up")
        await closed(peer.sockets[0])
    assert counts.ended == [("", "client_error")]


@linux
async def test_two_hundred_idle_sessions_cost_little_and_all_work() -> None:
    async with upstream(echo) as peer:
        with program("relay", "--upstream-url", peer.url, OPENAI_API_KEY="the-key") as running:
            url = await asyncio.to_thread(running.first_line)
            async with client(url) as socket:
                await socket.send("warm")
                await received(socket)
            before = resident(running.process.pid)
            async with AsyncExitStack() as stack:
                opened = [await stack.enter_async_context(client(url)) for _ in range(200)]
                assert (resident(running.process.pid) - before) / 200 < 200
                for number, socket in enumerate(opened):
                    await socket.send(f"{number}")
                assert [await received(socket) for socket in opened] == [f"{number}" for number in range(200)]


async def test_many_sessions_at_work_at_the_same_time() -> None:
    async def talk(running: Any, name: int) -> None:
        async with client(running) as socket:
            for number in range(20):
                await socket.send(f"{name} {number}")
                assert await received(socket) == f"{name} {number}"

    async with upstream(echo) as peer, relay(config(peer.url)) as running:
        await asyncio.gather(*(talk(running, name) for name in range(50)))
