"""The composition root: the only place that knows all parts. From a Config to something that runs."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cw_proxy.auth.tokens import DEFAULT_REGION, StaticTokenSource, TokenManager
from cw_proxy.backends.codewhisperer import CodeWhisperer
from cw_proxy.backends.codewhisperer.hosts import Hosts, region_of
from cw_proxy.backends.openai_upstream import OpenAIUpstream
from cw_proxy.backends.openai_upstream.request import Dialect
from cw_proxy.config import Config, at_openai, check_exposure, check_lambda_exposure, uses_openai
from cw_proxy.conversations import Conversations
from cw_proxy.errors import ConfigError
from cw_proxy.exchange import Exchange
from cw_proxy.forwarded import networks
from cw_proxy.guard import Guard
from cw_proxy.interfaces import Backend, Options, TokenSource
from cw_proxy.ledger import Ledger
from cw_proxy.limits import RateLimits, whole_seconds
from cw_proxy.metrics import Metrics
from cw_proxy.prompt_templates import prompt_templates
from cw_proxy.protocols.prompt_socket import PromptSocket
from cw_proxy.router import Router, prefix_of
from cw_proxy.secret import Secret
from cw_proxy.transports.http_in import Bounds, Endpoints, HttpServer, SocketBounds, Timing
from cw_proxy.transports.http_out import HttpSender, SenderSettings
from cw_proxy.transports.image_fetch import FetchSettings, ImageFetcher
from cw_proxy.transports.rate_limiter import RateLimiter

if TYPE_CHECKING:
    from cw_proxy.transports.lambda_in import RuntimeApi
    from cw_proxy.transports.lambda_in.sockets import Sockets

_WARM_SECONDS = 5.0
_KEY_REMEDY = "The key comes from the settings (openai_api_key, CW_PROXY_OPENAI_API_KEY): set one that is accepted."


class Core:
    """The upstreams and what is held open for them: enough to ask a model without serving anyone."""

    def __init__(self, config: Config, home: Path) -> None:
        upstreams: dict[str, tuple[Backend, TokenSource]] = {
            CodeWhisperer.name: (_codewhisperer(config), token_source(config, home))
        }
        if uses_openai(config):
            upstreams[OpenAIUpstream.name] = _openai(config)
        self.config = config
        self.sender = HttpSender(_sender_settings(config))
        self._tokens = [tokens for _, tokens in upstreams.values()]
        self._fetch_image = ImageFetcher(FetchSettings()) if config.fetch_images else None
        leading = {name: to for name, to in config.aliases.items() if prefix_of(to, upstreams)}
        exchanges = {name: self._exchange(*upstream, leading) for name, upstream in upstreams.items()}
        self.exchange = Router(exchanges, config.backend, leading)

    def _exchange(self, backend: Backend, tokens: TokenSource, leading: dict[str, str]) -> Exchange:
        """`leading` are the aliases that name an upstream; the others are about the default one's models."""
        aliases = self.config.aliases if backend.name == self.config.backend else {}
        return Exchange(
            backend=backend,
            send=self.sender,
            tokens=tokens,
            conversations=Conversations(),
            aliases={name: to for name, to in aliases.items() if name not in leading},
            on_licensed_code=self.config.on_licensed_code,
            max_choices=self.config.max_choices,
            fetch_image=self._fetch_image,
        )

    async def __aenter__(self) -> Core:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def warm(self) -> None:
        """See interfaces.TokenSource."""
        for tokens in self._tokens:
            await tokens.warm()

    async def settled(self) -> None:
        """See interfaces.TokenSource."""
        for tokens in self._tokens:
            await tokens.settled()

    async def close(self) -> None:
        await self.sender.close()
        if self._fetch_image is not None:
            await self._fetch_image.close()


