"""The way out to a NATS server: a connection, with TLS and an nkey; and a small client that asks on it.

In: a NatsConfig, callbacks; a body, headers. Out: a connected client, the bodies of an answer's messages; or errors of
one clear line. Refuses to know what a connection is for and what bodies mean.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import AuthorizationError, Error
from nats.errors import TimeoutError as NatsTimeout

from cw_proxy.errors import NatsRefused, NatsUnavailable, ProxyError, RequestTooLarge, UpstreamTimeout
from cw_proxy.nats_settings import NatsConfig, address, context_of, seed_of
from cw_proxy.transports.nats_client import SafeClient, flushed
from cw_proxy.wire.nats_message import ERROR, ERROR_CODE, SEQUENCE, nobody_listens, size

Said = Callable[[Exception], Awaitable[None]]
_PATIENCE = 10  # seconds for the first connection
_TRIES = 3  # where it is broken off, with
_PAUSE = 0.5  # seconds between them


class Watch:
    """What happens to a connection once it stands; nothing, unless somebody wants to know."""

    async def error(self, fault: Exception) -> None: ...

    async def disconnected(self) -> None: ...

    async def reconnected(self) -> None: ...

    async def closed(self) -> None: ...


async def connect(config: NatsConfig, watch: Watch | None = None, *, inboxes: str = "_INBOX") -> Client:
    """The first connection stands at once or not at all; later ones are tried for again for ever. `inboxes` is what
    the subjects of its inboxes begin with. Raises ConfigError, NatsRefused, NatsUnavailable."""
    context, seed = context_of(config.tls), seed_of(config)
    for tries_left in reversed(range(_TRIES)):
        try:
            async with asyncio.timeout(_PATIENCE):
                return await _connected(config, watch or Watch(), inboxes, tls=context, nkeys_seed_str=seed)
        except (OSError, Error, TimeoutError) as fault:
            if not (tries_left and context and _broken_off(fault)):
                raise _explained(fault, config) from None
        await asyncio.sleep(_PAUSE)
    raise AssertionError("the last try ends otherwise")


async def _connected(
    config: NatsConfig, watch: Watch, inboxes: str, *, tls: ssl.SSLContext | None, nkeys_seed_str: str | None
) -> Client:
    client = SafeClient(secure=tls is not None or config.server.startswith("tls:"))
    standing = False

    async def error(fault: Exception) -> None:
        if not standing:
            raise fault
        await watch.error(fault)

    await client.connect(
        config.server,
        name="cw-proxy",
        error_cb=error,
        disconnected_cb=watch.disconnected,
        reconnected_cb=watch.reconnected,
        closed_cb=watch.closed,
        max_reconnect_attempts=-1,
        reconnect_time_wait=1,
        inbox_prefix=inboxes,
        tls=tls,
        nkeys_seed_str=nkeys_seed_str,
    )
    standing = True
    return client


def _broken_off(fault: Exception) -> bool:
    """So a server treats a certificate that it does not trust; so does one that dies, but not time and again."""
    return isinstance(fault, ConnectionError) and not isinstance(fault, ConnectionRefusedError)


def _explained(fault: Exception, config: NatsConfig) -> ProxyError:
    place = f"The NATS server at {address(config.server)}"
    words = str(fault).lower()
    if isinstance(fault, AuthorizationError) or "authorization" in words or "authentication" in words:
        what = "this nkey" if config.nkey_seed_file else "a client without an nkey: set nkey_seed_file"
        return NatsRefused(f"{place} does not accept {what}.")
    if isinstance(fault, ssl.SSLCertVerificationError):
        return NatsRefused(f"{place} has a certificate that is not trusted here: see tls.ca. ({fault.verify_message})")
    if isinstance(fault, ssl.SSLError):
        return NatsRefused(f"{place} broke off the TLS handshake: see tls.cert and tls.key.")
    if config.tls.enabled and _broken_off(fault):
        return NatsRefused(f"{place} closed the TLS connection: see tls.cert and tls.key.")
    if "secure" in words or "tls" in words or "ssl" in words:
        return NatsRefused(f"{place} and we do not agree about TLS: see tls.enabled.")
    if isinstance(fault, TimeoutError):
        return NatsUnavailable(f"{place} did not answer in time.")
    if isinstance(fault, OSError):
        return NatsUnavailable(f"{place} cannot be reached: {fault.strerror or type(fault).__name__}.")
    return NatsUnavailable(f"{place} does not speak NATS as we know it.")


# --- asking -----------------------------------------------------------------------------------------------


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
