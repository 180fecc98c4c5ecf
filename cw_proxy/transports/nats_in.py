"""NATS: a micro service whose requests meet the exchange; over it every protocol that binds a Subject.

In: messages on one subject, shared by a queue group. Out: one message, or a stream of them with an empty one as its
end; `$SRV` answers. Refuses to know bodies beyond which protocol they belong to.

The client library calls back for one message after the other: each gets a task of its own, and the semaphore taken
before it holds back what would be too much. Answers are published, never "responded": that would send the request's
headers, keys among them, back (transports.md §1).
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from secrets import token_hex
from weakref import WeakValueDictionary

import msgspec
import nats.micro
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error, OutboundBufferLimitError, SlowConsumerError
from nats.micro.request import Request as Message
from nats.micro.service import EndpointStats, Service

from cw_proxy import __version__
from cw_proxy.errors import (
    InvalidRequest,
    NatsRefused,
    NatsUnavailable,
    Overloaded,
    ProxyError,
    RequestTooLarge,
    UpstreamTimeout,
)
from cw_proxy.events import Fail
from cw_proxy.front import Front, Streamed, Whole
from cw_proxy.interfaces import ClientProtocol
from cw_proxy.nats_settings import NatsConfig
from cw_proxy.protocols import PROTOCOLS
from cw_proxy.subjects import Subjects
from cw_proxy.transports.nats_client import Unreadable, flushed
from cw_proxy.transports.nats_out import Watch, connect
from cw_proxy.wire import sse
from cw_proxy.wire.nats_message import ERROR_CODE, SEQUENCE, STATUS, failure, nobody_listens, size

log = logging.getLogger(__name__)

# Of our own, so that a server's configuration can grant these alone.
_INBOXES = "_INBOX.cw-proxy"
_CONFIRM = 0.05  # seconds between questions to the server whether it has taken what was sent
_COMEBACK = 60.0  # seconds after a break within which askers come back,
_STREAM_COMEBACK = 5.0  # and those of streams, who keep others from being answered meanwhile
_AGAIN = 0.1  # seconds between tries to reach them
_LONGEST_SUBJECT = 1024  # a server ends the connection over a line of 4096 bytes
_COMPLAINTS = 50  # of a server that are logged, for each connection


class Gone(Exception):
    """Nobody listens where an answer was to go."""


class NatsWorker:
    """`start`, then `drain` and `stop`. `lost` is set when no request will come any more; `fault` says why."""

    def __init__(self, front: Front, config: NatsConfig, drain_timeout: float) -> None:
        self._front = front
        self._config = config
        self._drain_timeout = drain_timeout
        self._subjects = Subjects(make() for make in PROTOCOLS)
        self._counts = Counts()
        self._room = asyncio.Semaphore(config.concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._line = Line(config.subject)
        self.lost = self._line.lost

    @property
    def fault(self) -> ProxyError:
        return self._line.fault

    async def start(self) -> None:
        await self.connect()
        await self.serve()

    async def connect(self) -> None:
        """Nothing is taken yet. Raises ConfigError, NatsRefused, NatsUnavailable."""
        await self._line.open(self._config)
        log.info("Connected to NATS Server")

    async def serve(self) -> None:
        """Raises NatsRefused, NatsUnavailable."""
        try:
            self._service = await self._serve_subject()
            await flushed(self._line.client)
        except Error as fault:
            raise NatsUnavailable(f"The NATS server went away while we started: {type(fault).__name__}.") from None
        self._line.tell()
        if self.lost.is_set():
            await self.stop()
            raise self.fault
        log.info("Listening for requests on '%s'", self._config.subject)

    async def _serve_subject(self) -> Service:
        service = await nats.micro.add_service(
            self._line.client,
            name="cw-proxy",
            version=__version__.partition("+")[0],
            description="Questions to a model: plain text, or JSON of OpenAI's APIs.",
            stats_handler=self._counts.told,
        )
        await service.add_endpoint(
            name="ask", subject=self._config.subject, queue_group=self._config.queue_group, handler=self._take
        )
        return service

    # --- the end ---

    async def drain(self) -> bool:
        """No new requests; those that were delivered are answered. False when the time limit came first."""
        self._line.ending = True
        try:
            async with asyncio.timeout(self._drain_timeout):
                for endpoint in self._service._endpoints:
                    if endpoint._subscription is not None:
                        await self._line.unsubscribe(endpoint._subscription)
                while self._tasks:
                    await asyncio.wait(self._tasks)
                await self._line.settle()
                await self._line.client.drain()
        except (TimeoutError, Error):
            log.warning("The time for the rest is over; requests that are broken off: %d", len(self._tasks))
            return False
        return True

    async def stop(self) -> None:
        """Whatever is still going on is broken off."""
        self._line.ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._line.close()

    # --- a request ---

    async def _take(self, message: Message) -> None:
        await self._room.acquire()
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _answer(self, message: Message) -> None:
        if not self._answerable(message._msg.reply):
            return
        protocol, streamed = self._subjects.of(message.data)
        log.debug("Handling a request of %d bytes: %s", len(message.data), protocol.name)
        reply = Reply(self._line, message._msg.reply, protocol, self._config.max_reply_bytes, streamed)
        with self._counts.one():
            try:
                await self._answer_to(reply, message)
            except (Gone, asyncio.CancelledError):
                self._counts.cancelled += 1
            except Error as fault:
                log.warning("an answer was lost: %s", type(fault).__name__)

    def _answerable(self, to: str) -> bool:
        """Without a reply subject there is nobody to answer. Where it is ours, or a worker's, each message of an answer
        would be a request again."""
        own = to == self._config.subject or to.startswith(f"{_INBOXES}.")
        return bool(to) and not own and len(to.encode()) <= _LONGEST_SUBJECT

    async def _answer_to(self, reply: Reply, message: Message) -> None:
        try:
            answer = await self._in_time(reply, message)
            if answer is not None:
                await reply.send(answer.body, {**reply.extra, STATUS: "200"})
        except ProxyError as error:
            self._counts.failed(error)
            await reply.fail(error)
        except (Error, Gone):
            raise
        except Exception:  # the outermost edge: the asker is told that something went wrong, and nothing of what
            log.exception("internal error")
            fault = ProxyError("Internal error.")
            self._counts.failed(fault)
            await reply.fail(fault)

    async def _in_time(self, reply: Reply, message: Message) -> Whole | None:
        """A whole answer that is to be sent: once it is there, it may wait for a server that is away."""
        headers = {name.lower(): value for name, value in (message.headers or {}).items()}
        try:
            async with asyncio.timeout(self._config.timeout):
                answer = await self._front.answer(
                    reply.protocol, self._front.caller(headers), message.data, reply.extra
                )
                if isinstance(answer, Whole):
                    return answer
                if failed := await reply.stream(answer):
                    self._counts.failed(failed)
        except TimeoutError:
            raise UpstreamTimeout(f"The answer took longer than {self._config.timeout:g} s.") from None
        return None


class Counts:
    """What `$SRV.STATS` tells: the library's own numbers are those of starting a task."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.cancelled = 0
        self.active = 0
        self.nanoseconds = 0
        self.last_error: str | None = None

    @contextmanager
    def one(self) -> Iterator[None]:
        self.requests += 1
        self.active += 1
        began = time.perf_counter_ns()
        try:
            yield
        finally:
            self.active -= 1
            self.nanoseconds += time.perf_counter_ns() - began

    def failed(self, error: ProxyError) -> None:
        self.errors += 1
        self.last_error = f"{error.status}:{error.code}"

    def told(self, stats: EndpointStats) -> dict[str, int]:
        stats.num_requests = self.requests
        stats.num_errors = self.errors
        stats.last_error = self.last_error
        stats.processing_time = self.nanoseconds
        stats.average_processing_time = self.nanoseconds // max(1, self.requests - self.active)
        return {"active": self.active, "cancelled": self.cancelled}