class App:
    """The server. `start`, then `drain` and `stop`; all on one event loop. `environment` holds the prompt templates."""

    def __init__(self, config: Config, home: Path, environment: Mapping[str, str] = os.environ) -> None:
        check_exposure(config)
        options = _options(config, environment)
        self._config = config
        self.core = Core(config, home)
        guard = Guard.of([config.host, *config.allowed_hosts], config.cors_origins, config.api_keys)
        self._limiter = RateLimiter(_limits(config), config.rate_limit_store)
        self._metrics = Metrics(self.core.exchange.knows) if config.metrics else None
        self._ledger = Ledger(config, home, *([self._metrics] if self._metrics else []))
        self.endpoints = Endpoints(
            exchange=self.core.exchange,
            guard=guard,
            bounds=_bounds(config),
            options=options,
            limiter=self._limiter,
            metrics=self._metrics,
        )
        if self._metrics:
            self._measure(self._metrics)
        self.guard, self.options = guard, options
        self.recorder = self._ledger.recorder
        self._server = HttpServer(routes=self.endpoints.routes(), guard=guard, recorder=self.recorder)

    def _measure(self, metrics: Metrics) -> None:
        """What no exchange tells."""
        endpoints, limiter, ledger = self.endpoints, self._limiter, self._ledger
        metrics.gauge("http_server_active_requests", "Questions being answered.", lambda: endpoints.active)
        metrics.gauge("cw_proxy_open_websockets", "Open WebSockets.", lambda: endpoints.sockets.number)
        metrics.counter(
            "cw_proxy_rate_limit_store_failures",
            "Times that the store of the rate limits did not answer.",
            lambda: limiter.failures,
        )
        metrics.counter("cw_proxy_access_log_lost", "Lines that nobody took in time.", lambda: ledger.lost_lines)
        if ledger.lost_rows is not None:
            metrics.counter(
                "cw_proxy_usage_history_lost",
                "Exchanges that the usage history could not keep.",
                lambda: ledger.lost_rows or 0,
            )

    @property
    def url(self) -> str:
        return self._server.url

    async def start(self) -> None:
        """Raises ConfigError when the address cannot be had."""
        _raise_descriptor_limit()
        self._ledger.open()
        try:
            await self._server.start(self._config.host, self._config.port)
        except OSError as fault:
            await self.core.close()
            # Codes of name look-ups are negative, and not the system's.
            reason = os.strerror(fault.errno) if fault.errno and fault.errno > 0 else fault.strerror
            advice = " Another port: --port N, or 0 for any free one." if fault.errno == errno.EADDRINUSE else ""
            raise ConfigError(f"Cannot listen on {self._config.host}:{self._config.port}: {reason}.{advice}") from None

    async def serve(self, connected: socket.socket, deadline: float) -> None:
        """In the place of `start`: answers on a connection that is there already."""
        await self._server.serve(connected, deadline)

    async def drain(self) -> bool:
        """No new questions; waits for the open ones. False when the time limit came first."""
        self.endpoints.draining = True
        self.endpoints.sockets.drain()
        try:
            async with asyncio.timeout(self._config.drain_timeout):
                await self.endpoints.idle.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        await self.endpoints.sockets.close()
        await self._server.stop()
        await self._limiter.close()
        await self._ledger.close()
        await self.core.close()


class LambdaApp:
    """The server on Lambda, where nothing listens. `start`, then `drain` and `stop`; `lost` is set when Lambda takes
    us no more."""

    def __init__(self, config: Config, home: Path, api: RuntimeApi, loops: int = 1) -> None:
        check_lambda_exposure(config)
        from cw_proxy.transports.lambda_in import LambdaRuntime
        from cw_proxy.transports.lambda_in.invocation import Door, Invocations

        # The door has looked at the host, by what Lambda's front says; whose address that is, it says as well, and the
        # connection to the server is one within this process.
        trusted = [*config.trusted_proxies, "127.0.0.1"]
        self._app = App(
            msgspec.structs.replace(config, host="127.0.0.1", allowed_hosts=["*"], trusted_proxies=trusted), home
        )
        door = Door(Guard.of(config.allowed_hosts, [], []), keys=bool(config.api_keys))
        sockets = _sockets(self._app, config) if config.prompt_socket else None
        self.invocations = Invocations(api, self._app.serve, door, config.lambda_response_mode, sockets)
        self.settled = self._app.core.settled
        self._runtime = LambdaRuntime(api, self.invocations, self.settled, loops)

    @property
    def lost(self) -> asyncio.Event:
        return self._runtime.lost

    async def start(self) -> None:
        # What Lambda counts as the start is not counted as an answer, and has the whole processor; for ten seconds.
        with suppress(TimeoutError):
            async with asyncio.timeout(_WARM_SECONDS):
                await self._app.core.warm()
        await self._runtime.start()

    async def drain(self) -> None:
        await self._runtime.drain()

    async def stop(self) -> None:
        await self._runtime.stop()
        await self._app.stop()


