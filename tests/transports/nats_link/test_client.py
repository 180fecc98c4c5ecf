"""The safe client on a server of ours that says what no real one says: it goes on reading, and stays secure."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop
from nats.aio.msg import Msg
from nats.errors import ConnectionReconnectingError, Error
from servers import PATIENCE, until

from cw_proxy.transports.nats_link.client import SafeClient, flushed

INFO = b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576,"headers":true}\r\n'


class Server:
    """Answers pings, and says what it is told to say."""

    def __init__(self) -> None:
        self.connections = 0
        self.pongs = True
        self.said = b""
        self.writer: asyncio.StreamWriter | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writer = writer
        writer.write(INFO)
        while line := await reader.readline():
            self.said += line
            if line.startswith(b"PING") and self.pongs:
                writer.write(b"PONG\r\n")
        writer.close()

    def reset(self) -> None:
        """As a server that is killed does."""
        assert self.writer is not None
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def say(self, data: bytes) -> None:
        assert self.writer is not None
        self.writer.write(data)


@asynccontextmanager
async def connected(
    heard: Callable[[Exception], None] = lambda _: None,
) -> AsyncIterator[tuple[Server, SafeClient, list[Msg]]]:
    server, client, messages = Server(), SafeClient(secure=False), []

    async def error(fault: Exception) -> None:
        heard(fault)

    async def take(message: Msg) -> None:
        messages.append(message)

    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        await client.connect(url, error_cb=error, reconnect_time_wait=0, max_reconnect_attempts=-1)
        await client.subscribe("work", cb=take)
        await flushed(client)
        yield server, client, messages
        await client.close()


MESSAGE = b"MSG work 1 2\r\nhi\r\n"


@pytest.mark.parametrize(
    "bad",
    [
        b"MSG work 1 a\x0bb 2\r\nno\r\n",
        b"MSG work 1 \xff\xfe 2\r\nno\r\n",
        b"HMSG work 1 8 10\r\nNATS/1.0no\r\n",
        b"PONG\r\n",
        b"+OK\r\n",
    ],
)
async def test_it_reads_on(bad: bytes) -> None:
    async with connected() as (server, client, messages):
        server.say(bad + MESSAGE)
        await until(lambda: messages and messages[-1].data == b"hi", "the next message is read")
        assert server.connections == 1
        assert client.is_connected


async def test_an_answer_to_a_flush_that_was_given_up() -> None:
    async with connected() as (server, client, messages):
        server.pongs = False
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.flush(), 0.05)
        server.say(b"PONG\r\n" + MESSAGE)
        await until(lambda: messages, "the next message is read")
        server.pongs = True
        await flushed(client)


LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


@pytest.mark.parametrize("new_loop", LOOPS, ids=["asyncio", "uvloop"])
def test_a_break_is_told_to_whoever_flushes(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """At once, and as what it is: the loops do not agree about writing to what is broken."""

    async def broken() -> None:
        async with connected() as (server, client, messages):
            server.reset()
            flushes = []
            while client.is_connected:
                flushes.append(asyncio.create_task(flushed(client)))
                await asyncio.sleep(0)
            faults = await asyncio.gather(*flushes, return_exceptions=True)
            assert {type(fault) for fault in faults if fault} == {ConnectionReconnectingError}
            await until(lambda: client.is_connected, "it is connected again")
            await flushed(client)
            server.say(MESSAGE)
            await until(lambda: messages, "it reads")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(broken())


async def test_a_broken_connection_is_closed_as_well() -> None:
    closed: list[bool] = []

    async def told() -> None:
        closed.append(True)

    async with connected() as (_, client, _):
        client._closed_cb = told
        client._transport._io_writer.transport.abort()
        await client._send_command(b"PUB work 0\r\n\r\n")
        await client._process_err("'user authentication revoked'")
        await until(lambda: closed, "it says that it is closed")


@pytest.mark.parametrize("bad", [b"HELLO\r\n", b"INFO {\r\n", b"INFO []\r\n", b"-ERR 'Parser Error'\r\n"])
async def test_what_is_no_nats_leads_to_a_new_connection(bad: bytes) -> None:
    faults: list[Exception] = []
    async with connected(faults.append) as (server, client, messages):
        server.say(bad)
        await until(lambda: server.connections == 2 and client.is_connected, "it is connected again")
        await flushed(client)
        server.say(MESSAGE)
        await until(lambda: messages, "it reads")


async def test_who_is_not_let_in_is_not_let_in() -> None:
    async with connected() as (server, client, _):
        server.say(b"-ERR 'User Authentication Revoked'\r\n")
        await until(lambda: client.is_closed, "it is closed")
        assert server.connections == 1


async def test_a_new_limit_counts_at_once() -> None:
    async with connected() as (server, client, _):
        server.say(b'INFO {"max_payload":1000}\r\n')
        await until(lambda: client.max_payload == 1000, "it knows")


async def test_it_never_talks_in_the_clear() -> None:
    server = Server()

    async def error(fault: Exception) -> None:
        raise fault

    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(Error, match="no secure connection"):
                await SafeClient(secure=True).connect(url, error_cb=error, allow_reconnect=False)
    assert server.said == b""


async def test_an_answer_has_no_headers_of_the_request() -> None:
    async with connected() as (server, client, messages):
        server.say(b"HMSG work 1 back 25 25\r\nNATS/1.0\r\nkey: secret\r\n\r\n\r\n")
        await until(lambda: messages, "it is read")
        assert messages[0].headers == {"key": "secret"}
        await messages[0].respond(b"x")
        await flushed(client)
        assert b"PUB back" in server.said
        assert b"secret" not in server.said
