"""WebSockets for clients: each message is a frame for the protocol's session, each event of an answer a message, as the
session has it.

A turn is a question and its answer. The turns of a lane follow each other, lanes go on beside each other, and what is
wrong with one turn leaves the socket open. A client that does not read holds its own turns back, and nothing else: a
frame is written before the next one is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, suppress
from typing import Protocol, TypeVar

import msgspec
from aiohttp import WSMsgType, web

from cw_proxy.errors import InvalidRequest, Overloaded, ProxyError, ShuttingDown, SocketLimit, UpgradeRequired
from cw_proxy.front import Front
from cw_proxy.interfaces import Action, Ask, Caller, Close, Later, Send, SocketProtocol, SocketSession, WebSocket
from cw_proxy.limits import Client
from cw_proxy.record import Record
from cw_proxy.transports.http_in.bounds import Bounds
from cw_proxy.transports.http_in.routes import Handler, record_of
from cw_proxy.transports.rate_limiter import RateLimiter

Value = TypeVar("Value")

_SWITCHED = 101  # the status that turns have
_GOING_AWAY, _POLICY, _RESTART = 1001, 1008, 1012
_LARGE_FRAME = 256 * 1024


class Server(Protocol):
    """What a socket shares with the other endpoints of its server."""

    front: Front
    draining: bool

    @property
    def bounds(self) -> Bounds: ...

    @property
    def limiter(self) -> RateLimiter: ...

    async def admitted(self, request: web.BaseRequest, extra: dict[str, str]) -> tuple[Caller, Client]: ...

    def counted(self, client: Client) -> AbstractContextManager[None]: ...


class Sockets:
    """The open ones of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._open: set[_Socket] = set()

    @property
    def number(self) -> int:
        return len(self._open)

    def handler(self, protocol: SocketProtocol, binding: WebSocket) -> Handler:
        async def handle(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
            try:
                caller, client = await self._admitted(request, extra)
            except ProxyError as error:
                if record := record_of(request):
                    record.failed(error)
                shown = protocol.error(error)
                return web.Response(
                    status=shown.status,
                    body=shown.body,
                    headers={**extra, **shown.headers},
                    content_type="application/json",
                )
            return await self._serve(request, extra, protocol.socket(caller), caller, client, binding)

        return handle

    async def _admitted(self, request: web.BaseRequest, extra: dict[str, str]) -> tuple[Caller, Client]:
        if request.headers.get("upgrade", "").lower() != "websocket":
            raise UpgradeRequired("This path is a WebSocket: GET it with an upgrade, or POST to it.")
        if not web.WebSocketResponse().can_prepare(request):
            raise InvalidRequest("This is not a valid request for a WebSocket.")
        admitted = await self._server.admitted(request, extra)
        if self._server.draining:
            raise ShuttingDown("The server is shutting down.", retry_after=2)
        if len(self._open) >= self._server.bounds.sockets.number:
            raise Overloaded("The server is at its limit of open WebSockets.", retry_after=1)
        return admitted

    async def _serve(
        self,
        request: web.BaseRequest,
        extra: dict[str, str],
        session: SocketSession,
        caller: Caller,
        client: Client,
        binding: WebSocket,
    ) -> web.StreamResponse:
        bounds = self._server.bounds
        response = web.WebSocketResponse(
            heartbeat=bounds.sockets.heartbeat, max_msg_size=bounds.body_bytes, compress=False
        )
        response.headers.update(extra)
        await response.prepare(request)
        socket = _Socket(request, response, session, caller, client, binding, self._server)
        self._open.add(socket)
        timer = asyncio.get_running_loop().call_later(self._server.bounds.sockets.age, socket.expire)
        try:
            await socket.run()
        finally:
            timer.cancel()
            self._open.discard(socket)
        return response

    def drain(self) -> None:
        """Each closes once its turns are done."""
        for socket in self._open:
            socket.leave_when_idle(_GOING_AWAY)

    async def close(self) -> None:
        """Whatever is still going on is broken off."""
        await asyncio.gather(*(socket.leave(_RESTART) for socket in self._open), return_exceptions=True)


class _Turn(msgspec.Struct, frozen=True):
    """`size` is what its frame had, in bytes."""

    work: Later
    size: int


def _unlaned(ask: Ask) -> Later:
    return Later(None, lambda: [ask])


def _refused(error: ProxyError) -> Sequence[Ask | Send]:
    raise error


class _Socket:
    """One connection: reads frames, and has a task for each lane that has something to do."""

    def __init__(
        self,
        request: web.BaseRequest,
        response: web.WebSocketResponse,
        session: SocketSession,
        caller: Caller,
        client: Client,
        binding: WebSocket,
        server: Server,
    ) -> None:
        self._request = request
        self._response = response
        self._session = session
        self._caller = caller
        self._client = client
        self._binding = binding
        self._server = server
        self._names: set[str] = set()
        self._waiting: dict[str | None, list[_Turn]] = {}  # by lane; what stands first is under way
        self._tasks: set[asyncio.Task[None]] = set()
        self._record = record_of(request)
        self._turns = 0
        self._leaving: int | None = None  # the close code, once it is to close when idle

    async def run(self) -> None:
        try:
            async for message in self._response:
                if message.type is WSMsgType.TEXT:
                    await self._told(None, self._received, message.data.encode())
                elif message.type is WSMsgType.BINARY:
                    await self._tell(InvalidRequest("Frames are JSON texts, not binary."), None)
        except ConnectionError:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def expire(self) -> None:
        """The connection's time is over."""
        error = SocketLimit("This WebSocket is at the end of its time.", code="websocket_connection_limit_reached")
        # Where answers are known by their order alone, the close says enough.
        if not self._binding.ordered:
            self._start(self._guarded(None, self._send, self._session.failure(error, None)))
        self.leave_when_idle(_GOING_AWAY)

    def leave_when_idle(self, code: int) -> None:
        self._leaving = code
        if not self._waiting:
            self._start(self.leave(code))

    async def leave(self, code: int) -> None:
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(self._server.bounds.timing.write):
                await self._response.close(code=code)

    # --- frames ---

    async def _received(self, frame: bytes) -> None:
        for action in await self._actions(frame):
            match action:
                case Send():
                    await self._send(action.frame)
                case Close():
                    await self._response.close(code=action.code, message=action.reason.encode())
                case Later():
                    await self._told(action.lane, self._queue, _Turn(action, len(frame)))
                case _:
                    await self._told(None, self._queue, _Turn(_unlaned(action), len(frame)))

    async def _told(self, lane: str | None, work: Callable[[Value], Awaitable[None]], value: Value) -> None:
        """As `_guarded`, for what comes before a turn is under way."""
        try:
            await work(value)
        except ProxyError as error:
            await self._tell(error, lane)

    async def _tell(self, error: ProxyError, lane: str | None) -> None:
        failure = self._session.failure(error, lane)
        turns = self._waiting.get(lane)
        if not self._binding.ordered or not turns:
            await self._send(failure)
        elif len(turns) < 2 * self._binding.turns:
            turns.append(_Turn(Later(lane, lambda: _refused(error)), 0))
        else:
            await self._response.close(code=_POLICY)

    async def _actions(self, frame: bytes) -> Sequence[Action]:
        if len(frame) <= _LARGE_FRAME:
            return self._session.receive(frame)
        return await asyncio.to_thread(self._session.receive, frame)

    async def _queue(self, turn: _Turn) -> None:
        """Raises SocketLimit, ShuttingDown."""
        if self._leaving is not None:
            raise ShuttingDown("This WebSocket is about to close.", retry_after=2)
        self._check_room(turn)
        lane = turn.work.lane
        if lane is not None:
            self._names.add(lane)
        if lane in self._waiting:
            self._waiting[lane].append(turn)
        else:
            self._waiting[lane] = [turn]
            self._start(self._lane(lane))

    def _check_room(self, turn: _Turn) -> None:
        waiting = [one for turns in self._waiting.values() for one in turns]
        if len(waiting) >= self._binding.turns:
            raise SocketLimit(f"At most {self._binding.turns} turns may be under way on one WebSocket.")
        most = self._server.bounds.body_bytes
        if waiting and sum(one.size for one in waiting) + turn.size > most:
            raise SocketLimit(f"The turns under way on one WebSocket may have {most} bytes together.")
        if turn.work.lane not in (None, *self._names) and len(self._names) >= self._binding.lanes:
            raise SocketLimit(f"At most {self._binding.lanes} lanes may be named on one WebSocket.")

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lane(self, lane: str | None) -> None:
        turns = self._waiting[lane]
        try:
            while turns:
                await self._guarded(lane, self._turn, turns[0].work)
                turns.pop(0)
        finally:
            del self._waiting[lane]
        if self._leaving is not None and not self._waiting:
            await self.leave(self._leaving)

    async def _guarded(self, lane: str | None, work: Callable[[Value], Awaitable[None]], value: Value) -> None:
        """What goes wrong is told, and the socket stays open; one whose client is gone is done."""
        try:
            await work(value)
        except ProxyError as error:
            with suppress(ConnectionError):
                await self._send(self._session.failure(error, lane))
        except ConnectionError:
            pass

    # --- turns ---

    async def _turn(self, turn: Later) -> None:
        self._turns += 1
        if self._record is None:
            await self._answered(turn, None)
            return
        record = self._record.turn(self._turns)
        try:
            await self._answered(turn, record)
        except ProxyError as error:
            record.failed(error)
            raise
        except (ConnectionError, asyncio.CancelledError):
            record.gone()
            raise
        finally:
            record.finish(_SWITCHED)

    async def _answered(self, turn: Later, record: Record | None) -> None:
        await self._server.limiter.check(self._client, {})
        with self._server.counted(self._client):
            for action in turn.then():
                if isinstance(action, Send):
                    await self._send(action.frame)
                else:
                    await self._answer(action, record)

    async def _answer(self, ask: Ask, record: Record | None) -> None:
        answer = await self._server.front.stream(ask, self._caller, record)
        async with aclosing(answer.payloads()) as payloads:
            async for data in payloads:
                for each in data:
                    await self._send(self._session.frame(each))

    async def _send(self, frame: bytes) -> None:
        """Raises ConnectionError, also for a client that does not read."""
        try:
            async with asyncio.timeout(self._server.bounds.timing.write):
                await self._response.send_frame(frame, WSMsgType.TEXT)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionError("the client does not read") from None
