"""One invocation: its event as a request to the server in this process, the server's answer to the Runtime API.

Every request has a connection of its own to the server, a pair of sockets that nobody else can reach: so the server
has its own way of ending, breaking off and being broken off here too, and no copy of it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal

import msgspec

from cw_proxy.errors import AnswerTooLarge, HostRefused, InvalidApiKey, ProxyError, TimeIsUp, UpstreamTruncated
from cw_proxy.guard import Guard
from cw_proxy.transports.lambda_in.connection import Broken, Connection, over
from cw_proxy.transports.lambda_in.runtime_api import Invocation, RuntimeApi
from cw_proxy.transports.lambda_in.sockets import Sockets
from cw_proxy.wire import socket_event
from cw_proxy.wire.lambda_event import MAX_PRELUDE, MAX_WHOLE, Head, NotHttp, Request, parse, prelude, whole

log = logging.getLogger("cw_proxy.lambda")

ResponseMode = Literal["auto", "streaming", "buffered"]
# Seconds before the function's end by which the server ends its answer, and after that this file does.
_MARGIN = 1.0
_LAST_MARGIN = 0.25

# Takes a connected socket and, in the loop's time, a deadline.
Serve = Callable[[socket.socket, float], Awaitable[None]]


class Door(msgspec.Struct, frozen=True):
    """Who is let in. AWS has authenticated the domain of what comes by one, so that name needs no list; a balancer
    passes on any Host that its client wrote. `keys` is whether the server behind demands client keys."""

    guard: Guard
    keys: bool

    def check(self, request: Request) -> None:
        """Raises HostRefused; InvalidApiKey where neither a key is demanded nor AWS says who asks."""
        host = request.header("host") or ""
        if request.domain is None or host.lower() != request.domain.lower():
            self.guard.check_host({"host": host})
        if sum(name == "host" for name, _ in request.headers) > 1:
            raise HostRefused("Send exactly one Host header.")
        if not self.keys and not request.identified:
            raise InvalidApiKey("AWS has not authenticated this call, and no client keys are set.")


class Invocations(msgspec.Struct, frozen=True):
    """How invocations are answered, whichever they are."""

    api: RuntimeApi
    serve: Serve
    door: Door
    mode: ResponseMode = "auto"
    sockets: Sockets | None = None

    async def answer(self, invocation: Invocation) -> None:
        """Raises RuntimeApiError."""
        try:
            request = parse(invocation.event)
        except NotHttp as fault:
            await self._answer_socket(invocation, str(fault))
            return
        deadlines = _deadlines(invocation)
        try:
            async with self._asked(request, invocation, deadlines) as (head, chunks):
                if self._streams(request):
                    await self._stream(invocation, head, chunks, deadlines[1])
                else:
                    await self.api.respond(invocation, await _collected(head, chunks, request, deadlines[1]))
        except ProxyError as error:
            await self._refuse(invocation, request, error)

    async def _answer_socket(self, invocation: Invocation, fault: str) -> None:
        """An event of a WebSocket, which is no HTTP."""
        if self.sockets is None:
            await self.api.fail(invocation, "Runtime.NotHttp", fault)
            return
        try:
            event = socket_event.parse(invocation.event)
        except socket_event.NotSocket:
            await self.api.fail(invocation, "Runtime.NotHttp", fault)
            return
        until, _ = _deadlines(invocation)
        await self.api.respond(invocation, await self.sockets.answer(event, invocation.id, until))

    def _streams(self, request: Request) -> bool:
        """Which fronts can: a Function URL, and a REST API, each if it is set up so; the others never."""
        fronts = {"auto": {"function_url"}, "streaming": {"function_url", "rest_api"}, "buffered": set[str]()}
        return request.front in fronts[self.mode]

    @asynccontextmanager
    async def _asked(
        self, request: Request, invocation: Invocation, deadlines: tuple[float, float]
    ) -> AsyncIterator[tuple[Head, AsyncIterator[bytes]]]:
        """The server's answer, of which nothing is read yet. Raises ProxyError."""
        self.door.check(request)
        ours, theirs = socket.socketpair()
        await self.serve(theirs, deadlines[0])
        async with over(ours) as connection:
            yield await _head(connection, request, invocation, deadlines[1]), connection.chunks()

    async def _stream(self, invocation: Invocation, head: Head, chunks: AsyncIterator[bytes], until: float) -> None:
        begin = prelude(head)
        if len(begin) > MAX_PRELUDE:
            raise AnswerTooLarge("The answer's headers are larger than Lambda passes on.")
        async with self.api.answer(invocation) as answer:
            await answer.send(begin)
            try:
                async with asyncio.timeout_at(until):
                    async for chunk in chunks:
                        await answer.send(chunk)
            except (Broken, TimeoutError) as fault:
                log.warning("%s: the answer broke off (%s)", invocation.id, type(fault).__name__)
                await answer.fail("Runtime.AnswerBrokeOff", "The answer broke off.")
            else:
                await answer.end()

    async def _refuse(self, invocation: Invocation, request: Request, error: ProxyError) -> None:
        """Nothing of an answer is out yet."""
        named = (("content-type", "application/json"), ("x-request-id", invocation.id))
        head = Head(error.status, (*named, *error.headers().items()))
        if not self._streams(request):
            await self.api.respond(invocation, whole(head, error.body(), request))
            return
        async with self.api.answer(invocation) as answer:
            await answer.send(prelude(head) + error.body())
            await answer.end()


async def _head(connection: Connection, request: Request, invocation: Invocation, until: float) -> Head:
    try:
        async with asyncio.timeout_at(until):
            await connection.request(request.method, request.target, _headers(request, invocation), request.body)
            response = await connection.response()
    except TimeoutError:
        raise TimeIsUp("The function's time is up before the answer begins; raise its timeout.") from None
    except Broken:
        raise ProxyError("Internal error: the server broke its answer off.") from None
    return Head(
        response.status_code, tuple((name.decode(), value.decode("latin-1")) for name, value in response.headers)
    )


def _headers(request: Request, invocation: Invocation) -> list[tuple[str, str]]:
    """With Lambda's own id and X-Ray's, under the names that AWS's services know; a client cannot set them."""
    ids = {"x-amzn-requestid": invocation.id, "x-amzn-trace-id": invocation.trace}
    return [
        *((name, value) for name, value in request.headers if name not in ids),
        *((name, value) for name, value in ids.items() if value),
        ("connection", "close"),
    ]


async def _collected(head: Head, chunks: AsyncIterator[bytes], request: Request, until: float) -> bytes:
    """The whole answer's JSON."""
    try:
        async with asyncio.timeout_at(until):
            body = b"".join([chunk async for chunk in chunks])
    except TimeoutError:
        raise TimeIsUp("The function's time is up before the answer is complete; raise its timeout.") from None
    except Broken:
        raise UpstreamTruncated("The answer broke off.") from None
    answer = whole(head, body, request)
    if len(answer) > MAX_WHOLE:
        raise AnswerTooLarge("The answer is larger than Lambda passes on in one piece: ask for less, or stream.")
    return answer


def _deadlines(invocation: Invocation) -> tuple[float, float]:
    """When the server ends its answer, and when nothing more is waited for: in the loop's time."""
    left = max(invocation.deadline - time.time(), 0.0)
    end = asyncio.get_running_loop().time() + left
    return end - min(_MARGIN, left / 4), end - min(_LAST_MARGIN, left / 8)
