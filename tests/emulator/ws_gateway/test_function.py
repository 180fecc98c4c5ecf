"""The Runtime API that a function of ours asks, by our own client of it."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import ClientSession
from servers import PATIENCE

from cw_proxy.emulator.ws_gateway import Gateway
from cw_proxy.emulator.ws_gateway.function import FunctionFailed
from cw_proxy.transports.lambda_in import RuntimeApi, RuntimeApiError


async def test_an_event_goes_out_and_an_answer_comes_back() -> None:
    async with Gateway() as gateway:
        api = RuntimeApi(gateway.address)
        asking = asyncio.create_task(gateway.function.invoke(b"event"))
        invocation = await api.next()
        assert invocation.event == b"event"
        await api.respond(invocation, b"answer")
        assert await asyncio.wait_for(asking, PATIENCE) == b"answer"
        with pytest.raises(RuntimeApiError):
            await api.respond(invocation, b"once more")


async def test_a_failure_is_told_with_its_type() -> None:
    async with Gateway() as gateway:
        api = RuntimeApi(gateway.address)
        asking = asyncio.create_task(gateway.function.invoke(b"event"))
        await api.fail(await api.next(), "Runtime.Odd", "odd")
        with pytest.raises(FunctionFailed, match=r"Runtime\.Odd"):
            await asking
        await api.fail_start("Runtime.Odd", "odd")


async def test_a_runtime_that_leaves_takes_no_event_with_it() -> None:
    async with Gateway() as gateway:
        async with ClientSession() as session:
            leaving = asyncio.create_task(session.get(f"{gateway.api}/2018-06-01/runtime/invocation/next"))
            await gateway.function.asked.wait()
            leaving.cancel()
        while gateway.function.asked.is_set():
            await asyncio.sleep(0)
        asking = asyncio.create_task(gateway.function.invoke(b"event"))
        api = RuntimeApi(gateway.address)
        await api.respond(await api.next(), b"answer")
        assert await asyncio.wait_for(asking, PATIENCE) == b"answer"
