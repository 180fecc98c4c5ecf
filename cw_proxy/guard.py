"""Who may come in: Host, Origin and client key, before any handler and any WebSocket upgrade.

In: a request's headers (lower-case names) and method. Out: the owner's digest, or an error. Refuses to know sockets.

A page in the user's browser can reach a server on loopback; the Host check stops DNS rebinding, the Origin check
stops everything else (sdk-contract.md, "Server settings"). No Origin means no browser. Hosts are compared parsed,
not by prefix: `127.0.0.1.evil` and `127.0.0.1@evil` are not ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hmac import compare_digest

import msgspec

from cw_proxy.errors import HostRefused, InvalidApiKey, OriginRefused, UnsupportedMediaType
from cw_proxy.secret import Secret, digest

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_ANYONE = digest("")


class Guard(msgspec.Struct, frozen=True):
    """`keys` holds digests of the client keys; none means that any key, or none, is accepted."""

    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    keys: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, hosts: list[str], origins: list[str], keys: list[Secret]) -> Guard:
        allowed = LOOPBACK_HOSTS | {_as_header(host.lower()) for host in hosts}
        return cls(allowed, frozenset(origins), tuple(digest(key.reveal()) for key in keys))

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raises HostRefused."""
        found = _HOST.fullmatch(headers.get("host", ""))
        if found is None or ("*" not in self.hosts and found[1].lower() not in self.hosts):
            raise HostRefused("This host name is not served here; add it with --allowed-host if it is yours.")

    def check_origin(self, headers: Mapping[str, str]) -> None:
        """Raises OriginRefused for a browser's page that is not listed."""
        origin = headers.get("origin")
        if origin is not None and not self.allows_origin(origin):
            raise OriginRefused("Pages of this origin may not call this server; add it with --cors-origin.")
        if origin is None and headers.get("sec-fetch-site", "").lower() == "cross-site":
            raise OriginRefused("Other sites may not call this server.")

    @property
    def demands(self) -> bool:
        """Whether a key is a client's name: where none is demanded it can be any."""
        return bool(self.keys)

    def allows_origin(self, origin: str) -> bool:
        return "*" in self.origins or origin in self.origins

    def owner(self, headers: Mapping[str, str]) -> bytes:
        """The digest of the key that the conversation belongs to. Raises InvalidApiKey."""
        key = credential(headers)
        if key is None:
            if self.keys:
                raise InvalidApiKey("You did not provide an API key: send `Authorization: Bearer KEY`.")
            return _ANYONE
        owner = digest(key)
        # Every key is compared, so that the time taken says nothing.
        known = [compare_digest(owner, expected) for expected in self.keys]
        if self.keys and not any(known):
            raise InvalidApiKey("Incorrect API key provided.")
        return owner


def _as_header(host: str) -> str:
    """An IPv6 address stands in brackets in the Host header."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def credential(headers: Mapping[str, str]) -> str | None:
    """The client's key: `Authorization: Bearer` or `x-api-key`, whichever stands first in that order."""
    scheme, _, value = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return headers.get("x-api-key", "").strip() or None


def check_json(headers: Mapping[str, str]) -> None:
    """A POST's body is JSON, uncompressed: a form's text/plain needs no preflight, a gzip bomb no memory."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaType("Send the body as `Content-Type: application/json`.")
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Send the body without Content-Encoding.")
