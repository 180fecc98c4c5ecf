"""The NATS front: a micro service, and over it every protocol that binds a Subject.

In: messages on one subject, shared by a queue group. Out: one message, or a stream of them with an empty one as its
end, errors in the protocol's shape; `$SRV` answers. Refuses to know bodies beyond which protocol they belong to, and
what it takes to lose nothing on the way: that is nats_link.

The client library calls back for one message after the other: each gets a task of its own, and the semaphore taken
before it holds back what would be too much. Answers are published, never "responded": that would send the request's
headers, keys among them, back (transports.md §1).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from secrets import token_hex

import nats.micro
from nats.errors import Error
from nats.micro.request import Request as Message
from nats.micro.service import EndpointStats, Service

from cw_proxy import __version__
from cw_proxy.errors import NatsUnavailable, ProxyError, RequestTooLarge, ShuttingDown, UpstreamTimeout
from cw_proxy.front import Front, Streamed, Whole
from cw_proxy.guard import Guard
from cw_proxy.interfaces import ClientProtocol
from cw_proxy.nats_settings import NatsConfig
from cw_proxy.protocols import protocols
from cw_proxy.record import Record, Recorder
from cw_proxy.router import Router
from cw_proxy.subjects import Subjects
from cw_proxy.transports.nats_link.client import flushed, reply_subject, subscriptions
from cw_proxy.transports.nats_link.outbox import INBOXES, Gone, Outbox, Recipient
from cw_proxy.wire.nats_message import ERROR_CODE, SEQUENCE, STATUS, failure

log = logging.getLogger(__name__)

_GONE = 499  # the status of an exchange whose asker has left
_LAST_WORDS = 1.0  # seconds to tell askers that they get no answer
_LONGEST_SUBJECT = 1024  # bytes: a server ends the connection over a line of 4096


class NatsWorker:
    """`start`, then `drain` and `stop`. `lost` is set when no request will come any more; `fault` says why."""

    def __init__(
        self, exchange: Router, guard: Guard, config: NatsConfig, drain_timeout: float, recorder: Recorder | None = None
    ) -> None:
        self._front = Front(exchange, guard, config.timeout)
        self._config = config
        self._drain_timeout = drain_timeout
        self._subjects = Subjects(protocols())
        self._recorder = recorder or Recorder()
        self._counts = Counts()
        self._room = asyncio.Semaphore(config.concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._outbox = Outbox(config.subject)
        self._stopping = False
        self.lost = self._outbox.lost

    @property
    def fault(self) -> ProxyError:
        return self._outbox.fault

    async def start(self) -> None:
        await self.connect()
        await self.serve()

    async def connect(self) -> None:
        """Nothing is taken yet. Raises ConfigError, NatsRefused, NatsUnavailable."""
        await self._outbox.open(self._config)
        log.info("Connected to NATS Server")

    async def serve(self) -> None:
        """Raises NatsRefused, NatsUnavailable."""
        try:
            self._service = await self._serve_subject()
            await flushed(self._outbox.client)
        except Error as fault:
            raise NatsUnavailable(f"The NATS server went away while we started: {type(fault).__name__}.") from None
        self._outbox.tell()
        if self.lost.is_set():
            await self.stop()
            raise self.fault
        log.info("Listening for requests on '%s'", self._config.subject)

    async def _serve_subject(self) -> Service:
        service = await nats.micro.add_service(
            self._outbox.client,
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
        self._outbox.ending = True
        try:
            async with asyncio.timeout(self._drain_timeout):
                for subscription in subscriptions(self._service):
                    await self._outbox.unsubscribe(subscription)
                while self._tasks:
                    await asyncio.wait(self._tasks)
                await self._outbox.drain()
        except (TimeoutError, Error):
            log.warning("The time for the rest is over; requests that are broken off: %d", len(self._tasks))
            return False
        return True

    async def stop(self) -> None:
        """Whatever is still going on is broken off, and its askers are told, if there is a way to them."""
        self._outbox.ending = self._stopping = True
        for task in self._tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._outbox.close()

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
        to = reply_subject(message)
        if not self._answerable(to):
            return
        protocol, streamed = self._subjects.of(message.data)
        log.debug("Handling a request of %d bytes: %s", len(message.data), protocol.name)
        reply = Reply(self._outbox, to, protocol, streamed, self._config.max_reply_bytes)
        with self._counts.one(self._record()) as outcome:
            try:
                await self._answer_to(reply, message, outcome)
            except Gone:
                outcome.gone()
            except asyncio.CancelledError:
                await self._broken_off(reply, outcome)
            except Error as fault:
                log.warning("an answer was lost: %s", type(fault).__name__)
                outcome.gone()

    async def _broken_off(self, reply: Reply, outcome: Outcome) -> None:
        """By its asker, who has left, or by our end, which is told."""
        if self._stopping:
            error = _shutting_down()
            outcome.failed(error)
            with suppress(Error, Gone):
                await reply.fail(error)
        else:
            outcome.gone()

    def _record(self) -> Record | None:
        record = self._recorder.begin(f"req_{token_hex(16)}", "NATS")
        if record is not None:
            record.route = self._config.subject
        return record

    def _answerable(self, to: str) -> bool:
        """Without a reply subject there is nobody to answer. Where it is ours, or a worker's, each message of an answer
        would be a request again."""
        own = to == self._config.subject or to.startswith(f"{INBOXES}.")
        return bool(to) and not own and len(to.encode()) <= _LONGEST_SUBJECT

    async def _answer_to(self, reply: Reply, message: Message, outcome: Outcome) -> None:
        try:
            await self._respond(reply, message, outcome)
        except ProxyError as error:
            outcome.failed(error)
            await reply.fail(error)
        except (Error, Gone):
            raise
        except Exception:  # the outermost edge: the asker is told that something went wrong, and nothing of what
            log.exception("internal error")
            fault = ProxyError("Internal error.")
            outcome.failed(fault)
            await reply.fail(fault)

    async def _respond(self, reply: Reply, message: Message, outcome: Outcome) -> None:
        if self._stopping:
            raise _shutting_down()
        headers = {name.lower(): value for name, value in (message.headers or {}).items()}
        caller = self._front.caller(headers)
        if outcome.record is not None:
            outcome.record.came_from(caller.owner, headers.get("user-agent"))
        answer = await self._front.answer(reply.protocol, caller, message.data, reply.extra, outcome.record)
        if isinstance(answer, Whole):
            # Once it is there, it may wait for a server that is away.
            await reply.send(answer.body, {**reply.extra, STATUS: "200"})
        elif failed := await reply.stream(answer, self._config.timeout):
            outcome.failed(failed)


def _shutting_down() -> ProxyError:
    return ShuttingDown("This worker is shutting down.", retry_after=2)


class Reply(Recipient):
    """An answer to one asker: whole, or `streamed`, and then with an end in every case."""

    def __init__(
        self, outbox: Outbox, subject: str, protocol: ClientProtocol, streamed: bool, max_bytes: int | None
    ) -> None:
        super().__init__(subject)
        self.protocol = protocol
        self.extra: dict[str, str] = {}
        self._outbox = outbox
        self._ends = streamed
        self._max_bytes = max_bytes
        self._task = asyncio.current_task()

    async def stream(self, answer: Streamed, limit: float) -> ProxyError | None:
        """One message for each chunk, then the empty one; the error that ended it. `limit` is seconds: the service is
        kept no longer for a NATS server that is away. Raises ProxyError before the first chunk, or when one is too
        large."""
        self._outbox.expect(self)
        self.streaming = self._ends = True
        try:
            async with asyncio.timeout(limit), aclosing(answer.payloads()) as payloads:
                async for data in payloads:
                    await self._chunks(data)
        except (NatsUnavailable, TimeoutError) as fault:
            late = UpstreamTimeout(f"The answer took longer than {limit:g} s.")
            error = fault if isinstance(fault, ProxyError) else late
            if not self.sent:
                raise error from None
            await self._chunks(answer.failed(error))
        return await self._end(answer.failure)

    async def _chunks(self, payloads: list[bytes]) -> None:
        for data in payloads:
            # The empty message says it here.
            if data != b"[DONE]":
                await self.send(data, {**self.extra, SEQUENCE: str(self.sent + 1)})

    async def send(self, body: bytes, headers: dict[str, str]) -> None:
        """Raises what Outbox.send does."""
        await self._outbox.send(self, body, headers)

    async def fail(self, error: ProxyError) -> None:
        """In the protocol's shape, and with a stream's end where one was to come."""
        self.streaming = self._ends
        if not self.sent:
            shown = self.protocol.error(error)
            number = {SEQUENCE: "1"} if self._ends else {}
            await self._fitting(shown.body, {**self.extra, **shown.headers, **failure(error), **number})
        if self._ends:
            await self._end(error)

    async def _end(self, error: ProxyError | None) -> ProxyError | None:
        """Of a stream; the error that it ends with: where a part may be missing, there is one."""
        try:
            await self._fitting(b"", self._ending(error))
        except NatsUnavailable as broken:
            error = error or broken
            await self._fitting(b"", self._ending(error))
        return error

    def _ending(self, error: ProxyError | None) -> dict[str, str]:
        return {SEQUENCE: str(self.sent + 1), **(failure(error) if error else {STATUS: "200"})}

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

    def check_size(self, size: int, limit: int) -> None:
        limit = min(limit, self._max_bytes or limit)
        if size > limit:
            what = "A part of the answer" if self.streaming else "The answer"
            advice = "" if self.streaming else ": ask with JSON and `stream: true`"
            raise RequestTooLarge(
                f"{what} is larger than the {limit} bytes of a message{advice}.", code="answer_too_large"
            )

    def gone(self) -> None:
        """Ends the call upstream as well."""
        if self._task is not None:
            self._task.cancel()


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
    def one(self, record: Record | None) -> Iterator[Outcome]:
        self.requests += 1
        self.active += 1
        began = time.perf_counter_ns()
        outcome = Outcome(self, record)
        try:
            yield outcome
        finally:
            self.active -= 1
            self.nanoseconds += time.perf_counter_ns() - began
            if record is not None:
                record.finish(outcome.status)

    def told(self, stats: EndpointStats) -> dict[str, int]:
        stats.num_requests = self.requests
        stats.num_errors = self.errors
        stats.last_error = self.last_error
        stats.processing_time = self.nanoseconds
        stats.average_processing_time = self.nanoseconds // max(1, self.requests - self.active)
        return {"active": self.active, "cancelled": self.cancelled}


class Outcome:
    """How one request ends, for those who count and those who record."""

    def __init__(self, counts: Counts, record: Record | None) -> None:
        self.record = record
        self.status = 200
        self._counts = counts

    def failed(self, error: ProxyError) -> None:
        self.status = error.status
        self._counts.errors += 1
        self._counts.last_error = f"{error.status}:{error.code}"
        if self.record is not None:
            self.record.failed(error)

    def gone(self) -> None:
        self.status = _GONE
        self._counts.cancelled += 1
        if self.record is not None:
            self.record.gone()
