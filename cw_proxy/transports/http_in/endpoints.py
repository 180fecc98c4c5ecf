"""The endpoints: each protocol's, the models, health."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, cast

import msgspec
from aiohttp import web

from cw_proxy.errors import (
    ConcurrencyLimited,
    InvalidApiKey,
    Overloaded,
    ProxyError,
    RequestTimeout,
    RequestTooLarge,
    ShuttingDown,
)
from cw_proxy.forwarded import client_address
from cw_proxy.front import Front, Streamed
from cw_proxy.guard import Guard, check_json
from cw_proxy.interfaces import DEFAULTS, Caller, ClientProtocol, Http, Options, SocketProtocol, WebSocket
from cw_proxy.limits import Client, RateLimits
from cw_proxy.metrics import CONTENT_TYPE, Metrics
from cw_proxy.protocols import protocols
from cw_proxy.router import Router
from cw_proxy.transports.http_in.bounds import Bounds
from cw_proxy.transports.http_in.deadline import deadline_of, ended_by
from cw_proxy.transports.http_in.routes import Routes, record_of
from cw_proxy.transports.http_in.sockets import Sockets
from cw_proxy.transports.http_in.stream import stream_answer
from cw_proxy.transports.rate_limiter import RateLimiter

# Paths of OpenAI's API that clients look for, and what they look for there.
UNSUPPORTED = {
    "/v1/embeddings": "Embeddings",
    "/v1/audio": "Audio",
    "/v1/images": "Images",
    "/v1/videos": "Videos",
    "/v1/moderations": "Moderations",
    "/v1/files": "Files",
    "/v1/uploads": "Uploads",
    "/v1/batches": "Batches",
    "/v1/fine_tuning": "Fine-tuning",
    "/v1/vector_stores": "Vector stores",
    "/v1/assistants": "Assistants",
    "/v1/threads": "Threads",
}


_PASSED_ON = ("x-forwarded-for", "forwarded", "via", "x-real-ip", "cf-connecting-ip")
_PIECE = 256 * 1024  # bytes of a whole answer that go out in one write


class Endpoints:
    """All handlers, and what they count: `active` requests, and whether the server is `draining`."""

    def __init__(
        self,
        *,
        exchange: Router,
        guard: Guard,
        bounds: Bounds,
        options: Options = DEFAULTS,
        limiter: RateLimiter | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.exchange = exchange
        self.front = Front(exchange, guard, bounds.answer)
        self._options = options
        self._guard = guard
        self.bounds = bounds
        self.limiter = limiter or RateLimiter(RateLimits())
        self.active = 0
        self._metrics = metrics
        self._active_of: Counter[str] = Counter()
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()
        self.sockets = Sockets(self)

    def routes(self) -> Routes:
        routes = Routes()
        for protocol in protocols(self._options):
            for binding in protocol.bindings:
                if isinstance(binding, Http):
                    routes.shape(binding.path, protocol.error)
                    routes.add(binding.method, binding.path, ProtocolHandler(self, protocol))
                elif isinstance(binding, WebSocket):
                    routes.add("GET", binding.path, self.sockets.handler(cast(SocketProtocol, protocol), binding))
        routes.add("GET", "/v1/models", self._models)
        routes.add("GET", "/v1/models/*", self._model)
        for path, what in UNSUPPORTED.items():
            routes.refuse(path, what)
        if self._metrics is not None:
            routes.add("GET", "/metrics", self._scraped)
        routes.add("GET", "/health", self._health)
        routes.add("GET", "/health/live", self._health)
        routes.add("GET", "/health/ready", self._ready)
        if self._options.simple_api:
            # Of the protocol's world, but the server's to answer: it needs no key and asks nobody.
            routes.add("GET", "/api/health", self._ready)
        return routes

    # --- a question to a model ---

    async def answer(
        self, protocol: ClientProtocol, request: web.BaseRequest, extra: dict[str, str]
    ) -> web.StreamResponse:
        caller, client = await self.admitted(request, extra)
        if request.method == "POST":
            check_json(request.headers)
        with self.counted(client):
            deadline = deadline_of(request)
            async with ended_by(deadline):
                body = await self._body(request) if request.method == "POST" else b""
                answer = await self.front.answer(protocol, caller, body, extra, record_of(request))
            if isinstance(answer, Streamed):
                timing = self.bounds.timing
                if deadline is not None:
                    timing = msgspec.structs.replace(timing, deadline=deadline)
                return await stream_answer(request, answer.batches, answer.encoder, extra, timing)
            return await self._sent(request, answer.body, extra)

    async def admitted(self, request: web.BaseRequest, extra: dict[str, str]) -> tuple[Caller, Client]:
        """Who asks; counted against the limits, a wrong key as well. Raises InvalidApiKey, TooManyRequests."""
        caller = await self._known(request, extra)
        client = Client(caller.owner if self._guard.demands else None, self._address(request))
        if self.limiter.limits:
            await self.limiter.check(client, extra)
        return caller, client

    async def _known(self, request: web.BaseRequest, extra: dict[str, str]) -> Caller:
        """Keys cannot be tried out without end. Raises InvalidApiKey, TooManyRequests."""
        try:
            caller = self.front.caller(request.headers, request.method, request.path, request.query_string)
        except InvalidApiKey:
            await self.limiter.check(Client(None, self._address(request)), extra)
            raise
        if record := record_of(request):
            record.came_from(caller.owner, request.headers.get("user-agent"))
        return caller

    def _address(self, request: web.BaseRequest) -> str:
        trusted = self.bounds.trusted
        forwarded = request.headers.getall("x-forwarded-for", []) if trusted else []
        return client_address(request.remote or "", forwarded, trusted)

    async def _sent(self, request: web.BaseRequest, body: bytes, extra: dict[str, str]) -> web.StreamResponse:
        """The answer, written while the request still counts as open: a shutdown waits for it."""
        response = web.StreamResponse(headers={**extra, "Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        for start in range(0, len(body), _PIECE):
            try:
                async with asyncio.timeout(self.bounds.timing.write):
                    await response.write(body[start : start + _PIECE])
            except TimeoutError:
                raise ConnectionError("the client does not read") from None
        await response.write_eof()
        return response

    @contextmanager
    def counted(self, client: Client) -> Iterator[None]:
        if self.draining:
            raise ShuttingDown("The server is shutting down.", retry_after=2)
        with self._room_of(client) if self.bounds.streams_per_client else nullcontext():
            if self.active >= self.bounds.streams:
                raise Overloaded("The server is at its limit of requests at the same time.", retry_after=1)
            self.active += 1
            self.idle.clear()
            try:
                yield
            finally:
                self.active -= 1
                if self.active == 0:
                    self.idle.set()

    @contextmanager
    def _room_of(self, client: Client) -> Iterator[None]:
        """Too many of all is nobody's doing, a 503; too many of one client is its own, a 429."""
        name, most = client.identity, self.bounds.streams_per_client
        if self._active_of[name] >= most:
            raise ConcurrencyLimited(f"At most {most} requests of one client are answered at a time.", retry_after=1)
        self._active_of[name] += 1
        try:
            yield
        finally:
            self._active_of[name] -= 1
            if not self._active_of[name]:
                del self._active_of[name]

    async def _body(self, request: web.BaseRequest) -> bytes:
        limit = self.bounds.body_bytes
        too_large = RequestTooLarge(f"The body is larger than {limit} bytes.")
        if (request.content_length or 0) > limit:
            raise too_large
        if request.headers.get("expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        if request.content.is_eof():
            # Came together with the headers, as small ones do: nothing to wait for.
            whole = request.content.read_nowait()
            if len(whole) > limit:
                raise too_large
            return whole
        body = bytearray()
        try:
            async with asyncio.timeout(self.bounds.read_timeout):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > limit:
                        raise too_large
        except TimeoutError:
            raise RequestTimeout("The body did not arrive in time.") from None
        return bytes(body)

    # --- models and health ---

    async def _models(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        await self.admitted(request, extra)
        models = [self._model_object(name) for name in await self.exchange.names()]
        return _json(msgspec.json.encode({"object": "list", "data": models}), extra)

    async def _model(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        await self.admitted(request, extra)
        name = request.path.removeprefix("/v1/models/")
        await self.exchange.check(name)
        return _json(msgspec.json.encode(self._model_object(name)), extra)

    def _model_object(self, name: str) -> dict[str, Any]:
        # The service tells no date; zero is honest and clients want an integer.
        return {"id": name, "object": "model", "created": 0, "owned_by": self.exchange.owner(name)}

    async def _scraped(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        """For those with a key. Where none is demanded, for this machine: not for whom a proxy passes on."""
        await self._known(request, extra)
        passed_on = any(name in request.headers for name in _PASSED_ON)
        if self._metrics is None or (passed_on and not self._guard.demands):
            raise InvalidApiKey("Metrics are for this machine; through a proxy, demand client keys and send one.")
        return web.Response(body=self._metrics.page(), headers={**extra, "Content-Type": CONTENT_TYPE})

    async def _health(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        return _json(b'{"status":"ok"}', extra)

    async def _ready(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        if self.draining:
            return _json(b'{"status":"draining"}', extra, status=503)
        return _json(b'{"status":"ok"}', extra)


class ProtocolHandler:
    """One protocol's handler: its errors come in its own shape."""

    def __init__(self, endpoints: Endpoints, protocol: ClientProtocol) -> None:
        self._endpoints = endpoints
        self._protocol = protocol

    async def __call__(self, request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        try:
            return await self._endpoints.answer(self._protocol, request, extra)
        except ProxyError as error:
            if record := record_of(request):
                record.failed(error)
            shown = self._protocol.error(error)
            return _json(shown.body, {**extra, **shown.headers}, status=shown.status)


def _json(body: bytes, extra: dict[str, str], status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, headers=extra, content_type="application/json")
