"""NATS: a micro service whose requests meet the exchange; over it every protocol that binds a Subject.

In: messages on one subject, shared by a queue group. Out: one message, or a stream of them with an empty one as its
end; `$SRV` answers. Refuses to know bodies beyond which protocol they belong to.

The client library calls back for one message after the other: each gets a task of its own, and the semaphore taken
before it holds back what would be too much. Answers are published, never "responded": that would send the request's
headers, keys among them, back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing, suppress
from secrets import token_hex

import msgspec
import nats.micro
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.micro.request import ERROR_CODE_HEADER, ERROR_HEADER
from nats.micro.request import Request as Message
from nats.micro.service import EndpointStats, Service

from cw_proxy import __version__
from cw_proxy.errors import ProxyError, RequestTooLarge, UpstreamTimeout
from cw_proxy.events import Fail
from cw_proxy.exchange import Asker
from cw_proxy.guard import Guard
from cw_proxy.interfaces import Ask, Caller, ClientProtocol, Send, Subject
from cw_proxy.nats_settings import NatsConfig
from cw_proxy.protocols import PROTOCOLS
from cw_proxy.rounds import Batches, answers
from cw_proxy.router import Router
from cw_proxy.transports.http_in.endpoints import fresh_stamp, read_action, whole_answer
from cw_proxy.transports.nats_link import Watch, connect, size
from cw_proxy.wire import sse

log = logging.getLogger(__name__)

SEQUENCE, STATUS = "Cw-Sequence", "Cw-Status"
_GONE = "503"  # the server's word for: nobody listens there
_DESCRIPTION = 500  # characters of an error in a header
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Kinds:
    """Which protocol a body belongs to."""

    def __init__(self) -> None:
        self._by_member: dict[str | None, ClientProtocol] = {}
        for protocol in (make() for make in PROTOCOLS):
            for binding in protocol.bindings:
                if isinstance(binding, Subject):
                    self._by_member.setdefault(binding.member, protocol)

    def of(self, body: bytes) -> tuple[ClientProtocol, bool]:
        """The protocol, and whether a stream is wanted: also a body that is refused ends as it was to end."""
        found = _members_of(body)
        member = next((name for name in self._by_member if name in found), None)
        streamed = member is not None and bytes(found.get("stream", b"")).strip() == b"true"
        return self._by_member[member], streamed


def _members_of(body: bytes) -> dict[str, msgspec.Raw]:
    if body.lstrip()[:1] != b"{":
        return {}
    try:
        return _members.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


class Counts:
    """What `$SRV.STATS` tells: the library's own numbers are those of starting a task."""

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.cancelled = 0
        self.active = 0
        self.nanoseconds = 0
        self.last_error: str | None = None

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


