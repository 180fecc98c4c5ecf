"""A connection that requests come over and answers go back on, and what it takes that none is lost with it.

In: recipients, and messages to them. Out: messages on the connection, in their order; refusals of what the library
throws away. Refuses to know what messages mean, but for one thing: an empty one is the end of a stream.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from secrets import token_hex
from weakref import WeakValueDictionary

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error, OutboundBufferLimitError, SlowConsumerError

from cw_proxy.errors import InvalidRequest, NatsRefused, NatsUnavailable, Overloaded, ProxyError, RequestTooLarge
from cw_proxy.nats_settings import NatsConfig
from cw_proxy.transports.nats_link.client import Unreadable, flushed
from cw_proxy.transports.nats_link.connection import Watch, connect
from cw_proxy.wire.nats_message import failure, nobody_listens, size

log = logging.getLogger(__name__)

# Of our own, so that a server's configuration can grant these alone.
INBOXES = "_INBOX.cw-proxy"
_CONFIRM = 0.05  # seconds between questions to the server whether it has taken what was sent
_COMEBACK = 60.0  # seconds after a break within which askers come back,
_STREAM_COMEBACK = 5.0  # and those of streams, who keep others from being answered meanwhile
_AGAIN = 0.1  # seconds between tries to reach them
_COMPLAINTS = 50  # of a server that are logged, for each connection


class Gone(Exception):
    """Nobody listens where an answer was to go."""


class _Way:
    """To a recipient: where the server is to say that nobody listens there, as of which break it was heard, whether
    that is being found out, whether a part of its stream may be lost."""

    __slots__ = ("back", "broken", "heard", "reaching")

    def __init__(self) -> None:
        self.back = ""
        self.heard = -1
        self.reaching = False
        self.broken = False


class Recipient(ABC):
    """Who is sent to at `subject`. Its messages stand for themselves, or are a stream, of which `sent` went out."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.streaming = False
        self.sent = 0
        self._way = _Way()

    @abstractmethod
    def check_size(self, size: int, limit: int) -> None:
        """Of a message, in bytes; over the limit the server would end the connection. Raises RequestTooLarge."""

    @abstractmethod
    def gone(self) -> None:
        """Nobody listens to this stream any more."""

    @abstractmethod
    async def fail(self, error: ProxyError) -> None:
        """What was sent is lost, and cannot be sent again: this is to be sent instead, or as the stream's end."""


class Parcel(msgspec.Struct, frozen=True):
    """A message on its way."""

    recipient: Recipient
    body: bytes
    headers: dict[str, str]


class Outbox(Watch):
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
        self._expecting: WeakValueDictionary[str, Recipient] = WeakValueDictionary()

    async def open(self, config: NatsConfig) -> None:
        """Raises ConfigError, NatsRefused, NatsUnavailable."""
        self.client: Client = await connect(config, self, inboxes=INBOXES)
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

    async def send(self, recipient: Recipient, body: bytes, headers: dict[str, str]) -> None:
        """Raises RequestTooLarge; NatsUnavailable, once, for a stream that may have lost something; Gone; the
        library's errors."""
        parcel = Parcel(recipient, body, headers)
        await self._standing.wait()
        if recipient._way.broken:
            recipient._way.broken = False
            raise _broken()
        if not recipient.streaming and self._returning(recipient):
            # A whole answer waits for its asker by itself: others need the room.
            recipient.check_size(size(parcel.body, parcel.headers), self.client.max_payload)
            self._repeat_later(recipient, [parcel])
        else:
            await self._deliver(parcel)

    async def _deliver(self, parcel: Parcel) -> None:
        recipient = parcel.recipient
        await self._standing.wait()
        recipient.check_size(size(parcel.body, parcel.headers), self.client.max_payload)
        self._unconfirmed.append(parcel)
        if self._confirming is None or self._confirming.done():
            self._confirming = asyncio.create_task(self._confirm())
        if recipient.streaming:
            recipient.sent += 1
        # Of a break that comes meanwhile, nobody who is sent to has come back yet.
        breaks = self._breaks
        if self._returning(recipient):
            await self._reach(parcel)
        else:
            await self._publish(parcel)
        recipient._way.heard = breaks

    async def _publish(self, parcel: Parcel) -> None:
        recipient = parcel.recipient
        # No room while the connection breaks, of which we are told in a moment: this parcel is unconfirmed.
        with suppress(OutboundBufferLimitError):
            await self.client.publish(recipient.subject, parcel.body, reply=recipient._way.back, headers=parcel.headers)

    def expect(self, recipient: Recipient) -> None:
        """Has the recipient told when nobody listens there."""
        recipient._way.back = f"{self._inbox}.{token_hex(8)}"
        self._expecting[recipient._way.back] = recipient

    async def _undelivered(self, message: Msg) -> None:
        recipient = self._expecting.get(message.subject)
        if recipient is None or not nobody_listens(message.headers, message.data):
            return
        if recipient._way.reaching:
            recipient._way.reaching = False
        elif recipient.streaming:
            recipient.gone()

    # --- after a break ---

    def _returning(self, recipient: Recipient) -> bool:
        """Whether its asker may be on the way back."""
        patience = _STREAM_COMEBACK if recipient.streaming else _COMEBACK
        return recipient._way.heard != self._breaks and time.monotonic() < self._returned + patience

    async def _reach(self, parcel: Parcel) -> None:
        recipient = parcel.recipient
        if not recipient._way.back:
            self.expect(recipient)
        while True:
            recipient._way.reaching = True
            await self._publish(parcel)
            # The word that nobody listens comes before the answer to the flush. Where the connection breaks again, this
            # parcel is unconfirmed.
            with suppress(Error):
                await flushed(self.client)
            heard, recipient._way.reaching = recipient._way.reaching, False
            if heard:
                return
            if not self._returning(recipient):
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

    def _repeat_later(self, recipient: Recipient, parcels: list[Parcel]) -> None:
        task = asyncio.create_task(self._repeat(recipient, parcels))
        self._repeating.add(task)
        task.add_done_callback(self._repeating.discard)

    async def _repeat(self, recipient: Recipient, parcels: list[Parcel]) -> None:
        try:
            if recipient.streaming and len(parcels) > 1:
                await recipient.fail(_broken())
            else:
                for parcel in parcels:
                    await self._deliver(parcel)
        except RequestTooLarge as error:
            # It was not, before the server came back with another limit.
            await recipient.fail(error)
        except Gone:
            log.warning("an answer was dropped: nobody came back for it")
        except Error as fault:
            log.warning("an answer was lost: %s", type(fault).__name__)

    async def drain(self) -> None:
        """Until the server has taken everything. Raises the library's errors."""
        while waiting := [task for task in (*self._repeating, self._confirming) if task and not task.done()]:
            await asyncio.wait(waiting)
        await self.client.drain()

    async def close(self) -> None:
        for task in (*self._repeating, self._confirming):
            if task is not None:
                task.cancel()
        # Nothing can be sent again: that is no sign that it was lost.
        self._unconfirmed = []
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
        lost: dict[Recipient, list[Parcel]] = {}
        for parcel in self._unconfirmed:
            lost.setdefault(parcel.recipient, []).append(parcel)
        self._unconfirmed = []
        for recipient, parcels in lost.items():
            if recipient.streaming and parcels[-1].body:
                recipient._way.broken = True
            else:
                self._repeat_later(recipient, parcels)
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
