"""Addresses that settings hold: what each must be, and how it is shown.

In: a setting's name, a text. Out: nothing, or ConfigError that names the setting; what is secret in a URL is never
shown. Refuses to know what the addresses are for.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from cw_proxy.errors import ConfigError
from cw_proxy.forwarded import networks
from cw_proxy.secret import Secret


def check_networks(name: str, written: list[str]) -> None:
    for one in written:
        try:
            networks([one])
        except ValueError as fault:
            raise ConfigError(f"{name!r} holds {one!r}, which is no address and no CIDR: {fault}.") from None


def check_store(name: str, store: Secret) -> None:
    """Raises ConfigError; the URL may hold a password and is not shown."""
    try:
        parts = urlsplit(store.reveal())
        valid = parts.scheme in ("redis", "rediss", "valkey", "valkeys") and bool(parts.hostname) and parts.port != 0
        # What is shown of settings hides a password before the @ only.
        valid = valid and not parts.query and not parts.fragment
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{name!r} must be redis(s)://[USER:PASSWORD@]HOST[:PORT][/NUMBER].")


def check_proxy(name: str, proxy: Secret) -> None:
    """Raises ConfigError; the URL may hold a password and is not shown."""
    try:
        parts = urlsplit(proxy.reveal())
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ConfigError(f"{name!r} must be http(s)://[USER:PASSWORD@]HOST[:PORT].")


def check_url(name: str, url: str) -> None:
    """A bearer token goes there: https, or plain http to this machine only. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"{name!r} is not a URL.") from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"{name!r} must be http(s)://HOST[:PORT][/PATH].")
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(f"{name!r} must be https: plain http is for loopback only.")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def without_password(secret: Secret | None) -> str | None:
    url = secret.reveal() if secret else None
    if url is None or "@" not in url:
        return url
    scheme, separator, rest = url.rpartition("@")[0].partition("://")
    return f"{scheme + separator if rest else ''}***@{url.rpartition('@')[2]}"
