"""The relay: an upgrade comes in, the upstream's is made first, and only then is the client's accepted.

In: a RelayConfig, hooks, a place for metrics. Out: a server with `start`, `drain` and `stop`, as the App is one.
Guard, error shape and listening socket are those of the server for HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from typing import Any, Protocol

from aiohttp import web

from cw_proxy import relay_rules
from cw_proxy.errors import ConfigError, InvalidRequest, Overloaded, ProxyError, ShuttingDown, UpgradeRequired
from cw_proxy.guard import Guard
from cw_proxy.relay_settings import RelayConfig
from cw_proxy.transports.http_in.routes import Routes
from cw_proxy.transports.http_in.server import HttpServer
from cw_proxy.transports.relay.session import CLIENT_LOST, UPSTREAM_LOST, Hook, Pace, Result, Session, Side
from cw_proxy.transports.relay.upstream import Connected, Refused, Upstream

log = logging.getLogger("cw_proxy.relay")

PATH = "/v1/responses"


class Metrics(Protocol):
    def session_ended(self, model: str, result: str, milliseconds: float) -> None: ...

    async def close(self) -> None: ...


class NoMetrics:
    def session_ended(self, model: str, result: str, milliseconds: float) -> None:
        pass

    async def close(self) -> None:
        pass


class Relay:
    """Hooks are called with each text frame, on the event loop, before it is passed on: they must be quick."""

    def __init__(
        self,
        config: RelayConfig,
        *,
        metrics: Metrics | None = None,
        on_client_frame: Sequence[Hook] = (),
        on_upstream_frame: Sequence[Hook] = (),
        pace: Pace | None = None,
    ) -> None:
        self._config = config
        self._metrics = metrics or NoMetrics()
        self._hooks = on_client_frame, on_upstream_frame
        self._pace = pace or Pace()
        self._guard = Guard.of(config.allowed_hosts, config.cors_origins, config.api_keys)
        self._http = HttpServer(routes=self._routes(), guard=self._guard)
        self._draining = False
        self._admitted = 0
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        # It warns with the subprotocols that a client offers, and a browser's key is one of them.
        logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)

    @property
    def url(self) -> str:
        return self._http.url

    async def start(self) -> None:
        """Raises ConfigError when the address cannot be had."""
        self._upstream = Upstream(self._config)
        host, port = self._config.host, self._config.port
        try:
            await self._http.start(host, port)
        except OSError as fault:
            await self._upstream.close()
            raise ConfigError(f"Cannot listen on {host}:{port}: {_said(fault)}.") from None

    async def drain(self) -> None:
        """No new sessions; those that are idle end, the others once they are, for as long as the timeout lets them."""
        self._draining = True
        for session in self._sessions:
            session.drain()
        if self._sessions:
            await asyncio.wait(self._sessions.values(), timeout=self._config.shutdown_timeout)

    async def stop(self) -> None:
        """Whatever is still going on is broken off."""
        self._draining = True
        for session in self._sessions:
            session.end(relay_rules.RESTART)
        if self._sessions:
            await asyncio.wait(self._sessions.values(), timeout=self._pace.close + 1)
        await self._http.stop()
        await self._upstream.close()
        await self._metrics.close()

    def _routes(self) -> Routes:
        routes = Routes()
        routes.add("GET", PATH, self._handle)
        for path in ("/health", "/health/live", "/health/ready"):
            routes.add("GET", path, self._health)
        return routes

    async def _health(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        if self._draining and request.path.endswith("/ready"):
            return web.json_response({"status": "draining"}, status=503, headers=extra)
        return web.json_response({"status": "ok"}, headers=extra)

    # --- one upgrade ---

    async def _handle(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        self._check(request)
        self._admitted += 1
        began = time.monotonic()
        try:
            connected = await self._connected(request)
        except Refused as refused:
            self._count("", "refused", began)
            return _refusal(refused, extra)
        except ProxyError:
            self._count("", "refused", began)
            raise
        except BaseException:
            self._admitted -= 1
            raise
        return await self._accept(request, connected, extra, began)

    def _check(self, request: web.BaseRequest) -> None:
        """Raises ProxyError for what need not bother the upstream."""
        self._guard.owner(request.headers)
        if request.headers.get("upgrade", "").lower() != "websocket":
            raise UpgradeRequired("This path is a WebSocket: GET it with an upgrade.")
        if not web.WebSocketResponse().can_prepare(request).ok:
            raise InvalidRequest("This is not a valid WebSocket upgrade.")
        if self._draining:
            raise ShuttingDown("The relay is shutting down.", retry_after=2)
        if self._admitted >= self._config.max_sessions:
            raise Overloaded("The relay is at its limit of sessions.", retry_after=1)

    async def _connected(self, request: web.BaseRequest) -> Connected:
        headers = relay_rules.passed_on(request.headers.items(), self._config.auth_header)
        target = f"{PATH}?{request.rel_url.raw_query_string}" if request.query_string else PATH
        return await self._upstream.connect(target, headers, relay_rules.subprotocols(request.headers))

    async def _accept(
        self, request: web.BaseRequest, connected: Connected, extra: dict[str, str], began: float
    ) -> web.StreamResponse:
        protocol = connected.socket.protocol
        response = web.WebSocketResponse(
            autoclose=False,
            autoping=False,
            compress=False,
            decode_text=False,
            max_msg_size=self._config.max_message_bytes + 1,
            protocols=[protocol] if protocol else [],
            timeout=self._pace.close,
        )
        response.headers.update(extra)
        for name, value in connected.headers:
            response.headers[name] = value
        try:
            await response.prepare(request)
        except BaseException:
            self._count("", "client_error", began)
            await connected.socket.close(code=relay_rules.GOING_AWAY)
            raise
        session = self._session(request, response, connected)
        task = asyncio.ensure_future(self._run(session, began))
        self._sessions[session] = task
        if self._draining:
            session.drain()
        # The handler is cancelled when the client goes; the session takes its leave of the upstream by itself.
        await asyncio.shield(task)
        return response

    def _session(self, request: web.BaseRequest, response: web.WebSocketResponse, connected: Connected) -> Session:
        client = Side(response, request.transport, self._pace, CLIENT_LOST)
        upstream = Side(connected.socket, connected.transport, self._pace, UPSTREAM_LOST)
        return Session(client, upstream, *self._hooks, self._pace)

    async def _run(self, session: Session, began: float) -> None:
        result: Result = "client_error"
        try:
            result = await session.run()
        finally:
            del self._sessions[session]
            self._count(session.tap.model, result, began)
            log.debug("session of %r: %s, %r", session.tap.model, result, session.tap.usage)

    def _count(self, model: str, result: Result, began: float) -> None:
        self._admitted -= 1
        self._metrics.session_ended(model, result, (time.monotonic() - began) * 1000)


def _said(fault: OSError) -> str:
    # Codes of name look-ups are negative, and not the system's.
    return os.strerror(fault.errno) if fault.errno and fault.errno > 0 else str(fault.strerror)


def _refusal(refused: Refused, extra: dict[str, str]) -> web.Response:
    headers: dict[str, Any] = {**extra, **{name.lower(): value for name, value in refused.headers}}
    return web.Response(status=refused.status, body=refused.body, headers=headers, content_type="application/json")
