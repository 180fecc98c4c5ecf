"""A streamed answer: batches of events in, server-sent events on the wire, one write for each network read.

The 200 waits for the first events, so that a failure before them has a real status; after `ping` seconds of silence
the headers go out with a comment, and a failure then comes in the stream. One timer a stream does the pings and
breaks off a client that does not read; a time limit on every write would cost more than the write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress

import msgspec
from aiohttp import web

from cw_proxy.errors import ProxyError
from cw_proxy.events import Event, Fail
from cw_proxy.interfaces import Encoder
from cw_proxy.wire import sse

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    # Asks nginx and its like not to collect the stream.
    "X-Accel-Buffering": "no",
}


class Timing(msgspec.Struct, frozen=True):
    """Seconds: silence before a ping, and a write's patience."""

    ping: float
    write: float


async def stream_answer(
    request: web.BaseRequest,
    batches: AsyncGenerator[list[Event], None],
    encoder: Encoder,
    extra: dict[str, str],
    timing: Timing,
) -> web.StreamResponse:
    """Raises ProxyError while nothing has been sent."""
    response = web.StreamResponse(headers={**extra, **_HEADERS})
    async with aclosing(batches):
        first = asyncio.ensure_future(anext(batches, []))
        try:
            done, _ = await asyncio.wait({first}, timeout=timing.ping)
            if done:
                first.result()  # raises what went wrong, while there is still a status to say it with
            await response.prepare(request)
            writer = _Writer(response, request, timing)
            try:
                await _relay(first, batches, encoder, writer)
            finally:
                writer.close()
        finally:
            # Left by a cancellation: the generator must not be running when it is closed.
            first.cancel()
            await asyncio.wait({first})
    return response


async def _relay(
    first: Awaitable[list[Event]], batches: AsyncGenerator[list[Event], None], encoder: Encoder, writer: _Writer
) -> None:
    try:
        await writer.write(encoder.feed(await first))
        async for events in batches:
            await writer.write(encoder.feed(events))
    except ProxyError as error:
        await writer.write(encoder.feed([Fail(error)]))
    await writer.end()


class _Writer:
    """Writes, and watches over writing."""

    def __init__(self, response: web.StreamResponse, request: web.BaseRequest, timing: Timing) -> None:
        self._response = response
        self._request = request
        self._timing = timing
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._writing = False
        self._ping: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(timing.ping, self._tick)

    async def write(self, data: bytes) -> None:
        if not data:
            return
        self._writing, self._last = True, self._loop.time()
        await self._response.write(data)
        self._writing, self._last = False, self._loop.time()

    async def end(self) -> None:
        self.close()
        await self._response.write_eof()

    def close(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        silent = self._loop.time() - self._last
        if self._writing:
            if silent >= self._timing.write and self._request.transport is not None:
                self._request.transport.abort()
                return
        elif silent >= self._timing.ping:
            self._ping = self._loop.create_task(self._send_ping())
        rest = self._timing.ping - silent
        self._timer = self._loop.call_later(rest if rest > 0 else self._timing.ping, self._tick)

    async def _send_ping(self) -> None:
        # A client that is gone shows in the handler, which is cancelled.
        with suppress(ConnectionError):
            await self.write(sse.PING)
