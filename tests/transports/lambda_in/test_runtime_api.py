"""The Runtime API's client: what it says in each case, and what it makes of each answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from lambda_front import TRACE, LambdaFront, front

from cw_proxy.transports.lambda_in import RuntimeApi, RuntimeApiError
from cw_proxy.transports.lambda_in.runtime_api import Invocation
from cw_proxy.wire.lambda_event import Head, prelude

EVENT = {"version": "2.0", "requestContext": {"http": {"method": "GET"}}}
HEAD = prelude(Head(200, (("content-type", "text/plain"),)))


async def invoked(lambda_: LambdaFront) -> tuple[RuntimeApi, Invocation]:
    lambda_.invoke(EVENT)
    api = RuntimeApi(lambda_.address)
    return api, await api.next()


async def test_an_invocation_says_by_when_and_for_whom() -> None:
    async with front(timeout=60) as lambda_:
        _, invocation = await invoked(lambda_)
    assert invocation.event.startswith(b'{"version": "2.0"')
    assert 0 < invocation.deadline - time.time() <= 60
    assert invocation.trace == TRACE


async def test_a_streamed_answer_and_its_end() -> None:
    async with front() as lambda_:
        api, invocation = await invoked(lambda_)
        async with api.answer(invocation) as answer:
            await answer.send(HEAD)
            await answer.send(b"piece")
            await answer.end()
        (done,) = lambda_.finished
        assert (done.error, done.trailers) == (None, {})
        assert [done.pieces.get_nowait() for _ in range(2)] == [b"piece", True]


async def test_a_streamed_answer_that_failed_says_so_in_trailers() -> None:
    async with front() as lambda_:
        api, invocation = await invoked(lambda_)
        async with api.answer(invocation) as answer:
            await answer.send(HEAD)
            await answer.fail("Runtime.Kind", "Why, é.")
        (done,) = lambda_.finished
        assert done.error == {"errorType": "Runtime.Kind", "errorMessage": "Why, é.", "stackTrace": []}


async def test_a_block_that_is_left_early_breaks_the_answer_off() -> None:
    async with LambdaFront() as lambda_:
        api, invocation = await invoked(lambda_)
        pending = next(iter(lambda_._open.values()))
        async with api.answer(invocation) as answer:
            await answer.send(HEAD)
            await pending.head
        assert await pending.pieces.get() is False


async def test_errors_and_failed_starts_are_told() -> None:
    async with front() as lambda_:
        api, invocation = await invoked(lambda_)
        await api.fail(invocation, "Runtime.Kind", "Why.")
        (done,) = lambda_.finished
        assert done.error is not None
        assert done.error["errorType"] == "Runtime.Kind"
        await api.fail_start("Runtime.ConfigError", "Set it.")
        assert lambda_.init_error == {"errorType": "Runtime.ConfigError", "errorMessage": "Set it.", "stackTrace": []}


async def test_a_refused_answer_is_an_error() -> None:
    async with LambdaFront(streams=False) as lambda_:
        api, invocation = await invoked(lambda_)
        with pytest.raises(RuntimeApiError, match="400"):
            async with api.answer(invocation) as answer:
                await answer.send(HEAD)
                await answer.end()
        with pytest.raises(RuntimeApiError, match="400"):
            await api.respond(invocation, b"{}")
    assert len(lambda_.violations) == 2


@asynccontextmanager
async def saying(data: bytes) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


NO_INVOCATIONS = [
    b"",
    b"no http\r\n\r\n",
    b"HTTP/1.1 500 Container error\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nContent-Length: 9\r\n\r\ncut",
]


@pytest.mark.parametrize("data", NO_INVOCATIONS)
async def test_what_is_no_invocation_is_an_error(data: bytes) -> None:
    async with saying(data) as address:
        with pytest.raises(RuntimeApiError):
            await RuntimeApi(address).next()


async def test_an_invocation_without_a_deadline_has_the_longest_there_is() -> None:
    async with saying(b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nContent-Length: 2\r\n\r\n{}") as address:
        invocation = await RuntimeApi(address).next()
    assert invocation.deadline > time.time() + 800
    assert invocation.trace is None


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:http"])
def test_an_address_that_is_none_is_an_error(address: str) -> None:
    with pytest.raises(RuntimeApiError, match="AWS_LAMBDA_RUNTIME_API"):
        RuntimeApi(address)


async def test_nobody_there_is_an_error() -> None:
    with pytest.raises(RuntimeApiError):
        await RuntimeApi("127.0.0.1:9").next()
