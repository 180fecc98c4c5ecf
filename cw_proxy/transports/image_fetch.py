"""Fetches an image that a client names by its URL, from the public internet only.

In: a URL of a stranger, and its place in the request. Out: the bytes, or InvalidValue at that place. Refuses to know
what an image is, and who asked.

A name is looked up once. All its addresses must be public, and the connection goes to one of them by its number:
with a second look-up the name's owner could answer with an address of the inside. Messages name the host alone, since
paths and queries may hold keys.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import ssl
import string
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec
from yarl import URL

from cw_proxy import __version__
from cw_proxy.addresses import Address, is_public
from cw_proxy.errors import InvalidValue

Resolver = Callable[[str], Awaitable[Sequence[Address]]]

# A request line that servers still take.
_MAX_URL = 8000
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@%\\]+)(?::([0-9]{0,5}))?")
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}")
# Resolvers take such a "name" for an IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1.
_NUMERIC = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_PORTS = {"https": 443, "http": 80}
_HEADERS = {
    "User-Agent": f"cw-proxy/{__version__}",
    "Accept": "image/png, image/jpeg, image/gif, image/webp",
    # What is packed may unpack to any size.
    "Accept-Encoding": "identity",
}


class FetchSettings(msgspec.Struct, frozen=True):
    """`timeout` is seconds for all of one fetch, the wait for its turn included; `parallel` go on at a time."""

    max_bytes: int = 5 * 1024 * 1024
    timeout: float = 10.0
    parallel: int = 8


class Reach(msgspec.Struct, frozen=True):
    """How far a fetch may go. Tests alone go further than the default: their servers are on loopback."""

    allows: Callable[[Address], bool] = is_public
    plain_http: bool = False
    any_port: bool = False
    tls: ssl.SSLContext | None = None


PUBLIC_HTTPS = Reach()


# A name server that does not answer holds a thread until the system gives up: not one that others wait for.
_look_ups = ThreadPoolExecutor(max_workers=8, thread_name_prefix="look-up")


async def look_up(host: str) -> list[Address]:
    """The addresses in the system's order of preference. Raises OSError where there are none."""
    search = functools.partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_look_ups, search)
    return [ip_address(place[0]) for *_, place in found]


class ImageFetcher:
    """Made anywhere; called and closed on one event loop."""

    def __init__(self, settings: FetchSettings, *, resolve: Resolver = look_up, reach: Reach = PUBLIC_HTTPS) -> None:
        self._settings = settings
        self._resolve = resolve
        self._reach = reach
        self._turns = asyncio.Semaphore(settings.parallel)
        self._session: aiohttp.ClientSession | None = None

    async def __call__(self, url: str, param: str) -> bytes:
        try:
            target = _target(url, self._reach)
            return await self._in_time(target)
        except _Refused as refused:
            raise InvalidValue(str(refused), param=param) from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _in_time(self, target: _Target) -> bytes:
        try:
            async with asyncio.timeout(self._settings.timeout):
                async with self._turns:
                    return await self._fetch(target)
        except TimeoutError:
            raise _Refused(f"Fetching the image from {target.host!r} took too long.") from None
        except (aiohttp.ClientError, OSError) as fault:
            raise _Refused(_sentence(fault, target.host)) from None

    async def _fetch(self, target: _Target) -> bytes:
        address = await self._checked_address(target.host)
        response = await self._opened().get(
            target.at(address),
            headers={"Host": target.authority},
            server_hostname=target.host if target.scheme == "https" else None,
            allow_redirects=False,
        )
        try:
            self._check_head(response, target.host)
            return await self._body(response, target.host)
        finally:
            # Read to its end, the connection is already back in the pool; else what is unread is dropped with it.
            response.close()

    async def _checked_address(self, host: str) -> Address:
        literal = _literal(host)
        addresses = [literal] if literal is not None else await self._resolve(host)
        if not addresses:
            raise _Refused(f"The image's host {host!r} has no address.")
        # One address of the inside among others is no accident.
        if not all(self._reach.allows(address) for address in addresses):
            raise _Refused(f"The image's host {host!r} is not on the public internet.")
        return addresses[0]

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # The turns are the limit; waiting here would cost a fetch its time.
                connector=aiohttp.TCPConnector(limit=0, ssl=self._reach.tls or True),
                timeout=aiohttp.ClientTimeout(total=None),
                headers=_HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                # A proxy would look the name up again; a netrc file would give away passwords.
                trust_env=False,
            )
        return self._session

    def _check_head(self, response: aiohttp.ClientResponse, host: str) -> None:
        if 300 <= response.status < 400:
            raise _Refused(
                f"The image's host {host!r} answered with a redirect ({response.status}), and none is followed: "
                "name the address where the image is."
            )
        if response.status != 200:
            raise _Refused(f"The image's host {host!r} answered with status {response.status}.")
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
            raise _Refused(f"The image's host {host!r} sent it compressed, unasked.")
        if (response.content_length or 0) > self._settings.max_bytes:
            raise self._too_large(host)

    async def _body(self, response: aiohttp.ClientResponse, host: str) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > self._settings.max_bytes:
                raise self._too_large(host)
        return bytes(body)

    def _too_large(self, host: str) -> _Refused:
        return _Refused(f"The image from {host!r} has more than {self._settings.max_bytes} bytes.")


