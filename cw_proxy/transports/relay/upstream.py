"""The way to the upstream: one connector for all sessions, one WebSocket for each.

In: what the client may hand on. Out: an open WebSocket, or the reason why there is none: the upstream's own answer
where it gave one. Only here the upstream's key is revealed. aiohttp's exceptions stop here.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from yarl import URL

from cw_proxy import __version__
from cw_proxy.errors import ProxyError, UpstreamProtocol, UpstreamTimeout, UpstreamTls, UpstreamUnavailable
from cw_proxy.relay_rules import Headers, passed_back
from cw_proxy.relay_settings import RelayConfig
from cw_proxy.secret import Secret
from cw_proxy.wire.lenient import is_object

CONNECT = 10.0  # seconds until the upstream has answered the upgrade
CLOSE = 2.0  # seconds that it gets to answer a close
_BODY_BYTES = 64 * 1024


class Refused(Exception):
    """The upstream answered the upgrade with something else; this is what the client gets."""

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


class Connected(msgspec.Struct):
    socket: aiohttp.ClientWebSocketResponse[Any]
    headers: Headers  # of the upstream's answer, as far as they may be passed back
    transport: asyncio.Transport | None


class Upstream:
    """Made and closed on one event loop."""

    def __init__(self, config: RelayConfig, *, connect: float = CONNECT) -> None:
        self._config = config
        self._connect = connect
        self._connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60)

    async def close(self) -> None:
        await self._connector.close()

    async def connect(self, target: str, headers: Headers, protocols: list[str]) -> Connected:
        """`target` is path and query as the client sent them. Raises Refused or ProxyError."""
        answer = _Answer(self._config.auth_value)
        try:
            async with asyncio.timeout(self._connect):
                socket = await self._opened(target, headers, protocols, answer)
        except TimeoutError:
            raise UpstreamTimeout("The upstream did not answer the upgrade in time.") from None
        except aiohttp.WSServerHandshakeError:
            raise UpstreamProtocol("The upstream's upgrade breaks the WebSocket protocol.") from None
        except (aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError):
            raise UpstreamTls("The upstream's certificate or TLS is not accepted.") from None
        except (aiohttp.ClientError, OSError):
            raise UpstreamUnavailable("The upstream cannot be reached.") from None
        except ValueError:
            # aiohttp's words would show the header, and so the key.
            raise ProxyError("The upgrade cannot be written: a header of it is malformed.") from None
        return Connected(socket, answer.headers, answer.transport)

    async def _opened(
        self, target: str, headers: Headers, protocols: list[str], answer: _Answer
    ) -> aiohttp.ClientWebSocketResponse[Any]:
        url = URL(self._config.upstream_url + target, encoded=True)
        # A session of its own costs little beside the shared connector; what it hears of the answer is this one's.
        session = aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            middlewares=(answer,),
        )
        async with session:
            return await session.ws_connect(
                url,
                protocols=protocols,
                headers=self._signed(headers),
                proxy=_proxy(url),
                autoclose=False,
                autoping=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE),
                # Exactly the limit is refused as well.
                max_msg_size=self._config.max_message_bytes + 1,
                decode_text=False,
            )

    def _signed(self, headers: Headers) -> Headers:
        named = any(name.lower() == "user-agent" for name, _ in headers)
        ours = [] if named else [("User-Agent", f"cw-proxy/{__version__}")]
        return [*headers, *ours, (self._config.auth_header, self._config.auth_value.reveal())]


class _Answer:
    """Sees the upstream's answer before aiohttp judges it, and follows no redirect: the key would go along."""

    def __init__(self, key: Secret) -> None:
        self._key = key
        self.headers: Headers = []
        self.transport: asyncio.Transport | None = None

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        response = await handler(request)
        # A server may show what it was sent.
        key = self._key.reveal().rpartition(" ")[2]
        self.headers = [(name, value) for name, value in passed_back(response.headers.items()) if key not in value]
        if response.status != 101:
            try:
                raise await self._refused(response, key)
            finally:
                response.close()
        self.transport = response.connection.transport if response.connection else None
        return response

    async def _refused(self, response: aiohttp.ClientResponse, key: str) -> Exception:
        if response.status < 400:
            return UpstreamProtocol(f"The upstream did not upgrade: it answered with status {response.status}.")
        error = UpstreamUnavailable(f"The upstream refused the WebSocket with status {response.status}.")
        body = await _body(response)
        shown = is_object(body) and key not in body
        return Refused(response.status, self.headers, body.encode() if shown else error.body())


async def _body(response: aiohttp.ClientResponse) -> str:
    """To its end; one that is too long is as good as none."""
    try:
        await response.content.readexactly(_BODY_BYTES)
    except asyncio.IncompleteReadError as whole:
        return whole.partial.decode("utf-8", "replace")
    except aiohttp.ClientError:
        pass
    return ""


def _proxy(url: URL) -> str | None:
    """What the environment says of https calls (HTTPS_PROXY, NO_PROXY)."""
    proxy = getproxies().get("https")
    if proxy is None or url.scheme != "wss" or proxy_bypass(url.authority):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
