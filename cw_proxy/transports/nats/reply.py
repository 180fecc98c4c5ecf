"""Answers to one asker, as messages: whole, or a stream of them that an empty one ends; errors in the protocol's shape.

In: bodies, streamed answers, errors. Out: parcels for the Line. Refuses to know connections and what bodies mean.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from cw_proxy.errors import NatsUnavailable, ProxyError, RequestTooLarge
from cw_proxy.events import Fail
from cw_proxy.front import Streamed
from cw_proxy.interfaces import ClientProtocol
from cw_proxy.wire import sse
from cw_proxy.wire.nats_message import ERROR_CODE, SEQUENCE, STATUS, failure, size

if TYPE_CHECKING:
    from cw_proxy.transports.nats.line import Line

log = logging.getLogger(__name__)


class Parcel(msgspec.Struct, frozen=True):
    """A message on its way."""

    reply: Reply
    body: bytes
    headers: dict[str, str]


class Reply:
    """Messages to one asker: a whole answer, or a stream, of which `number` went out."""

    def __init__(
        self, line: Line, to: str, protocol: ClientProtocol, max_bytes: int | None = None, streamed: bool = False
    ) -> None:
        self.to = to
        self.protocol = protocol
        self.extra: dict[str, str] = {}
        self.number = 0
        self._line = line
        self._max_bytes = max_bytes
        self._ends = streamed
        # What the Line keeps here: see there.
        self.streaming: asyncio.Task[None] | None = None
        self.broken = False
        self.back = ""
        self.heard = -1
        self.reaching = False

    async def stream(self, answer: Streamed) -> ProxyError | None:
        """One message for each chunk, then the empty one; the error that ended it. Raises ProxyError before the
        first chunk, or when one is too large."""
        failed: ProxyError | None = None
        encoder = answer.encoder
        self._line.expect(self)
        self.streaming = asyncio.current_task()
        async with aclosing(answer.batches):
            try:
                async for events in answer.batches:
                    failed = next((event.error for event in events if isinstance(event, Fail)), None)
                    await self._chunks(encoder.feed(events))
                    if encoder.ended:
                        break
            except ProxyError as error:
                if not self.number or isinstance(error, RequestTooLarge):
                    raise
                failed = error
                await self._chunks(encoder.feed([Fail(error)]))
        return await self.end(failed)

    async def _chunks(self, written: bytes) -> None:
        for data in sse.payloads(written):
            # The empty message says it here.
            if data != b"[DONE]":
                await self.send(data, {**self.extra, SEQUENCE: str(self.number + 1)})

    async def send(self, body: bytes, headers: dict[str, str]) -> None:
        """Raises what Line.send does."""
        await self._line.send(Parcel(self, body, headers))

    async def fail(self, error: ProxyError) -> None:
        """In the protocol's shape, and with a stream's end where one was to come."""
        if not self.number:
            shown = self.protocol.error(error)
            await self._fitting(shown.body, {**self.extra, **shown.headers, **failure(error)})
        if self._ends:
            await self.end(error)

    async def end(self, error: ProxyError | None) -> ProxyError | None:
        """Of a stream; the error that it ends with: where a part may be missing, there is one."""
        try:
            await self._fitting(b"", self._ending(error))
        except NatsUnavailable as broken:
            error = error or broken
            await self._fitting(b"", self._ending(error))
        return error

    def _ending(self, error: ProxyError | None) -> dict[str, str]:
        return {SEQUENCE: str(self.number + 1), **(failure(error) if error else {STATUS: "200"})}

    async def _fitting(self, body: bytes, headers: dict[str, str]) -> None:
        """With less in it, where a message has no room for all of it: something has to come."""
        least = {name: headers[name] for name in (SEQUENCE, STATUS, ERROR_CODE) if name in headers}
        try:
            await self.send(body, headers)
        except RequestTooLarge:
            try:
                await self.send(b"", least)
            except RequestTooLarge as error:
                log.warning("an error was lost: %s", error.message)

    def check_size(self, parcel: Parcel, limit: int) -> None:
        """Raises RequestTooLarge: the server would end the connection."""
        limit = min(limit, self._max_bytes or limit)
        if size(parcel.body, parcel.headers) > limit:
            what = "A part of the answer" if self.streaming else "The answer"
            advice = "" if self.streaming else ": ask with JSON and `stream: true`"
            raise RequestTooLarge(
                f"{what} is larger than the {limit} bytes of a message{advice}.", code="answer_too_large"
            )

    def nobody_listens(self) -> None:
        """A stream whose asker is gone ends, upstream as well."""
        if self.reaching:
            self.reaching = False
        elif self.streaming is not None:
            self.streaming.cancel()
