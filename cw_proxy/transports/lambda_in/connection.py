"""One HTTP/1.1 exchange as a client, on a connection of its own.

h11 does the protocol: aiohttp's client cannot send trailers, and they are how Lambda learns that an answer broke off.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import h11

_READ = 256 * 1024
_HEADERS = 128 * 1024  # bytes: more than either of our servers sends
Headers = Iterable[tuple[str, str]]


class Broken(Exception):
    """The other side ended the connection too early, or what it sent is not HTTP."""


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEADERS)

    async def request(self, method: str, target: str, headers: Headers, body: bytes | None) -> None:
        """Without a body what follows is sent by `send` and `end`: the headers say how it is framed."""
        fields = [*headers, *([("content-length", str(len(body)))] if body else [])]
        encoded = [(name.encode(), value.encode()) for name, value in fields]
        data = self._bytes(h11.Request(method=method, target=target, headers=encoded))
        if body is not None:
            data += self._bytes(h11.Data(data=body)) + self._bytes(h11.EndOfMessage())
        await self._write(data)

    async def send(self, data: bytes) -> None:
        await self._write(self._bytes(h11.Data(data=data)))

    async def end(self, trailers: Headers = ()) -> None:
        encoded = [(name.encode(), value.encode()) for name, value in trailers]
        await self._write(self._bytes(h11.EndOfMessage(headers=encoded)))

    async def response(self) -> h11.Response:
        """Raises Broken."""
        while True:
            event = await self._next()
            if isinstance(event, h11.Response):
                return event

    async def chunks(self) -> AsyncIterator[bytes]:
        """The response's body as it comes. Raises Broken where it ends early."""
        while True:
            event = await self._next()
            if isinstance(event, h11.EndOfMessage):
                return
            if isinstance(event, h11.Data):
                yield bytes(event.data)

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def _next(self) -> h11.Event:
        try:
            while not isinstance(event := self._http.next_event(), h11.Event):
                self._http.receive_data(await self._reader.read(_READ))
        except (h11.RemoteProtocolError, OSError) as fault:
            raise Broken(type(fault).__name__) from None
        if isinstance(event, h11.ConnectionClosed):
            raise Broken("closed")
        return event

    def _bytes(self, event: h11.Event) -> bytes:
        return self._http.send(event) or b""

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            await self._writer.drain()
        except OSError as fault:
            raise Broken(type(fault).__name__) from None


@asynccontextmanager
async def to(host: str, port: int) -> AsyncIterator[Connection]:
    """Raises Broken when nobody listens there."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError as fault:
        raise Broken(type(fault).__name__) from None
    async with _closing(reader, writer) as connection:
        yield connection


@asynccontextmanager
async def over(connected: socket.socket) -> AsyncIterator[Connection]:
    async with _closing(*await asyncio.open_connection(sock=connected)) as connection:
        yield connection


@asynccontextmanager
async def _closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[Connection]:
    try:
        yield Connection(reader, writer)
    finally:
        # At once, also in the middle of something: a clean end is the last chunk, not this.
        writer.transport.abort()
