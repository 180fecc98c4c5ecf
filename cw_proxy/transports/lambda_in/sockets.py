"""The prompt socket behind API Gateway: connections that AWS holds, each message of which is an event.

An integration has 29 seconds, an answer may take minutes. So a message is checked and acknowledged, and the function
invokes itself with it; that run posts the answer, frame after frame, each once the one before has arrived. A connection
that is gone is learned of from a post that gets a 410, and the upstream is let go with it.

What an asynchronous run has posted must not be posted again: it never fails, since Lambda repeats one that does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, aclosing, suppress
from typing import Literal, Protocol

import msgspec

from cw_proxy.errors import AnswerTooLarge, InvalidApiKey, ProxyError, TimeIsUp
from cw_proxy.front import Front, fresh_stamp
from cw_proxy.guard import Guard
from cw_proxy.interfaces import Action, Ask, Caller, Close, Later, Send, SocketProtocol, SocketSession
from cw_proxy.limits import Client
from cw_proxy.protocols.prompt_socket import PATH, unmistakable
from cw_proxy.record import Record
from cw_proxy.secret import digest
from cw_proxy.transports.rate_limiter import RateLimiter
from cw_proxy.wire.socket_event import (
    MAX_MESSAGE,
    Connect,
    Disconnect,
    Message,
    SocketEvent,
    Turn,
    answer,
    pieces,
    turn,
)

log = logging.getLogger("cw_proxy.lambda")

SocketMode = Literal["async", "inline"]
_SWITCHED = 101  # the status that turns have
_GONE = 410
_INTEGRATION = 28.0  # seconds; API Gateway gives 29
# Seconds that what is under way has beyond the deadline, and the last message after it: Lambda ends the run after one.
_LAST = 0.4


class Gateway(Protocol):
    """AWS, as far as it is needed here."""

    async def post(self, endpoint: str, connection: str, data: bytes) -> int:
        """The HTTP status, whatever it is; 0 where there is none. Raises ConfigError without AWS credentials."""

    def renew(self) -> None:
        """Before an invocation: what was kept open may have died since the last one."""

    async def invoke(self, payload: bytes) -> None:
        """This function, with this event, without waiting for it. Raises ProxyError."""


class Server(Protocol):
    """What connections share with the other endpoints of their server."""

    front: Front

    @property
    def limiter(self) -> RateLimiter: ...

    def counted(self, client: Client) -> AbstractContextManager[None]: ...


class Undelivered(Exception):
    """A post did not arrive, since the client is `gone` or for another reason: nothing more is worth asking for."""

    def __init__(self, *, gone: bool) -> None:
        super().__init__()
        self.gone = gone


class Sockets(msgspec.Struct, frozen=True):
    """`endpoint` is where to post instead of where the front says. `begin` makes a turn's record from its id."""

    server: Server
    protocol: SocketProtocol
    guard: Guard
    gateway: Gateway
    mode: SocketMode = "async"
    endpoint: str | None = None
    begin: Callable[[str], Record | None] = lambda id: None

    async def answer(self, event: SocketEvent, id: str, until: float) -> bytes:
        """`id` is the invocation's; `until` is in the loop's time. Raises nothing that Lambda would repeat."""
        self.gateway.renew()
        match event:
            case Connect():
                return self._connect(event)
            case Message():
                await self._message(event, id, until)
            case Turn():
                await self._turn(event, id, until)
            case Disconnect():
                # A run of its own learns it from its next post: which one that is, is not known here.
                pass
        return answer()

    def _connect(self, event: Connect) -> bytes:
        """As the server's own WebSockets are guarded; AWS has looked at the host."""
        try:
            self.guard.check_origin(event.headers)
            self.guard.owner(event.headers)
            if not self.guard.demands and not event.identified:
                raise InvalidApiKey("AWS has not authenticated this call, and no client keys are set.")
        except ProxyError as error:
            shown = self.protocol.error(error)
            return answer(shown.status, shown.body)
        return answer()

    async def _message(self, event: Message, id: str, until: float) -> None:
        """What cannot be answered is told at once."""
        endpoint = self.endpoint or event.endpoint
        # Whoever waits for the acknowledgement waits for so long.
        until = min(until, asyncio.get_running_loop().time() + _INTEGRATION)
        asked = Turn(event.id, event.address, endpoint, event.body)
        talk = self._talk(asked, until)
        try:
            await self.server.limiter.check(_client(asked), {})
            for action in talk.session.receive(event.body):
                _questions(action)
            if self.mode == "async":
                await self.gateway.invoke(turn(event, endpoint))
                return
        except ProxyError as error:
            await self._refuse(talk, error, id)
            return
        except Exception as fault:  # noqa: BLE001 - the outermost edge, as in `_turn`
            await self._refuse(talk, _internal(fault), id)
            return
        await self._turn(asked, id, until)

    async def _refuse(self, talk: _Talk, error: ProxyError, id: str) -> None:
        """A question that gets no run of its own is recorded here."""
        record = self._record(id)
        await talk.fail(error, record)
        if record is not None:
            record.finish(_SWITCHED)

    async def _turn(self, asked: Turn, id: str, until: float) -> None:
        record = self._record(id)
        talk = self._talk(asked, until)
        try:
            async with asyncio.timeout_at(until):
                with self.server.counted(_client(asked)):
                    await talk.run(asked.body, record)
        except TimeoutError:
            await talk.fail(TimeIsUp("The function's time is up before the answer is complete."), record)
        except ProxyError as error:
            await talk.fail(error, record)
        except Undelivered as fault:
            if record is not None and fault.gone:
                record.gone()
            elif not fault.gone:
                await talk.fail(ProxyError("A part of the answer could not be sent.", code="undelivered"), record)
        except asyncio.CancelledError:
            # As the server's own WebSockets have it: half an answer is none.
            if record is not None:
                record.gone()
            raise
        # The outermost edge: Lambda would repeat a run that fails, and post all of it again.
        except Exception as fault:  # noqa: BLE001 - see above
            await talk.fail(_internal(fault), record)
        finally:
            if record is not None:
                record.finish(_SWITCHED)

    def _record(self, id: str) -> Record | None:
        record = self.begin(id)
        if record is not None:
            record.route = PATH
        return record

    def _talk(self, asked: Turn, until: float) -> _Talk:
        # The client's headers, and with them its key, came once, when it connected: a connection is one caller.
        caller = Caller(digest(asked.id), {}, "WS", "", "", fresh_stamp)
        post = _Post(self.gateway, self.endpoint or asked.endpoint, asked.id, until)
        return _Talk(self.server.front, caller, self.protocol.socket(caller), post)


