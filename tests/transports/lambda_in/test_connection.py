"""The client's side of one HTTP exchange: framing, trailers, answers cut short."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.transports.lambda_in.connection import Broken, Connection, over, to


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Connection, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, and the other end of it."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    async with over(ours) as connection:
        yield connection, reader, writer
    writer.close()


async def test_a_body_that_is_known_has_its_length() -> None:
    async with pair() as (connection, reader, _):
        await connection.request("POST", "/a?b", [("host", "h")], b"body")
        expected = b"POST /a?b HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbody"
        assert await reader.readexactly(len(expected)) == expected


async def test_one_that_is_not_comes_in_chunks_with_trailers() -> None:
    async with pair() as (connection, reader, _):
        headers = [("host", "h"), ("transfer-encoding", "chunked"), ("trailer", "why")]
        await connection.request("POST", "/", headers, None)
        await connection.send(b"one")
        await connection.send(b"two")
        await connection.end([("why", "so")])
        sent = await reader.readuntil(b"\r\n\r\n") + await reader.readuntil(b"\r\n\r\n")
    assert sent.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\nwhy: so\r\n\r\n")


@given(body=st.lists(st.binary(min_size=1, max_size=20), max_size=5), cuts=st.lists(st.integers(1, 30), max_size=10))
def test_an_answer_is_the_same_wherever_it_is_cut(body: list[bytes], cuts: list[int]) -> None:
    chunks = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in body)
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"

    async def read() -> bytes:
        async with pair() as (connection, _, writer):
            await connection.request("GET", "/", [("host", "h")], b"")
            start = 0
            for cut in [*cuts, len(data)]:
                writer.write(data[start : start + cut])
                start += cut
                await asyncio.sleep(0)
            assert (await connection.response()).status_code == 200
            return await connection.body()

    assert asyncio.run(read()) == b"".join(body)


SHORT = [
    b"",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
]


@pytest.mark.parametrize("data", SHORT)
async def test_an_answer_that_ends_too_early_is_broken(data: bytes) -> None:
    async with pair() as (connection, _, writer):
        await connection.request("GET", "/", [("host", "h")], b"")
        writer.write(data)
        writer.close()
        with pytest.raises(Broken):
            await connection.response()
            await connection.body()


async def test_writing_to_nobody_is_broken() -> None:
    async with pair() as (connection, _, writer):
        await connection.request("POST", "/", [("host", "h"), ("transfer-encoding", "chunked")], None)
        writer.transport.abort()
        with pytest.raises(Broken):
            for _ in range(1000):
                await connection.send(b"x" * 65536)


async def test_nobody_listening_is_broken() -> None:
    with pytest.raises(Broken):
        async with to("127.0.0.1", 9):
            pass