class NatsWorker(Watch):
    """`start`, then `drain` and `stop`. `lost` is set when the connection is gone for good."""

    def __init__(self, exchange: Router, guard: Guard, config: NatsConfig, drain_timeout: float) -> None:
        self._exchange = exchange
        self._guard = guard
        self._config = config
        self._drain_timeout = drain_timeout
        self._kinds = Kinds()
        self._counts = Counts()
        self._room = asyncio.Semaphore(config.concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._streams: dict[str, asyncio.Task[None]] = {}  # by the subject that tells of a client that is gone
        self._stopping = False
        self.lost = asyncio.Event()

    async def start(self) -> None:
        """Raises ConfigError, NatsRefused, NatsUnavailable."""
        self._client: Client = await connect(self._config, self)
        log.info("Connected to NATS Server")
        self._back = self._client.new_inbox()
        await self._client.subscribe(f"{self._back}.*", cb=self._undelivered)
        self._service = await self._serve_subject()
        # One flush overtakes the subscriptions that wait to be written; after the second they stand.
        await self._client.flush()
        await self._client.flush()
        log.info("Listening for requests on '%s'", self._config.subject)

    async def _serve_subject(self) -> Service:
        service = await nats.micro.add_service(
            self._client,
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
        self._stopping = True
        try:
            async with asyncio.timeout(self._drain_timeout):
                # Unsubscribing would throw away what is delivered, and draining the connection is deaf to our tasks.
                for endpoint in self._service._endpoints:
                    if endpoint._subscription is not None:
                        await endpoint._subscription.drain()
                while self._tasks:
                    await asyncio.wait(self._tasks)
                await self._client.drain()
        except (TimeoutError, Error):
            return False
        return True

    async def stop(self) -> None:
        """Whatever is still going on is broken off."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._client.is_closed:
            with suppress(Error, OSError):
                await self._client.close()

    # --- what happens to the connection ---

    async def error(self, fault: Exception) -> None:
        log.warning("NATS: %s", str(fault).strip() or type(fault).__name__)

    async def disconnected(self) -> None:
        if not self._stopping:
            log.warning("The connection to the NATS server broke; connecting again")

    async def reconnected(self) -> None:
        log.warning("Connected to NATS Server again")

    async def closed(self) -> None:
        if not self._stopping:
            self.lost.set()

    async def _undelivered(self, message: Msg) -> None:
        """Nobody listens where a stream goes to: its question is dropped upstream as well."""
        task = self._streams.get(message.subject)
        if task is not None and (message.headers or {}).get("Status") == _GONE:
            self._counts.cancelled += 1
            task.cancel()

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
        self._counts.requests += 1
        self._counts.active += 1
        began = time.perf_counter_ns()
        try:
            # Without a reply subject there is nobody to answer.
            if to := message._msg.reply:
                await self._answer_to(Reply(self._client, to, self._config.max_reply_bytes), message)
        except Error as fault:
            # The connection's own trouble is told by the callbacks above.
            log.warning("an answer was lost: %s", type(fault).__name__)
        finally:
            self._counts.active -= 1
            self._counts.nanoseconds += time.perf_counter_ns() - began

    async def _answer_to(self, reply: Reply, message: Message) -> None:
        protocol, streamed = self._kinds.of(message.data)
        try:
            await self._in_time(reply, protocol, message)
        except ProxyError as error:
            await self._fail(reply, protocol, error, streamed)
        except Error:
            raise
        except Exception:
            log.exception("internal error")
            await self._fail(reply, protocol, ProxyError("Internal error."), streamed)

    async def _in_time(self, reply: Reply, protocol: ClientProtocol, message: Message) -> None:
        try:
            async with asyncio.timeout(self._config.timeout):
                await self._asked(reply, protocol, message)
        except TimeoutError:
            raise UpstreamTimeout(f"The answer took longer than {self._config.timeout:g} s.") from None

    async def _asked(self, reply: Reply, protocol: ClientProtocol, message: Message) -> None:
        headers = {name.lower(): value for name, value in (message.headers or {}).items()}
        caller = Caller(self._guard.owner(headers), headers, stamp=fresh_stamp)
        action = await read_action(protocol, caller, message.data)
        if isinstance(action, Send):
            return await reply.whole(action.frame)
        plan = await self._exchange.plan(action.request)
        if plan.ignored:
            reply.extra["x-cw-proxy-ignored"] = ", ".join(plan.ignored)
        batches = answers(self._exchange, plan, Asker(caller.owner, caller.headers))
        if action.stream:
            return await self._streamed(reply, action, batches)
        return await reply.whole(await whole_answer(action, batches, fresh_stamp()))

    async def _streamed(self, reply: Reply, ask: Ask, batches: Batches) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type
        reply.back = f"{self._back}.{token_hex(8)}"
        self._streams[reply.back] = task
        try:
            failed = await reply.stream(ask, batches)
        finally:
            del self._streams[reply.back]
        if failed is not None:
            self._counts.failed(failed)

    async def _fail(self, reply: Reply, protocol: ClientProtocol, error: ProxyError, streamed: bool) -> None:
        self._counts.failed(error)
        shown = protocol.error(error)
        body = b"" if reply.number else shown.body
        if body:
            await reply.send(body, {**shown.headers, **failure(error)})
        if streamed:
            await reply.end(error)


class Reply:
    """Messages to one subject; `number` of them went out as a stream."""

    def __init__(self, client: Client, to: str, max_bytes: int | None) -> None:
        self._client = client
        self._to = to
        self._max_bytes = max_bytes
        self.extra: dict[str, str] = {}
        self.back = ""
        self.number = 0

    async def whole(self, body: bytes) -> None:
        await self.send(body, {**self.extra, STATUS: "200"})

    async def stream(self, ask: Ask, batches: Batches) -> ProxyError | None:
        """One message for each chunk, then the empty one; the error that ended it. Raises ProxyError before the
        first chunk, or when one is too large."""
        encoder = ask.encoder(fresh_stamp())
        failed: ProxyError | None = None
        async with aclosing(batches):
            try:
                async for events in batches:
                    failed = next((event.error for event in events if isinstance(event, Fail)), None)
                    await self._chunks(encoder.feed(events))
                    if encoder.ended:
                        break
            except ProxyError as error:
                if not self.number or isinstance(error, RequestTooLarge):
                    raise
                failed = error
                await self._chunks(encoder.feed([Fail(error)]))
        await self.end(failed)
        return failed

    async def _chunks(self, written: bytes) -> None:
        for data in sse.payloads(written):
            # The empty message says it here.
            if data != b"[DONE]":
                await self.send(data, {**self.extra, SEQUENCE: str(self.number + 1)})
                self.number += 1

    async def end(self, error: ProxyError | None) -> None:
        said = failure(error) if error else {STATUS: "200"}
        await self.send(b"", {SEQUENCE: str(self.number + 1), **said})

    async def send(self, data: bytes, headers: dict[str, str]) -> None:
        """Raises RequestTooLarge: the server would end the connection, and all that is under way on it."""
        limit = min(self._client.max_payload, self._max_bytes or self._client.max_payload)
        if size(data, headers) > limit:
            raise RequestTooLarge(
                f"The answer is larger than the {limit} bytes of a message: ask with JSON and `stream: true`.",
                code="answer_too_large",
            )
        await self._client.publish(self._to, data, reply=self.back, headers=headers)


def failure(error: ProxyError) -> dict[str, str]:
    """The headers of NATS's micro services; a header holds one line of ASCII."""
    words = " ".join(error.message.split()).encode("ascii", "backslashreplace").decode()
    return {ERROR_HEADER: words[:_DESCRIPTION], ERROR_CODE_HEADER: str(error.status), STATUS: str(error.status)}
