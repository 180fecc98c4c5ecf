"""Connections to a NATS server: TLS, the nkey, and errors of one clear line.

In: a NatsConfig, callbacks. Out: a connected client, or ConfigError, NatsRefused, NatsUnavailable. Refuses to know what
a connection is for.
"""

from __future__ import annotations

import asyncio
import ssl

from nats.aio.client import Client
from nats.errors import AuthorizationError, Error

from cw_proxy.errors import NatsRefused, NatsUnavailable, ProxyError
from cw_proxy.nats_settings import NatsConfig, address
from cw_proxy.transports.nats_link.client import SafeClient
from cw_proxy.transports.nats_link.credentials import context_of, seed_of

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
