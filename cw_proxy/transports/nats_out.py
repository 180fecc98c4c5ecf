"""A small client: one request on a NATS subject, and its answer, whole or as it comes.

In: a NatsConfig, a body, headers. Out: the bodies of the answer's messages, or what stands in its error headers.
Refuses to know what bodies mean.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error
from nats.errors import TimeoutError as NatsTimeout

from cw_proxy.errors import NatsRefused, NatsUnavailable, ProxyError, RequestTooLarge, UpstreamTimeout
from cw_proxy.nats_settings import NatsConfig
from cw_proxy.transports.nats_link.client import flushed
from cw_proxy.transports.nats_link.connection import Watch, connect
from cw_proxy.wire.nats_message import ERROR, ERROR_CODE, SEQUENCE, STATUS, nobody_listens, size


class _Complaints(Watch):
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def error(self, fault: Exception) -> None:
        self.heard.append(str(fault).removeprefix("nats: "))


async def asked(
    config: NatsConfig, body: bytes, headers: Mapping[str, str], *, streamed: bool, inboxes: str = "_INBOX"
) -> AsyncGenerator[bytes, None]:
    """The body of each message of the answer, of a stream without its empty end. Raises ConfigError, NatsRefused,
    NatsUnavailable, RequestTooLarge, UpstreamTimeout, and ProxyError for an answer that is an error or has a gap."""
    complaints = _Complaints()
    connection = await connect(config, complaints, inboxes=inboxes)
    try:
        subscription = await _sent(connection, config, body, headers)
        if complaints.heard:
            raise NatsRefused(f"The NATS server does not permit it: {complaints.heard[0]}.")
        expected = 1
        while True:
            message = await _next(subscription, config)
            if not streamed:
                yield message.data
                return
            _check_sequence(message, expected)
            if not message.data:
                return
            yield message.data
            if STATUS in (message.headers or {}):
                # How it ended: a worker answers whole what it takes for plain text.
                return
            expected += 1
    except Error as fault:
        raise NatsUnavailable(f"The NATS server cannot be asked: {type(fault).__name__}.") from None
    finally:
        await connection.close()


async def _sent(connection: Client, config: NatsConfig, body: bytes, headers: Mapping[str, str]) -> Subscription:
    if size(body, headers) > connection.max_payload:
        raise RequestTooLarge(f"The request is larger than the {connection.max_payload} bytes of a message.")
    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox)
    await connection.publish(config.subject, body, reply=inbox, headers=dict(headers) or None)
    # What the server does not permit, it says before that.
    await flushed(connection)
    return subscription


async def _next(subscription: Subscription, config: NatsConfig) -> Msg:
    try:
        message = await subscription.next_msg(config.timeout)
    except NatsTimeout:
        raise UpstreamTimeout(f"No answer came within {config.timeout:g} s.") from None
    headers = message.headers or {}
    if nobody_listens(headers, message.data):
        raise NatsUnavailable(f"Nobody listens on {config.subject!r}.")
    if ERROR_CODE in headers:
        said = f"{headers[ERROR_CODE]}: {headers.get(ERROR, '')}"
        # Whoever answers may be anybody: nothing that a terminal would obey.
        raise ProxyError("".join(letter if letter.isprintable() else "?" for letter in said))
    return message


def _check_sequence(message: Msg, expected: int) -> None:
    """Core NATS delivers a message once or not at all: what is missing shows in the numbers only."""
    found = (message.headers or {}).get(SEQUENCE, str(expected))
    if found != str(expected):
        raise ProxyError(f"A part of the answer is missing: message {found} came where {expected} was to come.")
