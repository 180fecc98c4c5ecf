"""The emulator as one server on loopback: all services on one port.

In: a port, settings. Out: a running server, and its settings and stats as values. Refuses any host but loopback.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import msgspec
from aiohttp import web

from cw_proxy.emulator import runtime, streaming
from cw_proxy.emulator.control import Control
from cw_proxy.emulator.library import SCRIPTS
from cw_proxy.emulator.oidc import Oidc
from cw_proxy.emulator.oidc_http import OidcHttp
from cw_proxy.emulator.openai.service import OpenAIService
from cw_proxy.emulator.refusal import Refusal
from cw_proxy.emulator.runtime import RuntimeService
from cw_proxy.emulator.service import content_type_of, service_headers
from cw_proxy.emulator.settings import Settings
from cw_proxy.emulator.stats import Stats
from cw_proxy.emulator.streaming import StreamingService

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MAX_BODY = 64 * 1024 * 1024
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Emulator:
    """`async with Emulator() as emulator:` serves at `emulator.url` until the block is left, open streams included.

    `settings` and `stats` are live values; `scripts` maps names to scripts; `clock` says the time for tokens.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if host not in LOOPBACK:
            raise ValueError(f"the emulator is a test tool and listens on loopback only, not on {host}")
        self._host = host
        self._port = port
        self.settings = settings or Settings()
        self._initial = msgspec.to_builtins(self.settings)
        self.stats = Stats()
        self.scripts: dict[str, list[Any]] = dict(SCRIPTS)
        self.oidc = Oidc(self.settings, self.stats, clock)
        self._streaming = StreamingService(self.settings, self.stats, self.scripts, self.oidc.accepts)
        self._runtime = RuntimeService(self.settings, self.stats, self.oidc.accepts)
        self._openai = OpenAIService(self.settings, self.stats, self._streaming, self.oidc.accepts)
        self._handlers: set[asyncio.Task[Any]] = set()
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Emulator:
        # handler_cancellation: a handler must learn at once that its client has gone, also while it waits.
        runner = web.AppRunner(self._app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._runner = runner
        site = web.TCPSite(runner, self._host, self._port)
        await site.start()
        self._port = runner.addresses[0][1]
        self.url = f"http://{'[::1]' if ':' in self._host else self._host}:{self._port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._streaming.closing = True
        for task in list(self._handlers):
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def until(self, holds: Callable[[Stats], bool]) -> None:
        """Waits until the stats are as wanted. Asked again whenever a call of the streaming service begins or ends."""
        while not holds(self.stats):
            await self._streaming.change()

    def reset(self) -> None:
        """Settings, stats, scripts and fault counters as at the start. Sign-ins survive."""
        self.settings.update(self._initial)
        self.stats.reset()
        self._streaming.faults.clear()
        self._streaming.played.clear()
        self.scripts.clear()
        self.scripts.update(SCRIPTS)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[self._tracked])
        control = Control(self.settings, self.stats, self.scripts, self.oidc.expire_access_tokens, self.reset)
        app.add_routes(OidcHttp(self.oidc).routes())
        app.add_routes(control.routes())
        app.add_routes(self._openai.routes())
        app.add_routes([web.post("/", self._by_target)])
        app.add_routes([web.post(path, self._streamed) for path in streaming.REST_PATHS])
        app.add_routes([web.route(method, path, self._listed) for method, path in runtime.REST_PATHS])
        app.add_routes([web.route("*", "/{path:.*}", self._unknown)])
        return app

    @web.middleware
    async def _tracked(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Open streams must not outlive the server."""
        task = asyncio.current_task()
        if task is None:
            return await handler(request)
        self._handlers.add(task)
        try:
            return await handler(request)
        finally:
            self._handlers.discard(task)

    async def _streamed(self, request: web.Request) -> web.StreamResponse:
        return await self._streaming.handle(request, "rest")

    async def _listed(self, request: web.Request) -> web.StreamResponse:
        return await self._runtime.handle(request, "rest", runtime.REST_PATHS[request.method, request.path])

    async def _by_target(self, request: web.Request) -> web.StreamResponse:
        target = request.headers.get("X-Amz-Target", "")
        if streaming.operation_of(target):
            return await self._streaming.handle(request, "aws-json")
        if operation := self._runtime.operation_of(target):
            return await self._runtime.handle(request, "aws-json", operation)
        return await self._unknown(request)

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        refusal = Refusal("UnknownOperationException", "The requested operation is not known.")
        response = refusal.response(content_type_of("aws-json" if request.path == "/" else "rest"))
        response.headers.update(service_headers())
        return response
