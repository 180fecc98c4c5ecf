"""What stands behind every transport that takes requests: a body in, an answer out.

In: a protocol, who asks, the body's bytes. Out: whole bytes, or batches of events and an encoder for them. Refuses to
know how bytes come and go.

Transports of bytes write what the encoder gives; those of messages send the data of each event, and `Streamed.payloads`
says what that is, also where an answer fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from secrets import token_hex

import msgspec

from cw_proxy.errors import ProxyError, UpstreamTimeout
from cw_proxy.events import Choices, Event, Fail
from cw_proxy.exchange import Asker, Plan
from cw_proxy.guard import Guard
from cw_proxy.interfaces import Ask, Caller, ClientProtocol, Close, Encoder, Later, Send, Stamp
from cw_proxy.record import Record
from cw_proxy.rounds import Batches, answers, until
from cw_proxy.router import Router
from cw_proxy.wire import sse

_LARGE_BODY = 256 * 1024  # bytes


class Whole(msgspec.Struct, frozen=True):
    body: bytes


class Streamed:
    """`batches` are not begun: their first one may raise ProxyError. `failure` is what `payloads` ended with."""

    def __init__(self, batches: Batches, encoder: Encoder) -> None:
        self.batches = batches
        self.encoder = encoder
        self.failure: ProxyError | None = None

    async def payloads(self) -> AsyncGenerator[list[bytes], None]:
        """The data of the events that came at once, again and again. Raises ProxyError before the first; after it an
        error is an event as well."""
        begun = False
        try:
            async with aclosing(self.batches):
                async for events in self.batches:
                    self._note(events)
                    if data := sse.payloads(self.encoder.feed(events)):
                        begun = True
                        yield data
                    if self.encoder.ended:
                        return
        except ProxyError as error:
            if not begun:
                raise
            yield self.failed(error)

    def _note(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Fail):
                self.failure = event.error

    def failed(self, error: ProxyError) -> list[bytes]:
        """The data of the events that end the answer with an error."""
        self.failure = error
        return sse.payloads(self.encoder.feed([Fail(error)]))


class Front:
    """`limit` is seconds for a whole answer, from the question on; 0 is none."""

    def __init__(self, exchange: Router, guard: Guard, limit: float = 0.0) -> None:
        self.exchange = exchange
        self._guard = guard
        self._limit = limit

    def caller(self, headers: Mapping[str, str], method: str = "POST", path: str = "", query: str = "") -> Caller:
        """`headers` have lower-case names. Raises InvalidApiKey."""
        return Caller(self._guard.owner(headers), headers, method, path, query, fresh_stamp)

    async def answer(
        self,
        protocol: ClientProtocol,
        caller: Caller,
        body: bytes,
        extra: dict[str, str],
        record: Record | None = None,
    ) -> Whole | Streamed:
        """`extra` are headers of the answer, of an error as well: some are added. Raises ProxyError."""
        action = await _read(protocol, caller, body)
        if isinstance(action, Send):
            return Whole(action.frame)
        plan, batches = await self._ask(action, caller, record)
        if plan.ignored:
            extra["x-cw-proxy-ignored"] = ", ".join(plan.ignored)
        if action.stream:
            return _streamed(action, batches, record)
        return Whole(await _collected(action, batches, record))

    async def stream(self, ask: Ask, caller: Caller, record: Record | None = None) -> Streamed:
        """Raises ProxyError."""
        _, batches = await self._ask(ask, caller, record)
        return _streamed(ask, batches, record)

    async def _ask(self, ask: Ask, caller: Caller, record: Record | None) -> tuple[Plan, Batches]:
        """The batches are not begun. Raises ProxyError; so do they."""
        asker = Asker(caller.owner, caller.headers)
        if not self._limit:
            plan = await self._planned(ask, record)
            return plan, answers(self.exchange, plan, asker)
        error = UpstreamTimeout(f"The answer took longer than {self._limit:g} s.")
        deadline = asyncio.get_running_loop().time() + self._limit
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                plan = await self._planned(ask, record)
        except TimeoutError:
            if limit.expired():
                raise error from None
            raise
        return plan, until(answers(self.exchange, plan, asker), deadline, error)

    async def _planned(self, ask: Ask, record: Record | None) -> Plan:
        if record is None:
            return await self.exchange.plan(ask.request)
        record.asks(ask.request, stream=ask.stream)
        plan = await self.exchange.plan(ask.request)
        record.planned(plan.model_id, plan.backend)
        return plan


def _streamed(ask: Ask, batches: Batches, record: Record | None) -> Streamed:
    encoder = ask.encoder(fresh_stamp())
    return Streamed(batches, record.watching(encoder) if record else encoder)


async def _collected(ask: Ask, batches: Batches, record: Record | None) -> bytes:
    collector = Choices(ask.request.choices)
    async with aclosing(batches):
        async for events in batches:
            if record is not None:
                record.feed(events)
            collector.feed(events)
    return ask.render(collector.replies(), fresh_stamp())


def fresh_stamp() -> Stamp:
    return Stamp(int(time.time()), lambda: token_hex(16))


async def _read(protocol: ClientProtocol, caller: Caller, body: bytes) -> Ask | Send:
    """A body that takes long to read is read beside the loop, so that streams go on."""
    if len(body) <= _LARGE_BODY:
        return _the_action(protocol, caller, body)
    return await asyncio.to_thread(_the_action, protocol, caller, body)


def _the_action(protocol: ClientProtocol, caller: Caller, body: bytes) -> Ask | Send:
    """A request is exactly one question, or is answered at once."""
    (action,) = protocol.session(caller).receive(body)
    if isinstance(action, (Close, Later)):
        raise ProxyError("Internal error: this protocol does not answer requests.")
    return action
