"""The sender: one long-lived aiohttp session for every call upstream.

In: HttpCalls. Out: replies whose body is read as the network brings it. aiohttp's exceptions stop here.

Silence is watched by one timer a reply; aiohttp's own limit on every read costs more than the read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec

from cw_proxy.errors import (
    ProxyError,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from cw_proxy.secret import Secret
from cw_proxy.wire.call import HttpCall, HttpReply


class SenderSettings(msgspec.Struct, frozen=True):
    """`connect` and `stall` are seconds; `proxy` is the URL of an HTTP proxy, perhaps with a password."""

    connections: int = 1000
    connect: float = 10.0
    stall: float = 300.0
    proxy: Secret | None = None


class HttpSender:
    """Implements interfaces.Sender; made and closed on one event loop."""

    def __init__(self, settings: SenderSettings) -> None:
        self._settings = settings
        self._proxy = settings.proxy.reveal() if settings.proxy else None
        self._usual_proxy = _with_scheme(getproxies().get("https"))
        self.stall = settings.stall
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.connections, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect, connect=settings.connect),
            # Nothing is compressed on the way back, and cookies are none of ours.
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept-Encoding", "Accept", "User-Agent"),
            auto_decompress=False,
        )

    async def close(self) -> None:
        await self._session.close()

    def __call__(self, call: HttpCall) -> AbstractAsyncContextManager[HttpReply]:
        return _Sent(self, call)

    async def request(self, call: HttpCall) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(self.stall):
                return await self._session.request(
                    call.method,
                    call.url,
                    headers=call.headers,
                    data=call.body or None,
                    # A bearer token follows no redirect.
                    allow_redirects=False,
                    proxy=self._proxy_for(call.url),
                )
        except (aiohttp.ClientError, OSError, ssl.SSLError) as fault:
            raise _before_the_reply(fault) from None
        except ValueError:
            # aiohttp's words would show the header, and so the token.
            raise ProxyError("The call to the service cannot be written: a header of it is malformed.") from None

    def _proxy_for(self, url: str) -> str | None:
        """The configured proxy always; else what the environment says of https calls (HTTPS_PROXY, NO_PROXY)."""
        if self._proxy is not None:
            return self._proxy
        parts = urlsplit(url)
        if parts.scheme != "https" or self._usual_proxy is None or proxy_bypass(parts.netloc):
            return None
        return self._usual_proxy


class _Sent(AbstractAsyncContextManager[HttpReply]):
    """One call, open inside the context."""

    def __init__(self, sender: HttpSender, call: HttpCall) -> None:
        self._sender = sender
        self._call = call

    async def __aenter__(self) -> HttpReply:
        self._response = await self._sender.request(self._call)
        self._body = _Body(self._response.content, self._sender.stall)
        return HttpReply(self._response.status, self._response.headers, self._body)

    async def __aexit__(self, *_: object) -> None:
        self._body.stop()
        # Read to its end, the connection is already back in the pool; else what is unread is dropped with it.
        self._response.close()


class _Body(AsyncIterator[bytes]):
    """What each network read brought. Ends a read that waits longer than `limit` seconds; while nobody reads,
    nothing is late."""

    __slots__ = ("_begun", "_content", "_limit", "_loop", "_since", "_timer")

    def __init__(self, content: aiohttp.StreamReader, limit: float) -> None:
        self._content = content
        self._limit = limit
        self._begun = False
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._timer = self._loop.call_later(limit, self._tick)

    async def __anext__(self) -> bytes:
        self._since = self._loop.time()
        try:
            chunk = await self._content.readany()
        except (aiohttp.ClientError, OSError) as fault:
            # Before its first byte an answer may be asked for again.
            error = UpstreamTruncated if self._begun else UpstreamUnavailable
            raise error(f"The connection to the service broke: {type(fault).__name__}.") from None
        finally:
            self._since = None
        if chunk:
            self._begun = True
            return chunk
        raise StopAsyncIteration

    def stop(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        waited = 0.0 if self._since is None else self._loop.time() - self._since
        if waited >= self._limit:
            self._content.set_exception(UpstreamTimeout("The service stopped sending in the middle of its answer."))
            return
        self._timer = self._loop.call_later(self._limit - waited, self._tick)


def _with_scheme(proxy: str | None) -> str | None:
    """`host:port`, as many environments have it, is an http proxy."""
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy or None


def _before_the_reply(fault: Exception) -> ProxyError:
    match fault:
        case aiohttp.ConnectionTimeoutError():
            return UpstreamUnavailable("The service cannot be reached: connecting took too long.")
        case TimeoutError():
            return UpstreamTimeout("The service did not answer in time.")
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError() | ssl.SSLError():
            return UpstreamTls("The service's TLS certificate or handshake was refused.")
        case aiohttp.InvalidURL():
            return UpstreamUnavailable("The service cannot be reached: its address or its proxy's is not a URL.")
        case aiohttp.ClientResponseError():
            return UpstreamProtocol("The service's answer is not valid HTTP.")
        case _:
            # Types, not texts: aiohttp's messages may hold addresses of the inside.
            return UpstreamUnavailable(f"The service cannot be reached: {type(fault).__name__}.")
