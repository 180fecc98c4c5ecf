"""The replaying upstream: answers every request with prebuilt bytes, in one write or piece by piece."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from bench import answer
from bench.loops import serve

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
_HEADS = {
    "eventstream": _HEAD % b"application/vnd.amazon.eventstream",
    "sse": _HEAD % b"text/event-stream",
}


class Upstream(asyncio.Protocol):
    """One connection; requests come one after the other."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = bytes(self._received).partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return
        self._received.clear()
        self._answer(*answer.asked(body))

    def _answer(self, events: int, pause: int, language: str) -> None:
        assert self._transport is not None
        if pause == 0:
            self._transport.write(_HEADS[language] + answer.whole(events, language))
            return
        first, *rest = answer.pieces(events, language)
        self._transport.write(_HEADS[language] + first)
        self._later(asyncio.get_running_loop(), rest, 0, pause / 1000)

    def _later(self, loop: asyncio.AbstractEventLoop, pieces: list[bytes], at: int, pause: float) -> None:
        def send() -> None:
            assert self._transport is not None
            self._transport.write(pieces[at])
            if at + 1 < len(pieces):
                self._later(loop, pieces, at + 1, pause)

        self._timer = loop.call_later(pause, send)


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def start(_: int) -> int:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    port: int = server.sockets[0].getsockname()[1]
    _kept.append(server)
    return port


_kept: list[asyncio.Server] = []

if __name__ == "__main__":
    serve(start, int(sys.argv[1]))
