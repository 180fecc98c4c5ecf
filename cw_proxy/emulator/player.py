"""Carries a plan out on a connection.

In: a plan and the request it answers. Out: bytes, pauses, lost connections, as planned. Refuses to know what they mean.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Mapping

from aiohttp import web

from cw_proxy.emulator.script import Action, ChunkSize, Hang, Lose, Pause, Write


class Player:
    """One answer on one connection. `lost` is true once the player itself has ended the connection."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._chunk_size: int | None = None
        self.lost = False

    async def play(self, actions: Iterable[Action], headers: Mapping[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        await response.prepare(self._request)
        for action in actions:
            await self._act(action, response)
            if self.lost:
                return response
        await response.write_eof()
        return response

    async def _act(self, action: Action, response: web.StreamResponse) -> None:
        match action:
            case Write(data):
                await self._write(data, response)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case ChunkSize(size):
                self._chunk_size = size
            case Hang():
                # The server cancels the handler as soon as the client has left.
                await asyncio.Event().wait()
            case Lose(reset):
                await self._lose(reset)

    async def _write(self, data: bytes, response: web.StreamResponse) -> None:
        if self._chunk_size is None or not data:
            return await response.write(data)
        for start in range(0, len(data), self._chunk_size):
            await response.write(data[start : start + self._chunk_size])
            # Each piece gets a turn of the loop, so that the reader can see it alone.
            await asyncio.sleep(0)
        return None

    async def _lose(self, reset: bool) -> None:
        """What was written before must have left the process: `abort` throws away what has not."""
        self.lost = True
        transport = self._request.transport
        if transport is None:
            return
        while transport.get_write_buffer_size() and not transport.is_closing():  # noqa: ASYNC110 - transports have no event
            await asyncio.sleep(0.001)
        raw: socket.socket | None = transport.get_extra_info("socket")
        if reset and raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