def _client(asked: Turn) -> Client:
    """Each connection counts as a key does."""
    return Client(digest(asked.id), asked.address)


def _internal(fault: Exception) -> ProxyError:
    log.error("a run failed: %s", _words(fault))
    return ProxyError("Internal error.")


def _words(fault: Exception) -> str:
    """For the log. What is not ours may hold what was said."""
    return fault.message if isinstance(fault, ProxyError) else type(fault).__name__


class _Post:
    """One after the other: a post that is under way in its thread cannot be called back."""

    def __init__(self, gateway: Gateway, endpoint: str, id: str, until: float) -> None:
        self._gateway = gateway
        self._endpoint = endpoint
        self._id = id
        self._until = until
        self._under_way: asyncio.Task[int] | None = None

    async def __call__(self, data: bytes) -> None:
        """Raises Undelivered."""
        self._under_way = asyncio.create_task(self._gateway.post(self._endpoint, self._id, data))
        try:
            status = await asyncio.shield(self._under_way)
        # Also what nobody has foreseen: a run that fails is repeated, and so are its posts.
        except Exception as fault:  # noqa: BLE001 - see above
            log.error("a message to a client is lost: %s", _words(fault))
            raise Undelivered(gone=False) from None
        if 200 <= status < 300:
            return
        if status != _GONE:
            log.warning("a message to a client is lost: API Gateway answered %s", status or "nothing")
        raise Undelivered(gone=status == _GONE)

    async def last(self, data: bytes) -> None:
        """After all others, if there is time for it."""
        if self._under_way is not None:
            await asyncio.wait({self._under_way}, timeout=self._left())
            if not self._under_way.done():
                self._give_up()
                return
            # Whatever became of it has been told, or is told now.
            self._under_way.exception()
        with suppress(Undelivered, TimeoutError):
            async with asyncio.timeout(self._left()):
                await self(data)
        self._give_up()

    def _give_up(self) -> None:
        """Lambda freezes what goes on, and it would be tried again in the middle of a later run."""
        if self._under_way is not None:
            self._under_way.cancel()

    def _left(self) -> float:
        """Seconds; after the deadline too there is a moment, since that is told as well."""
        return max(self._until - asyncio.get_running_loop().time(), 0.0) + _LAST


class _Talk(msgspec.Struct, frozen=True):
    """One question and its answer."""

    front: Front
    caller: Caller
    session: SocketSession
    post: _Post

    async def run(self, body: bytes, record: Record | None) -> None:
        """Raises ProxyError, Undelivered."""
        for action in self.session.receive(body):
            for question in _questions(action):
                if isinstance(question, Send):
                    await self.post(question.frame)
                else:
                    await self._answer(question, record)

    async def fail(self, error: ProxyError, record: Record | None = None) -> None:
        if record is not None:
            record.failed(error)
        await self.post.last(self.session.failure(error, None))

    async def _answer(self, ask: Ask, record: Record | None) -> None:
        answer = await self.front.stream(ask, self.caller, record)
        async with aclosing(answer.payloads()) as payloads:
            async for data in payloads:
                for each in data:
                    for message in messages(self.session.frame(each), ask.stream):
                        await self.post(message)


def _questions(action: Action) -> Sequence[Ask | Send]:
    """Raises ProxyError."""
    if isinstance(action, Later):
        return action.then()
    if isinstance(action, Close):
        raise ProxyError("Internal error: this protocol closes no connections.")
    return [action]


def messages(frame: bytes, stream: bool) -> Sequence[bytes]:
    """What is posted for a frame: a stream's in messages of a frame's size at most. Raises AnswerTooLarge for one that
    stands for itself, and has no such way out."""
    if not stream:
        if len(frame) > MAX_MESSAGE:
            raise AnswerTooLarge(
                f"The answer has more than the {MAX_MESSAGE} bytes that one message may have: ask for less, or stream."
            )
        return [frame]
    first, *others = pieces(frame)
    # A piece that begins in the middle could look like the end, or like an error.
    return [first, *(part.encode() for piece in others for part in unmistakable(piece.decode()))]
