"""One session: two WebSockets, a pump for each direction, and one end that both get to know.

In: the two open sockets. Out: how the session ended. A pump asks for the next message once the last one is written,
so a side that does not read holds the other back and nothing is heaped up.

Pings are each side's own affair: they are answered here, and sent from here to a side that is silent. Silence of the
model is none of the upstream's: as long as it answers pings, the session stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

import msgspec
from aiohttp import ClientWebSocketResponse, WebSocketError, WSMsgType, web

from cw_proxy import relay_rules
from cw_proxy.session_tap import SessionTap

log = logging.getLogger("cw_proxy.relay")

Hook = Callable[[bytes], None]
Result = Literal["ok", "failed", "refused", "client_error", "upstream_error", "shutdown"]
Socket = web.WebSocketResponse[Any] | ClientWebSocketResponse[Any]

# A side that sends one large message cannot answer in the middle of it.
_PINGS_UNANSWERED = 4


class Pace(msgspec.Struct, frozen=True):
    """Seconds: between pings, for one message to be taken, for a close to be answered."""

    ping: float = 25.0
    write: float = 60.0
    close: float = 5.0


class Close(msgspec.Struct, frozen=True):
    code: int
    reason: str = ""


class Ending(msgspec.Struct, frozen=True):
    """What each side is told, and what the session is counted as; no result leaves that to the tap."""

    client: Close
    upstream: Close
    result: Result | None = None


class Side:
    """One of the two sockets."""

    def __init__(self, socket: Socket, transport: asyncio.BaseTransport | None, pace: Pace, lost: Ending) -> None:
        self._socket = socket
        self._transport = transport
        self._pace = pace
        self.lost = lost
        self._waited_for = False
        self._sending = 0
        self._sending_since = 0.0
        self._unanswered = 0

    async def receive(self) -> Any:
        self._waited_for = True
        try:
            return await self._socket.receive()
        finally:
            self._waited_for = False
            self._unanswered = 0

    async def send(self, data: bytes, kind: WSMsgType) -> None:
        """Raises ConnectionError, also when `watch` has given the side up."""
        if not self._sending:
            self._sending_since = asyncio.get_running_loop().time()
        self._sending += 1
        try:
            await self._socket.send_frame(data, kind)
        finally:
            self._sending -= 1

    def watch(self) -> None:
        """Gives up a side that does not read. A timeout around each message would cost more than the message."""
        if self._sending and asyncio.get_running_loop().time() - self._sending_since > self._pace.write:
            self.abort()

    async def ping(self) -> bool:
        """Whether the side may still be there. One that has much to read cannot answer yet."""
        if not self._waited_for or self._sending:
            return True
        if self._unanswered >= _PINGS_UNANSWERED:
            return False
        self._unanswered += 1
        try:
            async with asyncio.timeout(self._pace.write):
                await self.send(b"", WSMsgType.PING)
        except (ConnectionError, TimeoutError):
            return False
        return True

    async def leave(self, close: Close) -> None:
        try:
            async with asyncio.timeout(self._pace.close):
                await self._socket.close(
                    code=relay_rules.passable(close.code), message=relay_rules.reason(close.reason)
                )
        except (ConnectionError, TimeoutError):
            self.abort()

    def abort(self) -> None:
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()


class Session:
    def __init__(
        self, client: Side, upstream: Side, on_client: Sequence[Hook], on_upstream: Sequence[Hook], pace: Pace
    ) -> None:
        self.tap = SessionTap()
        self._client = client
        self._upstream = upstream
        self._on_client = [self.tap.feed_client, *on_client]
        self._on_upstream = [self.tap.feed_upstream, *on_upstream]
        self._pace = pace
        self._draining = False
        self._end: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    async def run(self) -> Result:
        """Until one side ends it, or `end` does."""
        up = asyncio.ensure_future(self._pump(self._client, self._upstream, self._on_client))
        down = asyncio.ensure_future(self._pump(self._upstream, self._client, self._on_upstream))
        watch = asyncio.ensure_future(self._watch())
        pumps = asyncio.gather(up, down)
        pumps.add_done_callback(_pumped)
        ends: list[asyncio.Future[Any]] = [self._end, pumps]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            # Neither side takes anything any more.
            self._ended(self._client.lost)
            ending = self._end.result()
            # The server's socket closes properly only when nobody reads it, the client's only when somebody does.
            await _stopped(up, watch)
            await asyncio.gather(self._client.leave(ending.client), self._upstream.leave(ending.upstream))
        finally:
            await _stopped(up, down, watch)
        return ending.result or self.tap.result

    def drain(self) -> None:
        """Ends once no answer is under way."""
        self._draining = True
        self._leave_if_idle()

    def end(self, code: int) -> None:
        """Both sides are told the same; the first end counts."""
        close = Close(code, "The relay is shutting down.")
        self._ended(Ending(close, close, "shutdown"))

    def _leave_if_idle(self) -> None:
        if self._draining and self.tap.idle:
            close = Close(relay_rules.GOING_AWAY, "The relay is shutting down.")
            self._ended(Ending(close, close))

    def _ended(self, ending: Ending) -> None:
        if not self._end.done():
            self._end.set_result(ending)

    # --- one direction ---

    async def _pump(self, source: Side, target: Side, hooks: list[Hook]) -> None:
        # A side that cannot be written to is not ended here: the other pump may still hold its last words.
        with suppress(ConnectionError):
            while not self._end.done():
                message = await source.receive()
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await self._pass(message, source, target, hooks)
                elif message.type is WSMsgType.PING:
                    # One that cannot be answered is about to be lost, which the next read tells.
                    with suppress(ConnectionError):
                        await source.send(message.data, WSMsgType.PONG)
                elif message.type is not WSMsgType.PONG:
                    self._ended(self._left(source, message))

    async def _pass(self, message: Any, source: Side, target: Side, hooks: list[Hook]) -> None:
        if message.type is WSMsgType.TEXT:
            if not _is_utf8(message.data):
                self._ended(self._broke(source, relay_rules.NOT_UTF8))
                return
            _feed(hooks, message.data)
        await target.send(message.data, message.type)
        self._leave_if_idle()

    def _left(self, source: Side, message: Any) -> Ending:
        if message.type is WSMsgType.CLOSE:
            return self._closed(source, Close(message.data, message.extra or ""))
        if isinstance(message.data, WebSocketError):
            return self._broke(source, message.data.code)
        return source.lost

    def _closed(self, source: Side, close: Close) -> Ending:
        normal = close.code in (0, relay_rules.NORMAL, relay_rules.GOING_AWAY) or source is self._client
        return Ending(close, close, None if normal else "upstream_error")

    def _broke(self, source: Side, code: int) -> Ending:
        """The side that broke the protocol is told how; to the other one it is lost."""
        told = Close(code, "This message cannot be passed on.")
        if source is self._client:
            return Ending(told, source.lost.upstream, source.lost.result)
        return Ending(source.lost.client, told, source.lost.result)

    # --- beside them ---

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        ping_at = loop.time() + self._pace.ping
        while True:
            await asyncio.sleep(min(self._pace.ping, self._pace.write / 2))
            for side in (self._client, self._upstream):
                side.watch()
                if loop.time() >= ping_at and not await side.ping():
                    side.abort()
                    return self._ended(side.lost)
            if loop.time() >= ping_at:
                ping_at = loop.time() + self._pace.ping


CLIENT_LOST = Ending(
    Close(relay_rules.INTERNAL_ERROR, "The connection was lost."),
    Close(relay_rules.GOING_AWAY, "The client is gone."),
    "client_error",
)
UPSTREAM_LOST = Ending(
    Close(relay_rules.INTERNAL_ERROR, "The upstream's connection was lost."),
    Close(relay_rules.GOING_AWAY, "The connection was lost."),
    "upstream_error",
)


async def _stopped(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _pumped(pumps: asyncio.Future[Any]) -> None:
    """Asks how they ended, or asyncio logs that nobody did: that they were stopped is the usual end, and no fault."""
    fault = None if pumps.cancelled() else pumps.exception()
    if fault is not None and not isinstance(fault, asyncio.CancelledError):
        log.error("a session's pump failed", exc_info=fault)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    with suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


def _feed(hooks: list[Hook], frame: bytes) -> None:
    for hook in list(hooks):
        try:
            hook(frame)
        except Exception as fault:  # noqa: BLE001  somebody else's code must not end a session; its words may be the user's
            log.warning("a hook failed with %s and is not called again in this session", type(fault).__name__)
            hooks.remove(hook)
