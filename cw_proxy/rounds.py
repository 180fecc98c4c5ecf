"""The answers to one question: several at the same time, each in as many rounds as a demand takes, two at most.

In: an exchange and a Plan. Out: batches of events; those of several answers begin with their Choice. Refuses to know
sockets and protocols. A plain question goes straight to the exchange, at no cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from cw_proxy.demands import Demand
from cw_proxy.errors import ProxyError, UpstreamRejected
from cw_proxy.events import Choice, End, Event, Fail, Note, Spent, Usage
from cw_proxy.exchange import Asker, Plan
from cw_proxy.model import Request
from cw_proxy.usage import AnswerTally, count

Batches = AsyncGenerator[list[Event], None]
# Batches of all answers together that wait for a slow client.
_WAITING = 16


class Answering(Protocol):
    """An exchange, or several behind one door."""

    def run(self, plan: Plan, asker: Asker, choice: int = 0) -> Batches: ...

    async def again(self, plan: Plan, request: Request) -> Plan: ...


def answers(exchange: Answering, plan: Plan, asker: Asker) -> Batches:
    """The batches raise ProxyError, most of them at first."""
    if plan.request.choices == 1:
        return _answer(exchange, plan, asker, 0)
    return _together([_answer(exchange, plan, asker, choice) for choice in range(plan.request.choices)])


async def until(batches: Batches, deadline: float, error: ProxyError) -> Batches:
    """The batches that come before `deadline`, by the loop's clock, then the error. Time in which nobody asks for the
    next one passes too, but breaks nothing off."""
    async with aclosing(batches):
        while True:
            limit = asyncio.timeout_at(deadline)
            try:
                async with limit:
                    events = await anext(batches)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if limit.expired():
                    raise error from None
                raise
            yield events


def _answer(exchange: Answering, plan: Plan, asker: Asker, choice: int) -> Batches:
    if plan.demand is None:
        return exchange.run(plan, asker, choice)
    return _demanded(exchange, plan, asker, plan.demand, choice)


async def _demanded(exchange: Answering, plan: Plan, asker: Asker, make: Callable[[], Demand], choice: int) -> Batches:
    """Asks again, once, where an answer is not what is demanded. Nothing of such an answer goes out."""
    first = _Round(make(), None)
    async with aclosing(first.ready(exchange.run(plan, asker, choice))) as batches:
        async for events in batches:
            yield events
    unmet = first.unmet
    if unmet is None:
        return
    again = first.demand.corrected(plan.request, unmet)
    if again is None:
        raise unmet
    second = _Round(make(), first.spent(plan.request))
    try:
        plan = await exchange.again(plan, again)
        async with aclosing(second.ready(exchange.run(plan, asker, choice))) as batches:
            async for events in batches:
                yield events
    except UpstreamRejected:
        # It is about our question, which the client never asked.
        raise unmet from None
    if second.unmet is not None:
        raise second.unmet


class _Round:
    """One try at an answer. `earlier` is what the try before took: it is this answer's cost too."""

    def __init__(self, demand: Demand, earlier: Spent | None) -> None:
        self.demand = demand
        self.unmet: ProxyError | None = None
        self._earlier = earlier
        self._tally = AnswerTally()
        self._usage = Usage()

    async def ready(self, batches: Batches) -> Batches:
        """What may go out; then `unmet` says why nothing did."""
        async with aclosing(batches):
            async for events in batches:
                if ready := self.demand.feed(self._counted(events)):
                    yield ready
        # Checking a long answer takes its time; others are being answered meanwhile.
        rest = await asyncio.to_thread(self.demand.settled)
        if isinstance(rest, ProxyError):
            self.unmet = rest
        elif rest:
            yield rest

    def spent(self, request: Request) -> Spent:
        tokens = count(request, self._usage, self._tally)
        return Spent(tokens.input, tokens.output, tokens.source, self._usage.credits)

    def _counted(self, events: Sequence[Event]) -> list[Event]:
        counted: list[Event] = []
        for event in events:
            self._tally.feed(event)
            if isinstance(event, Usage):
                self._usage = self._usage.updated(event)
            elif isinstance(event, End) and self._earlier is not None:
                counted += [Note("rounds", 2), Usage(earlier=self._earlier)]
            counted.append(event)
        return counted


async def _together(answers: Sequence[Batches]) -> Batches:
    """All at once; the first that fails ends them all."""
    ready: asyncio.Queue[list[Event] | asyncio.Task[None]] = asyncio.Queue()
    room = asyncio.Semaphore(_WAITING)

    async def pump(choice: int, batches: Batches) -> None:
        async with aclosing(batches):
            async for events in batches:
                await room.acquire()
                ready.put_nowait([Choice(choice), *events])

    tasks = [asyncio.create_task(pump(choice, batches)) for choice, batches in enumerate(answers)]
    for task in tasks:
        task.add_done_callback(ready.put_nowait)
    try:
        left = len(tasks)
        while left:
            item = await ready.get()
            if isinstance(item, asyncio.Task):
                item.result()
                left -= 1
            else:
                room.release()
                yield item
                if isinstance(item[-1], Fail):
                    return
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
