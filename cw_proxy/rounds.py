"""The answers to one question: several at the same time, each in as many rounds as a demand takes, two at most.

In: an exchange and a Plan. Out: batches of events; those of several answers begin with their Choice. Refuses to know
sockets and protocols. A plain question goes straight to the exchange, at no cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import msgspec

from cw_proxy.demands import Demand, demand_of
from cw_proxy.events import Choice, End, Event, Fail, Note, Usage
from cw_proxy.exchange import Asker, Exchange, Plan

Batches = AsyncGenerator[list[Event], None]
ROUNDS = 2
# Batches of all answers together that wait for a slow client.
_WAITING = 16


async def answers(exchange: Exchange, plan: Plan, asker: Asker) -> Batches:
    """Raises InvalidValue for a demand that makes no sense; the batches raise ProxyError, most of them at first."""
    demand = await _demand(plan)
    if plan.request.choices == 1:
        return _answer(exchange, plan, asker, demand, 0)
    return _together([_answer(exchange, plan, asker, demand, choice) for choice in range(plan.request.choices)])


async def _demand(plan: Plan) -> Callable[[], Demand] | None:
    if plan.request.json_answer is None:
        return demand_of(plan.request, plan.carried)
    # A large schema takes its time to check; others are being answered meanwhile.
    return await asyncio.to_thread(demand_of, plan.request, plan.carried)


def _answer(exchange: Exchange, plan: Plan, asker: Asker, demand: Callable[[], Demand] | None, choice: int) -> Batches:
    if demand is None:
        return exchange.run(plan, asker, choice)
    return _demanded(exchange, plan, asker, demand, choice)


async def _demanded(exchange: Exchange, plan: Plan, asker: Asker, make: Callable[[], Demand], choice: int) -> Batches:
    """Asks again, once, where an answer is not what is demanded. Nothing of such an answer goes out."""
    spent = Usage()
    for number in range(1, ROUNDS + 1):
        demand = make()
        costs = Usage()
        async with aclosing(exchange.run(plan, asker, choice)) as batches:
            async for events in batches:
                counted = _counted(events, spent, number)
                for event in counted:
                    costs = costs.updated(event) if isinstance(event, Usage) else costs
                if ready := demand.feed(counted):
                    yield ready
        # Checking a long answer takes its time; others are being answered meanwhile.
        rest = await asyncio.to_thread(demand.settled)
        if isinstance(rest, list):
            if rest:
                yield rest
            return
        again = demand.corrected(plan.request, rest) if number < ROUNDS else None
        if again is None:
            raise rest
        plan, spent = msgspec.structs.replace(plan, request=again), costs


def _counted(events: Sequence[Event], spent: Usage, number: int) -> list[Event]:
    """The costs of the round before are this answer's too."""
    if number == 1:
        return list(events)
    counted: list[Event] = []
    for event in events:
        if isinstance(event, End):
            counted.append(Note("rounds", number))
        counted.append(event.plus(spent) if isinstance(event, Usage) else event)
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
