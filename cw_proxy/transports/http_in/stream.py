"""A streamed answer: batches of events in, server-sent events on the wire, one write for each network read.

The 200 waits for the first events, so that a failure before them has a real status; after `ping` seconds of silence
the headers go out with a comment, and a failure then comes in the stream. One timer a stream does the pings and
breaks off a client that does not read; a time limit on every write would cost more than the write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from aiohttp import web

from cw_proxy.errors import ProxyError
from cw_proxy.events import Event, Fail
from cw_proxy.interfaces import Encoder
from cw_proxy.transports.http_in.bounds import Timing
from cw_proxy.transports.http_in.deadline import ended_by

_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    # Asks nginx and its like not to collect the stream.
    "X-Accel-Buffering": "no",
}


class _Response(web.StreamResponse):
    """Its headers go out together with the first bytes: one write less for each answer."""

    _send_headers_immediately = False


async def stream_answer(
    request: web.BaseRequest,
    batches: AsyncGenerator[list[Event], None],
    encoder: Encoder,
    extra: dict[str, str],
    timing: Timing,
) -> web.StreamResponse:
    """Raises ProxyError while nothing has been sent."""
    response = _Response(headers={**extra, **_HEADERS})
    writer = _Writer(response, request, timing, encoder.ping)
    async with aclosing(batches):
        try:
            await _relay(batches, encoder, writer, timing.deadline)
        finally:
            writer.close()
    return response


async def _relay(
    batches: AsyncGenerator[list[Event], None], encoder: Encoder, writer: _Writer, deadline: float | None
) -> None:
    last = b""
    try:
        async with ended_by(deadline):
            async for events in batches:
                data = encoder.feed(events)
                if encoder.ended:
                    last = data
                    break
                await writer.write(data)
    except ProxyError as error:
        if not writer.begun:
            raise
        last = encoder.feed([Fail(error)])
    await writer.end(last)


class _Writer:
    """Writes, and watches over writing."""

    __slots__ = ("_loop", "_ping", "_ping_bytes", "_request", "_response", "_since", "_timer", "_timing", "_writing")

    def __init__(self, response: web.StreamResponse, request: web.BaseRequest, timing: Timing, ping: bytes) -> None:
        self._response = response
        self._request = request
        self._timing = timing
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()  # the last write's begin
        self._writing = False
        self._ping_bytes = ping
        self._ping: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(timing.ping, self._tick)

    @property
    def begun(self) -> bool:
        """Whether the 200 is out."""
        return self._response.prepared

    async def write(self, data: bytes) -> None:
        if not data:
            return
        self._writing, self._since = True, self._loop.time()
        if not self._response.prepared:
            await self._response.prepare(self._request)
        await self._request.writer.write(data)
        self._writing = False

    async def end(self, last: bytes) -> None:
        """The last bytes go out together with the body's end."""
        self._writing, self._since = True, self._loop.time()
        if not self._response.prepared:
            await self._response.prepare(self._request)
        await self._response.write_eof(last)
        self.close()

    def close(self) -> None:
        self._timer.cancel()
        if self._ping is not None:
            self._ping.cancel()

    def _tick(self) -> None:
        silent = self._loop.time() - self._since
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
            await self.write(self._ping_bytes)
