"""A connection to a NATS server: TLS, the nkey, and errors as one clear line.

In: a NatsConfig, callbacks. Out: a connected client, or ConfigError, NatsRefused, NatsUnavailable. Refuses to know
what the connection is for.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import nats
import nkeys
from nats.aio.client import Client
from nats.errors import AuthorizationError, Error

from cw_proxy.errors import ConfigError, NatsRefused, NatsUnavailable, ProxyError
from cw_proxy.nats_settings import NatsConfig, Tls, address

Said = Callable[[Exception], Awaitable[None]]
_PATIENCE = 10  # seconds for the first connection


class Watch:
    """What happens to a connection once it stands; nothing, unless somebody wants to know."""

    async def error(self, fault: Exception) -> None: ...

    async def disconnected(self) -> None: ...

    async def reconnected(self) -> None: ...

    async def closed(self) -> None: ...


async def connect(config: NatsConfig, watch: Watch | None = None) -> Client:
    """The first connection stands at once or not at all; later ones are tried for again for ever."""
    watch = watch or Watch()
    options = {"tls": _context(config.tls) if config.tls.enabled else None, "nkeys_seed_str": _seed(config)}
    standing = False

    async def error(fault: Exception) -> None:
        if not standing:
            raise fault
        await watch.error(fault)

    try:
        async with asyncio.timeout(_PATIENCE):
            client = await nats.connect(
                config.server,
                name="cw-proxy",
                error_cb=error,
                disconnected_cb=watch.disconnected,
                reconnected_cb=watch.reconnected,
                closed_cb=watch.closed,
                max_reconnect_attempts=-1,
                reconnect_time_wait=1,
                **{name: value for name, value in options.items() if value is not None},
            )
    except (OSError, Error, TimeoutError) as fault:
        raise _explained(fault, config) from None
    standing = True
    return client


def _seed(config: NatsConfig) -> str | None:
    """A file of a bare seed, or one with a frame around it. Read once: later connections use the same."""
    if config.nkey_seed_file is None:
        return None
    try:
        lines = Path(config.nkey_seed_file).expanduser().read_text("ascii").split()
    except OSError as fault:
        raise ConfigError(f"The nkey seed file {config.nkey_seed_file} cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        lines = []
    try:
        seed = next(line for line in lines if line.startswith("SU"))
        nkeys.from_seed(bytearray(seed.encode())).wipe()
    except Exception:  # noqa: BLE001 - whatever its parts raise, it is about the file, and may show it
        raise ConfigError(f"The nkey seed file {config.nkey_seed_file} holds no user's seed (SU…).") from None
    return seed


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for name, path in (("tls.ca", tls.ca), ("tls.cert", tls.cert), ("tls.key", tls.key)):
        _check_readable(name, path)
    try:
        if tls.ca:
            context = ssl.create_default_context(cafile=tls.ca)
    except ssl.SSLError:
        raise ConfigError(f"The file of 'tls.ca', {tls.ca}, holds no certificate in PEM.") from None
    try:
        if tls.cert and tls.key:
            # An empty password: a key that has one is an error, not a question on the terminal.
            context.load_cert_chain(tls.cert, tls.key, password="")
    except (ssl.SSLError, ValueError):
        raise ConfigError("The files of 'tls.cert' and 'tls.key' are no certificate and its key in PEM.") from None
    return context


def _check_readable(name: str, path: str | None) -> None:
    try:
        if path:
            Path(path).read_bytes()
    except OSError as fault:
        raise ConfigError(f"The file of {name!r}, {path}, cannot be read: {fault.strerror}.") from None


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
    if config.tls.enabled and isinstance(fault, ConnectionError) and not isinstance(fault, ConnectionRefusedError):
        return NatsRefused(f"{place} closed the TLS connection: see tls.cert and tls.key.")
    if "secure" in words or "tls" in words:
        return NatsRefused(f"{place} and we do not agree about TLS: see tls.enabled.")
    if isinstance(fault, TimeoutError):
        return NatsUnavailable(f"{place} did not answer in time.")
    reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else type(fault).__name__
    return NatsUnavailable(f"{place} cannot be reached: {reason}.")


# --- sizes ------------------------------------------------------------------------------------------------


def size(data: bytes, headers: Mapping[str, str] | None) -> int:
    """What the server counts: the client library looks at the body alone, and the server ends a connection over it."""
    if not headers:
        return len(data)
    lines = (len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())
    return len(b"NATS/1.0\r\n\r\n") + sum(lines) + len(data)
