"""The gateway's limits, by a client of the websockets library and boto3, around a function that the test is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import boto3
import pytest
from aiohttp import ClientSession
from botocore.exceptions import ClientError
from servers import PATIENCE, until
from websocket_peers import client as connect
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from cw_proxy.emulator.ws_gateway import Gateway, Limits
from cw_proxy.transports.lambda_in import RuntimeApi

Handler = Callable[[dict[str, Any]], Awaitable[bytes | None]]
OK = b'{"statusCode": 200}'


class Function:
    """Answers what `handle` gives, None being a failure; `seen` has the events."""

    def __init__(self, gateway: Gateway, handle: Handler) -> None:
        self.gateway, self.handle = gateway, handle
        self.seen: list[dict[str, Any]] = []
        self._api = RuntimeApi(gateway.address)

    def kinds(self) -> list[str]:
        return [event["requestContext"]["eventType"] for event in self.seen if "requestContext" in event]

    @property
    def id(self) -> str:
        found: str = self.seen[0]["requestContext"]["connectionId"]
        return found

    async def run(self) -> None:
        while True:
            invocation = await self._api.next()
            event = json.loads(invocation.event)
            self.seen.append(event)
            answer = await self.handle(event)
            if answer is None:
                await self._api.fail(invocation, "Odd", "odd")
            else:
                await self._api.respond(invocation, answer)

    async def aws(self, service: str, operation: str, **fields: Any) -> Any:
        made: Any = boto3.client(
            service,
            endpoint_url=self.gateway.api,
            region_name="eu-central-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        return await asyncio.to_thread(getattr(made, operation), **fields)

    async def post(self, data: bytes, id: str = "") -> Any:
        return await self.aws("apigatewaymanagementapi", "post_to_connection", ConnectionId=id or self.id, Data=data)


async def fine(event: dict[str, Any]) -> bytes | None:
    return OK


@asynccontextmanager
async def function(handle: Handler = fine, **limits: Any) -> AsyncIterator[Function]:
    async with Gateway(limits=Limits(**limits)) as gateway:
        one = Function(gateway, handle)
        running = asyncio.create_task(one.run())
        try:
            yield one
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def received(socket: ClientConnection) -> str | bytes:
    return await asyncio.wait_for(socket.recv(), PATIENCE)


async def closed(socket: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        await received(socket)
    return socket.close_code


async def test_a_connections_life_is_three_kinds_of_events() -> None:
    async with function() as one:
        async with connect(one.gateway.url, "") as socket:
            await socket.send("hello")
            await until(lambda: len(one.seen) == 2, "the message comes")
            await one.post("é".encode())
            assert await received(socket) == "é"
        await until(lambda: len(one.seen) == 3, "the end is told")
        assert one.kinds() == ["CONNECT", "MESSAGE", "DISCONNECT"]
        assert one.seen[1]["body"] == "hello"


@pytest.mark.parametrize(("answer", "status"), [(b'{"statusCode": 401}', 401), (b"null", 502), (None, 502)])
async def test_the_function_may_refuse_a_connection(answer: bytes | None, status: int) -> None:
    async def refuse(event: dict[str, Any]) -> bytes | None:
        return answer

    async with function(refuse) as one:
        with pytest.raises(InvalidStatus) as raised:
            async with connect(one.gateway.url, ""):
                pass
        assert raised.value.response.status_code == status
        assert one.kinds() == ["CONNECT"]


@pytest.mark.parametrize(
    ("said", "code"),
    [(b"binary", 1003), ("x" * 1001, 1009), (["x" * 1000] * 5, 1009)],
)
async def test_what_is_too_large_or_binary_closes(said: Any, code: int) -> None:
    async with function(message=4000, frame=1000) as one, connect(one.gateway.url, "") as socket:
        await socket.send(["x" * 1000] * 4)
        await until(lambda: len(one.seen) == 2, "what just fits comes")
        await socket.send(said)
        assert await closed(socket) == code


async def test_silence_and_age_end_a_connection() -> None:
    async with function(idle=0.05) as one, connect(one.gateway.url, "") as socket:
        assert await closed(socket) == 1001
    async with function(age=0.05) as one, connect(one.gateway.url, "") as socket:
        assert await closed(socket) == 1001


@pytest.mark.parametrize("late", [True, False])
async def test_a_client_is_told_that_the_function_is_late_or_failed(late: bool) -> None:
    async def odd(event: dict[str, Any]) -> bytes | None:
        if event["requestContext"]["eventType"] == "CONNECT":
            return OK
        if late:
            await asyncio.Event().wait()
        return None

    async with function(odd, integration=1.0) as one, connect(one.gateway.url, "") as socket:
        await socket.send("hello")
        told = json.loads(await received(socket))
        assert told["message"] == ("Endpoint request timed out" if late else "Internal server error")
        assert told["connectionId"] == one.id


async def test_posts_have_a_size_and_an_address() -> None:
    async with function() as one:
        async with connect(one.gateway.url, "") as socket:
            await one.post(b"x" * 128 * 1024)
            # In frames, as AWS sends it.
            assert await received(socket) == "x" * 128 * 1024
            with pytest.raises(ClientError) as raised:
                await one.post(b"x" * (128 * 1024 + 1))
            assert raised.value.response["Error"]["Code"] == "PayloadTooLargeException"
        await until(lambda: len(one.seen) == 2, "the end is told")
        for id in (one.id, "another"):
            with pytest.raises(ClientError) as raised:
                await one.post(b"x", id)
            assert raised.value.response["Error"]["Code"] == "GoneException"
            assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 410


async def test_a_connection_can_be_looked_at_and_closed() -> None:
    async with function() as one, connect(one.gateway.url, "") as socket:
        told = await one.aws("apigatewaymanagementapi", "get_connection", ConnectionId=one.id)
        assert told["Identity"]["SourceIp"] == "127.0.0.1"
        await one.aws("apigatewaymanagementapi", "delete_connection", ConnectionId=one.id)
        assert await closed(socket) == 1001


async def test_the_function_is_invoked_with_and_without_waiting() -> None:
    async with function() as one:
        fields = {"FunctionName": "cw-proxy", "Payload": b'{"a": 1}'}
        waited = await one.aws("lambda", "invoke", **fields)
        assert waited["Payload"].read() == OK
        sent = await one.aws("lambda", "invoke", InvocationType="Event", **fields)
        assert sent["StatusCode"] == 202
        await until(lambda: one.seen == [{"a": 1}] * 2, "both come")
        with pytest.raises(ClientError):
            large = {**fields, "Payload": b'"' + b"x" * 256 * 1024 + b'"'}
            await one.aws("lambda", "invoke", InvocationType="Event", **large)


async def test_what_is_not_signed_is_refused() -> None:
    async with function() as one, ClientSession() as session:
        for path in ("/@connections/an-id", "/2015-03-31/functions/f/invocations"):
            async with session.post(one.gateway.api + path, data=b"x") as response:
                assert response.status == 403


def test_only_loopback_is_listened_on() -> None:
    with pytest.raises(ValueError, match="loopback"):
        Gateway("0.0.0.0")