class Reply:
    """Messages to one asker: a whole answer, or a stream, of which `number` went out."""

    def __init__(
        self, line: Line, to: str, protocol: ClientProtocol, max_bytes: int | None = None, streamed: bool = False
    ) -> None:
        self.to = to
        self.protocol = protocol
        self.extra: dict[str, str] = {}
        self.number = 0
        self._line = line
        self._max_bytes = max_bytes
        self._ends = streamed
        # What the Line keeps here: see there.
        self.streaming: asyncio.Task[None] | None = None
        self.broken = False
        self.back = ""
        self.heard = -1
        self.reaching = False

    async def stream(self, answer: Streamed) -> ProxyError | None:
        """One message for each chunk, then the empty one; the error that ended it. Raises ProxyError before the
        first chunk, or when one is too large."""
        failed: ProxyError | None = None
        encoder = answer.encoder
        self._line.expect(self)
        self.streaming = asyncio.current_task()
        async with aclosing(answer.batches):
            try:
                async for events in answer.batches:
                    failed = next((event.error for event in events if isinstance(event, Fail)), None)
                    await self._chunks(encoder.feed(events))
                    if encoder.ended:
                        break
            except ProxyError as error:
                if not self.number or isinstance(error, RequestTooLarge):
                    raise
                failed = error
                await self._chunks(encoder.feed([Fail(error)]))
        return await self.end(failed)

    async def _chunks(self, written: bytes) -> None:
        for data in sse.payloads(written):
            # The empty message says it here.
            if data != b"[DONE]":
                await self.send(data, {**self.extra, SEQUENCE: str(self.number + 1)})

    async def send(self, body: bytes, headers: dict[str, str]) -> None:
        """Raises what Line.send does."""
        await self._line.send(Parcel(self, body, headers))

    async def fail(self, error: ProxyError) -> None:
        """In the protocol's shape, and with a stream's end where one was to come."""
        if not self.number:
            shown = self.protocol.error(error)
            await self._fitting(shown.body, {**self.extra, **shown.headers, **failure(error)})
        if self._ends:
            await self.end(error)

    async def end(self, error: ProxyError | None) -> ProxyError | None:
        """Of a stream; the error that it ends with: where a part may be missing, there is one."""
        try:
            await self._fitting(b"", self._ending(error))
        except NatsUnavailable as broken:
            error = error or broken
            await self._fitting(b"", self._ending(error))
        return error

    def _ending(self, error: ProxyError | None) -> dict[str, str]:
        return {SEQUENCE: str(self.number + 1), **(failure(error) if error else {STATUS: "200"})}

    async def _fitting(self, body: bytes, headers: dict[str, str]) -> None:
        """With less in it, where a message has no room for all of it: something has to come."""
        least = {name: headers[name] for name in (SEQUENCE, STATUS, ERROR_CODE) if name in headers}
        try:
            await self.send(body, headers)
        except RequestTooLarge:
            try:
                await self.send(b"", least)
            except RequestTooLarge as error:
                log.warning("an error was lost: %s", error.message)

    def check_size(self, parcel: Parcel, limit: int) -> None:
        """Raises RequestTooLarge: the server would end the connection."""
        limit = min(limit, self._max_bytes or limit)
        if size(parcel.body, parcel.headers) > limit:
            what = "A part of the answer" if self.streaming else "The answer"
            advice = "" if self.streaming else ": ask with JSON and `stream: true`"
            raise RequestTooLarge(
                f"{what} is larger than the {limit} bytes of a message{advice}.", code="answer_too_large"
            )

    def nobody_listens(self) -> None:
        """A stream whose asker is gone ends, upstream as well."""
        if self.reaching:
            self.reaching = False
        elif self.streaming is not None:
            self.streaming.cancel()


