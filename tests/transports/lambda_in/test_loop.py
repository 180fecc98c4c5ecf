"""The loop: one after another or several at a time, what is waited for in between, how it ends."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from lambda_front import LambdaFront, front
from lambda_runtimes import runtime
from servers import ask, request, until, wire

from cw_proxy.transports.lambda_in.loop import concurrency


class Gate:
    """A handler that answers when it is let; it knows how many wait."""

    def __init__(self) -> None:
        self.waiting = 0
        self.opened = asyncio.Event()

    async def __call__(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        self.waiting += 1
        await self.opened.wait()
        return web.Response(text="through")


GET = request("GET", "/")


async def test_one_is_answered_after_another() -> None:
    gate = Gate()
    gate.opened.set()
    async with front() as lambda_, runtime(lambda_, {"/": gate}):
        for _ in range(3):
            assert (await ask(lambda_.url, GET)).body == b"through"
        assert lambda_.most_waiting == 1


async def test_as_many_are_answered_at_a_time_as_there_are_loops() -> None:
    gate = Gate()
    async with front() as lambda_, runtime(lambda_, {"/": gate}, loops=3):
        asked = [asyncio.create_task(ask(lambda_.url, GET)) for _ in range(4)]
        await until(lambda: gate.waiting == 3, "three at a time")
        assert not any(task.done() for task in asked)
        gate.opened.set()
        assert [(await task).body for task in asked] == [b"through"] * 4


async def test_nothing_is_asked_for_while_something_is_under_way() -> None:
    settled = asyncio.Event()
    settled.set()
    gate = Gate()
    gate.opened.set()

    async def wait() -> None:
        await settled.wait()

    async with front() as lambda_, runtime(lambda_, {"/": gate}, settled=wait):
        await until(lambda: lambda_.waiting == 1, "the first is asked for")
        settled.clear()
        assert (await ask(lambda_.url, GET)).body == b"through"
        next_one = asyncio.create_task(ask(lambda_.url, GET))
        assert (lambda_.waiting, lambda_.most_waiting) == (0, 1)
        settled.set()
        assert (await next_one).body == b"through"


async def test_a_drain_lets_what_is_under_way_end_and_asks_for_no_more() -> None:
    gate = Gate()
    async with front() as lambda_, runtime(lambda_, {"/": gate}, loops=2) as running, wire(lambda_.url) as client:
        await client.send(GET)
        await until(lambda: gate.waiting == 1 and lambda_.waiting == 1, "one is answered, one is asked for")
        draining = asyncio.create_task(running.drain())
        await until(lambda: lambda_.waiting == 0, "nobody asks")
        assert not draining.done()
        gate.opened.set()
        assert (await client.answer()).body == b"through"
        await draining
        assert not running.lost.is_set()


async def test_a_runtime_api_that_is_gone_ends_it() -> None:
    async with LambdaFront() as lambda_, runtime(lambda_, {}) as running:
        await until(lambda: lambda_.waiting == 1, "the first is asked for")
        await lambda_.__aexit__()
        await running.lost.wait()


async def test_the_trace_is_where_awss_sdks_look_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from lambda_front import TRACE

    monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
    gate = Gate()
    gate.opened.set()
    async with front() as lambda_, runtime(lambda_, {"/": gate}):
        await ask(lambda_.url, GET)
        assert os.environ.pop("_X_AMZN_TRACE_ID") == TRACE
    async with front() as lambda_, runtime(lambda_, {"/": gate}, loops=2):
        await ask(lambda_.url, GET)
        assert "_X_AMZN_TRACE_ID" not in os.environ


@pytest.mark.parametrize(("text", "number"), [("", 1), ("0", 1), ("1", 1), ("64", 64), ("many", 1)])
def test_how_many_at_a_time(text: str, number: int) -> None:
    assert concurrency({"AWS_LAMBDA_MAX_CONCURRENCY": text}) == number
    assert concurrency({}) == 1