def _sockets(app: App, config: Config) -> Sockets:
    from cw_proxy.transports.lambda_in.gateway_boto import BotoGateway
    from cw_proxy.transports.lambda_in.sockets import Sockets

    return Sockets(
        server=app.endpoints,
        protocol=PromptSocket(app.options),
        guard=app.guard,
        gateway=BotoGateway(os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "")),
        mode=config.lambda_socket_mode,
        endpoint=config.lambda_socket_endpoint,
        begin=lambda id: app.recorder.begin(id, "WS"),
    )


def token_source(config: Config, home: Path) -> TokenSource:
    region = config.region or DEFAULT_REGION
    if config.access_token is not None:
        return StaticTokenSource(config.access_token, region, config.profile_arn)
    # Here, not above: a process with a ready token needs neither the store nor SSO OIDC.
    from cw_proxy.auth.oidc_boto import BotoOidc
    from cw_proxy.auth.stores import open_store

    def door(region: str) -> BotoOidc:
        return BotoOidc(region, endpoint_url=config.oidc_url, proxy=config.upstream_proxy)

    return TokenManager(open_store(config.store, home), door, region=region)


def _openai(config: Config) -> tuple[Backend, TokenSource]:
    limit_name = config.openai_limit_name or ("max_completion_tokens" if at_openai(config) else "max_tokens")
    backend = OpenAIUpstream(
        base_url=config.openai_base_url.rstrip("/"),
        default_model=config.openai_model,
        dialect=Dialect(limit_name, cache_key=at_openai(config)),
    )
    return backend, StaticTokenSource(config.openai_api_key or Secret(""), remedy=_KEY_REMEDY)


def _codewhisperer(config: Config) -> CodeWhisperer:
    region = config.region or (region_of(config.profile_arn) if config.profile_arn else None)
    hosts = Hosts(_base(config.streaming_url), _base(config.runtime_url), region)
    return CodeWhisperer(
        hosts=hosts,
        origin=config.origin,
        max_body=config.max_payload_bytes,
        opt_out=config.opt_out,
        profile_arn=config.profile_arn,
    )


def _base(url: str | None) -> str | None:
    return url.rstrip("/") if url else None


def _sender_settings(config: Config) -> SenderSettings:
    return SenderSettings(config.max_connections, config.connect_timeout, config.stall_timeout, config.upstream_proxy)


def _bounds(config: Config) -> Bounds:
    timing = Timing(ping=config.ping_interval, write=config.write_timeout)
    sockets = SocketBounds(config.max_sockets, config.socket_heartbeat, config.socket_age)
    return Bounds(
        config.max_body_bytes,
        config.read_timeout,
        config.max_streams,
        timing,
        sockets,
        config.max_streams_per_key,
        networks(config.trusted_proxies),
        config.request_timeout,
    )


def _options(config: Config, environment: Mapping[str, str]) -> Options:
    """Raises ConfigError."""
    templates = prompt_templates(environment, config.prompt_templates) if config.prompt_socket else {}
    return Options(config.prompt_socket, config.simple_api, templates, config.default_model)


def _limits(config: Config) -> RateLimits:
    window = whole_seconds(config.rate_limit_window)
    return RateLimits(config.rate_limit_max, config.rate_limit_max_per_address, window)


def _raise_descriptor_limit() -> None:
    """Two descriptors a stream: the usual soft limit of 1024 would end at some 500 streams."""
    with suppress(OSError, ValueError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