# --- what a URL says --------------------------------------------------------------------------------------


class _Refused(Exception):
    """A sentence for the client."""


class _Target(msgspec.Struct, frozen=True):
    """`host` is as DNS and certificates have it: ASCII in lower case, no brackets, no dot at its end."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        host = _bracketed(self.host)
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def at(self, address: Address) -> URL:
        # Built from an address and not from the client's text, it has one reading only. `encoded` keeps the path to
        # the letter: such URLs are often signed.
        return URL(f"{self.scheme}://{_bracketed(str(address))}:{self.port}{self.path}", encoded=True)


def _target(url: str, reach: Reach) -> _Target:
    # urlsplit would drop line breaks and tabs, and read on.
    if len(url) > _MAX_URL or not url.isprintable():
        raise _Refused(f"The image's URL is longer than {_MAX_URL} characters, or holds some that no URL has.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _Refused("The image's URL is not a URL.") from None
    if parts.scheme != "https" and not (reach.plain_http and parts.scheme == "http"):
        raise _Refused("Images come as data URLs or from https URLs.")
    host, port = _host_and_port(parts.netloc, _PORTS[parts.scheme])
    if port != _PORTS[parts.scheme] and not reach.any_port:
        raise _Refused("Images are fetched from port 443 only.")
    return _Target(parts.scheme, host, port, _path(parts.path, parts.query))


def _host_and_port(netloc: str, usual: int) -> tuple[str, int]:
    if "@" in netloc:
        raise _Refused("The image's URL holds a user name or a password: such are not sent.")
    found = _AUTHORITY.fullmatch(netloc)
    if found is None:
        raise _Refused("The image's URL has no valid host.")
    host = _bare_address(found[1]) if found[1].startswith("[") else _name(found[1])
    return host, int(found[2] or usual)


def _bare_address(bracketed: str) -> str:
    address = _literal(bracketed[1:-1])
    if address is None or address.version != 6:
        raise _Refused("The image's URL has no valid host.")
    return str(address)


def _name(text: str) -> str:
    """A host's name in ASCII, or an IPv4 address in its usual form; letters and digits of other scripts become
    what DNS makes of them, and are judged after that."""
    try:
        name = (URL.build(scheme="https", host=text).raw_host or "").removesuffix(".")
    except ValueError:
        raise _Refused("The image's URL has no valid host.") from None
    if not _NAME.fullmatch(name) or (_NUMERIC.fullmatch(name) and _literal(name) is None):
        raise _Refused("The image's URL has no valid host.")
    return name


def _path(path: str, query: str) -> str:
    """As it was given, except for what no request line can hold."""
    target = f"{path or '/'}?{query}" if query else path or "/"
    return quote(target, safe=string.punctuation)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _sentence(fault: Exception, host: str) -> str:
    match fault:
        case socket.gaierror():
            return f"The image's host {host!r} cannot be found."
        case aiohttp.ClientSSLError() | ssl.SSLError():
            return f"The TLS certificate or handshake of the image's host {host!r} was refused."
        case aiohttp.ClientPayloadError():
            return f"The image from {host!r} broke off."
        case aiohttp.ClientResponseError():
            return f"The answer of the image's host {host!r} is not valid HTTP."
        case _:
            # Types, not texts: aiohttp's messages hold addresses.
            return f"The image's host {host!r} cannot be reached: {type(fault).__name__}."
