"""The files that show a server who we are, and that we know it: the seed of an nkey, certificates.

In: the paths in a NatsConfig. Out: the seed, a TLS context, or ConfigError naming the setting and the file. Refuses to
know connections. What stands in a file is never repeated, nor a path that may be what should stand there.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from cw_proxy.errors import ConfigError
from cw_proxy.nats_settings import NatsConfig, Tls


def seed_of(config: NatsConfig) -> str | None:
    """From a file of a bare seed, or one with a frame around it. Raises ConfigError."""
    import nkeys

    if config.nkey_seed_file is None:
        return None
    try:
        lines = Path(config.nkey_seed_file).expanduser().read_text("ascii").split()
    except UnicodeDecodeError:
        lines = []
    except (OSError, ValueError) as fault:
        raise ConfigError(f"The nkey seed file{_named(config.nkey_seed_file)} cannot be read: {_why(fault)}.") from None
    try:
        seed = next(line for line in lines if line.startswith("SU"))
        nkeys.from_seed(bytearray(seed.encode())).wipe()
    except Exception:  # noqa: BLE001 - whatever its parts raise, it is about the file, and may show it
        raise ConfigError(f"The nkey seed file{_named(config.nkey_seed_file)} holds no user's seed (SU…).") from None
    return seed


def context_of(tls: Tls) -> ssl.SSLContext | None:
    """Raises ConfigError."""
    if not tls.enabled:
        return None
    context = ssl.create_default_context()
    for name, path in (("tls.ca", tls.ca), ("tls.cert", tls.cert), ("tls.key", tls.key)):
        _check_readable(name, path)
    try:
        if tls.ca:
            context = ssl.create_default_context(cafile=tls.ca)
    except ssl.SSLError:
        raise ConfigError(f"The file of 'tls.ca'{_named(tls.ca)} holds no certificate in PEM.") from None
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
    except (OSError, ValueError) as fault:
        raise ConfigError(f"The file of {name!r}{_named(path)} cannot be read: {_why(fault)}.") from None


def _named(path: str | None) -> str:
    """The path, unless it may be what should stand in the file: a seed, a key, a certificate."""
    if path is None or len(path) > 255 or not path.isprintable() or re.search(r"S[A-Z][A-Z2-7]{40}|-----", path):
        return ""
    return f" {path}" if re.search(r"[/\\]|\.[A-Za-z0-9]{1,8}\Z", path) else ""


def _why(fault: Exception) -> str:
    return (isinstance(fault, OSError) and fault.strerror) or "it is no path"