# --- the connection, and what it takes that no answer is lost with it -------------------------------------


class Parcel(msgspec.Struct, frozen=True):
    """A message on its way."""

    reply: Reply
    body: bytes
    headers: dict[str, str]


class Line(Watch):
    """Sends answers, and holds them back while there is no server.

    What a server had not taken when the connection broke may be lost. So it is asked for its word every now and then:
    without it, whole answers are sent again, and streams end with an error, since a part may be missing. Askers may
    come back later than we do: after a break, the first message to each is repeated until somebody hears it.
    """

    def __init__(self, subject: str) -> None:
        self.lost = asyncio.Event()
        self.fault: ProxyError = NatsUnavailable("The NATS server closed the connection for good.")
        self.ending = False
        self._subject = subject
        self._trouble: list[str] = []  # since the connection stands
        self._telling = False
        self._standing = asyncio.Event()
        self._breaks = 0
        self._returned = -math.inf  # when the connection stood again
        self._unconfirmed: list[Parcel] = []
        self._confirming: asyncio.Task[None] | None = None
        self._repeating: set[asyncio.Task[None]] = set()
        self._expecting: WeakValueDictionary[str, Reply] = WeakValueDictionary()

    async def open(self, config: NatsConfig) -> None:
        """Raises ConfigError, NatsRefused, NatsUnavailable."""
        self.client: Client = await connect(config, self, inboxes=_INBOXES)
        self._inbox = self.client.new_inbox()
        await self.client.subscribe(f"{self._inbox}.*", cb=self._undelivered)
        self._standing.set()

    async def unsubscribe(self, subscription: Subscription) -> None:
        """Until all that was delivered is taken. The library's `unsubscribe` throws it away; its `drain` flushes ahead
        of its own UNSUB, and throws away what comes between the two."""
        await self.client._send_unsubscribe(subscription._id)
        with suppress(Error):
            await flushed(self.client)
        # A connection that breaks meanwhile is not to take it up again.
        self.client._remove_sub(subscription._id)
        await subscription._pending_queue.join()

    # --- sending ---

    async def send(self, parcel: Parcel) -> None:
        """Raises RequestTooLarge; NatsUnavailable, once, for a stream that may have lost something; Gone; the
        library's errors."""
        reply = parcel.reply
        await self._standing.wait()
        if reply.broken:
            reply.broken = False
            raise _broken()
        if reply.streaming is None and self._returning(reply):
            # A whole answer waits for its asker by itself: others need the room.
            reply.check_size(parcel, self.client.max_payload)
            self._repeat_later(reply, [parcel])
        else:
            await self._deliver(parcel)

    async def _deliver(self, parcel: Parcel) -> None:
        reply = parcel.reply
        await self._standing.wait()
        reply.check_size(parcel, self.client.max_payload)
        self._unconfirmed.append(parcel)
        if self._confirming is None or self._confirming.done():
            self._confirming = asyncio.create_task(self._confirm())
        if reply.streaming is not None:
            reply.number += 1
        if self._returning(reply):
            await self._reach(parcel)
        else:
            await self._publish(parcel)
        reply.heard = self._breaks

    async def _publish(self, parcel: Parcel) -> None:
        reply = parcel.reply
        # No room while the connection breaks, of which we are told in a moment: this parcel is unconfirmed.
        with suppress(OutboundBufferLimitError):
            await self.client.publish(reply.to, parcel.body, reply=reply.back, headers=parcel.headers)

    def expect(self, reply: Reply) -> None:
        """Has the reply told when nobody listens to it."""
        reply.back = f"{self._inbox}.{token_hex(8)}"
        self._expecting[reply.back] = reply

    async def _undelivered(self, message: Msg) -> None:
        reply = self._expecting.get(message.subject)
        if reply is not None and nobody_listens(message.headers, message.data):
            reply.nobody_listens()

    # --- after a break ---

    def _returning(self, reply: Reply) -> bool:
        """Whether its asker may be on the way back."""
        patience = _COMEBACK if reply.streaming is None else _STREAM_COMEBACK
        return reply.heard != self._breaks and time.monotonic() < self._returned + patience

    async def _reach(self, parcel: Parcel) -> None:
        reply = parcel.reply
        if not reply.back:
            self.expect(reply)
        while True:
            reply.reaching = True
            await self._publish(parcel)
            # The word that nobody listens comes before the answer to the flush. Where the connection breaks again, this
            # parcel is unconfirmed.
            with suppress(Error):
                await flushed(self.client)
            heard, reply.reaching = reply.reaching, False
            if heard:
                return
            if not self._returning(reply):
                raise Gone
            await asyncio.sleep(_AGAIN)

    async def _confirm(self) -> None:
        while self._unconfirmed and not self.client.is_closed:
            number, breaks = len(self._unconfirmed), self._breaks
            await asyncio.sleep(_CONFIRM)
            await self._standing.wait()
            with suppress(Error):
                await flushed(self.client)
                if breaks == self._breaks:
                    del self._unconfirmed[:number]

    def _repeat_later(self, reply: Reply, parcels: list[Parcel]) -> None:
        task = asyncio.create_task(self._repeat(reply, parcels))
        self._repeating.add(task)
        task.add_done_callback(self._repeating.discard)

    async def _repeat(self, reply: Reply, parcels: list[Parcel]) -> None:
        try:
            if reply.streaming is not None and len(parcels) > 1:
                await reply.end(_broken())
            else:
                for parcel in parcels:
                    await self._deliver(parcel)
        except RequestTooLarge as error:
            # It was not, before the server came back with another limit.
            await reply.fail(error)
        except Gone:
            log.warning("an answer was dropped: nobody came back for it")
        except Error as fault:
            log.warning("an answer was lost: %s", type(fault).__name__)

    async def settle(self) -> None:
        """Until the server has taken everything."""
        while waiting := [task for task in (*self._repeating, self._confirming) if task and not task.done()]:
            await asyncio.wait(waiting)

    async def close(self) -> None:
        for task in (*self._repeating, self._confirming):
            if task is not None:
                task.cancel()
        if not self.client.is_closed:
            with suppress(Error, OSError):
                await self.client.close()

    # --- what happens to the connection ---

    def tell(self) -> None:
        """Logs what the server complained of so far, and from now on."""
        self._telling = True
        for words in self._trouble:
            log.warning("NATS: %s", words)

    async def error(self, fault: Exception) -> None:
        words = str(fault).strip().removeprefix("nats: ") or type(fault).__name__
        if isinstance(fault, SlowConsumerError):
            # More is waiting here than the library keeps: it throws this request away.
            words = "a request was refused: too many are waiting"
            await self._refuse(fault.reply, Overloaded("This worker has too many requests waiting.", retry_after=1))
        elif isinstance(fault, Unreadable):
            await self._refuse(fault.reply, InvalidRequest("The headers of this message cannot be read."))
        if "permissions violation for subscription" in words and f'"{self._subject.lower()}"' in words:
            # Also later, when the permission is taken away: nothing would come any more, and nobody would notice.
            self.fault = NatsRefused(f"The NATS server does not permit us to subscribe to {self._subject!r}.")
            self.lost.set()
        elif words not in self._trouble and len(self._trouble) < _COMPLAINTS:
            # A server that is away is missed again every second; and clients can make it complain.
            self._trouble.append(words)
            if self._telling:
                log.warning("NATS: %s", words)

    async def _refuse(self, to: str, error: ProxyError) -> None:
        """A request that nobody else will hear of."""
        with suppress(Error):
            if to:
                await self.client.publish(to, error.body(), headers=failure(error))

    async def disconnected(self) -> None:
        self._standing.clear()
        self._breaks += 1
        lost: dict[Reply, list[Parcel]] = {}
        for parcel in self._unconfirmed:
            lost.setdefault(parcel.reply, []).append(parcel)
        self._unconfirmed = []
        for reply, parcels in lost.items():
            if reply.streaming is not None and parcels[-1].body:
                reply.broken = True
            else:
                self._repeat_later(reply, parcels)
        if not self.ending:
            log.warning("The connection to the NATS server broke; connecting again")

    async def reconnected(self) -> None:
        self._returned = time.monotonic()
        self._trouble.clear()
        self._standing.set()
        log.warning("Connected to NATS Server again")

    async def closed(self) -> None:
        # Whoever waits for a server is to find that there will be none.
        self._standing.set()
        if not self.ending:
            self.lost.set()


def _broken() -> ProxyError:
    return NatsUnavailable("The connection to the NATS server broke: a part of this answer may be missing.")
