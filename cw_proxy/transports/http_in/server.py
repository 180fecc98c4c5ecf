"""The listening socket: from a connection to a routed, guarded request, and every failure to OpenAI's error shape.

aiohttp's low-level server is used, without its application: the routes are a table, and nothing of the framework's
own (text/plain errors, automatic decompression, an hour of keep-alive) may reach a client.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from cw_proxy import __version__
from cw_proxy.errors import HostRefused, InvalidRequest, ProxyError
from cw_proxy.guard import Guard
from cw_proxy.interfaces import ErrorReply
from cw_proxy.record import Record, Recorder
from cw_proxy.transports.http_in.cors import cors_headers, preflight
from cw_proxy.transports.http_in.routes import Routes, Shape, keep_record, record_of

log = logging.getLogger("cw_proxy.http")

KEEPALIVE = 75.0  # seconds; also the only limit on how long a request's headers may take
BACKLOG = 1024
# What nginx writes where no status was sent, as the client had gone.
_CLIENT_CLOSED = 499
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SERVER = f"cw-proxy/{__version__}"


class _Protocol(RequestHandler):
    """A connection. What aiohttp itself refuses (no HTTP, headers too long) is answered as JSON too."""

    __slots__ = ("deadline",)

    deadline: float | None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        # Neither logged nor shown: aiohttp's messages hold raw header lines, and so keys.
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way: the connection is broken off")
        error = InvalidRequest("This is not a valid HTTP request.") if status < 500 else ProxyError("Internal error.")
        response = error_response(error, f"req_{token_hex(16)}")
        # The answer's own flag: the connection's would close it before the answer is out.
        response.force_close()
        return response


class _Server(web.Server):
    def __init__(self, handler: Any, **settings: Any) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._settings = settings

    def __call__(self) -> RequestHandler:
        return self.connection(None)

    def connection(self, deadline: float | None) -> RequestHandler:
        made = _Protocol(self, loop=asyncio.get_running_loop(), **self._settings)
        made.deadline = deadline
        return made


class HttpServer:
    """Listens between `start` and `stop`; `url` is where."""

    def __init__(self, *, routes: Routes, guard: Guard, recorder: Recorder | None = None) -> None:
        self._routes = routes
        self._recorder = recorder or Recorder()
        self._guard = guard
        self._server: _Server | None = None
        self._listener: asyncio.Server | None = None
        self.url = ""

    async def start(self, host: str, port: int) -> None:
        """Raises OSError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._made(), host, port, backlog=BACKLOG, reuse_address=True)
        self.url = url_of(self._listener.sockets[0])

    async def serve(self, connected: socket.socket, deadline: float | None = None) -> None:
        """Takes over a connection that came another way; what is asked on it is answered by `deadline`, in the loop's
        time. Returns at once."""
        server = self._made()
        await asyncio.get_running_loop().connect_accepted_socket(lambda: server.connection(deadline), connected)

    def _made(self) -> _Server:
        if self._server is None:
            self._server = _Server(self._handle, keepalive_timeout=KEEPALIVE, auto_decompress=False, access_log=None)
        return self._server

    async def stop(self) -> None:
        """Closes the socket and every connection, with whatever is still open on it."""
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(timeout=1.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        request_id = f"req_{token_hex(16)}"
        # Anthropic's clients look for it under a name of their own.
        ids = {"x-request-id": request_id, "request-id": request_id}
        extra = {**ids, "Server": SERVER, **cors_headers(self._guard, request.headers)}
        record = self._recorder.begin(request_id, _known_method(request.method))
        keep_record(request, record)
        if record is None:
            response = await self._response(request, request_id, extra)
        else:
            response = await self._recorded(record, request, extra)
        # The path is shown quoted: it is the client's text.
        # 501 and 503 are said on purpose.
        failed = response.status in (500, 502, 504)
        level = logging.WARNING if failed else logging.DEBUG
        log.log(level, "%s %s %r -> %d", request_id, request.method, request.path, response.status)
        return response

    async def _recorded(self, record: Record, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        record.route = self._routes.pattern(request.path)
        status = _CLIENT_CLOSED
        try:
            response = await self._response(request, record.id, extra)
            status = response.status
            return response
        except (ConnectionError, asyncio.CancelledError):
            record.gone()
            raise
        finally:
            record.finish(status)

    async def _response(self, request: web.BaseRequest, request_id: str, extra: dict[str, str]) -> web.StreamResponse:
        try:
            self._check(request)
            if request.method == "OPTIONS":
                return preflight(request.headers, extra)
            handler = self._routes.find(request.method, request.path)
            return await handler(request, extra)
        except ProxyError as error:
            return self._refused(error, request, extra)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:  # the outermost edge: whatever went wrong, the client gets JSON and nothing of our insides
            log.exception("request %s failed", request_id)
            if request.writer.output_size > 0:
                if record := record_of(request):
                    record.failed(ProxyError("broken off"))
                # No answer inside an answer, and no clean end: that would look like a whole one.
                raise ConnectionError("broken off in the middle of an answer") from None
            fault = ProxyError(f"Internal error. The server's log has more under {request_id}.")
            return self._refused(fault, request, extra)

    def _refused(self, error: ProxyError, request: web.BaseRequest, extra: dict[str, str]) -> web.Response:
        if record := record_of(request):
            record.failed(error)
        return error_response(error, extra["x-request-id"], extra, self._routes.shape_of(request.path))

    def _check(self, request: web.BaseRequest) -> None:
        """The guard, before anything else. A preflight may come from anywhere: it is told who may call."""
        hosts = request.headers.getall("host", [])
        target = request.raw_path
        if not target.startswith("/") and target != "*":
            # An absolute target outranks the Host header (RFC 9112 §3.2.2), so it must pass as well.
            hosts.append(urlsplit(target).netloc)
        if not hosts or len(hosts) - target.startswith("http") > 1:
            raise HostRefused("Send exactly one Host header.")
        for host in hosts:
            self._guard.check_host({"host": host})
        if request.method != "OPTIONS":
            self._guard.check_origin(request.headers)


def _known_method(method: str) -> str:
    """Clients can make up others."""
    return method if method in _METHODS else "other"


def url_of(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def error_response(
    error: ProxyError, request_id: str, extra: Mapping[str, str] | None = None, shape: Shape | None = None
) -> web.Response:
    """In the shape of the protocol at this path, else in OpenAI's."""
    shown = shape(error) if shape else ErrorReply(error.status, error.headers(), error.body())
    headers = {"x-request-id": request_id, "Server": SERVER, **(extra or {}), **shown.headers}
    return web.Response(status=shown.status, body=shown.body, headers=headers, content_type="application/json")
