"""A bare byte relay: what moving the bytes costs, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from typing import cast

from bench.loops import serve


class _Back(asyncio.Protocol):
    """The connection upstream; what comes goes to the client."""

    def __init__(self, client: asyncio.Transport) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.close()


class _Front(asyncio.Protocol):
    def __init__(self, upstream: int) -> None:
        self._port = upstream
        self._waiting: list[bytes] = []
        self._upstream: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._task = asyncio.get_running_loop().create_task(self._connect(cast("asyncio.Transport", transport)))

    async def _connect(self, client: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        self._upstream, _ = await loop.create_connection(lambda: _Back(client), "127.0.0.1", self._port)
        self._upstream.writelines(self._waiting)

    def data_received(self, data: bytes) -> None:
        if self._upstream is None:
            self._waiting.append(data)
        else:
            self._upstream.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._upstream is not None:
            self._upstream.close()


async def start(upstream: int) -> int:
    server = await asyncio.get_running_loop().create_server(lambda: _Front(upstream), "127.0.0.1", 0, backlog=1024)
    port: int = server.sockets[0].getsockname()[1]
    _kept.append(server)
    return port


_kept: list[asyncio.Server] = []

if __name__ == "__main__":
    serve(start, int(sys.argv[1]))
