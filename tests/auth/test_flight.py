from __future__ import annotations

import asyncio
import gc

import pytest

from cw_proxy.auth.flight import Flight


async def test_however_many_ask_it_runs_once_at_a_time():
    runs, gate, flight = 0, asyncio.Event(), Flight[int]()

    async def work() -> int:
        nonlocal runs
        runs += 1
        await gate.wait()
        return runs

    asking = [asyncio.create_task(flight.join(work)) for _ in range(100)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*asking) == [1] * 100
    assert await flight.join(work) == 2


async def test_a_cancelled_asker_leaves_the_work_to_the_others():
    gate, flight = asyncio.Event(), Flight[str]()

    async def work() -> str:
        await gate.wait()
        return "done"

    first, second = asyncio.create_task(flight.join(work)), asyncio.create_task(flight.join(work))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.set()
    assert await second == "done"


async def test_an_exception_reaches_every_asker_and_none_is_reported_as_unseen():
    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
    flight = Flight[None]()

    async def work() -> None:
        raise LookupError

    answers = await asyncio.gather(flight.join(work), flight.join(work), return_exceptions=True)
    assert [type(answer) for answer in answers] == [LookupError, LookupError]
    unseen = asyncio.create_task(flight.join(work))
    await asyncio.sleep(0)
    unseen.cancel()
    await asyncio.wait([unseen])
    del flight, answers
    gc.collect()
    assert seen == []


async def test_one_can_wait_for_the_landing_without_asking():
    gate, flight = asyncio.Event(), Flight[str]()
    await flight.landed()

    async def work() -> str:
        await gate.wait()
        raise RuntimeError("not the waiter's")

    flight.start(work)
    waiting = asyncio.create_task(flight.landed())
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    await waiting
    assert await flight.landed() is None
