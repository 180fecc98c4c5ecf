"""A runtime of ours behind a strict Lambda, around handlers that a test steers.

In: handlers by path. Out: the front that clients ask. Refuses to know pytest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from cw_proxy.guard import Guard
from cw_proxy.transports.http_in import HttpServer
from cw_proxy.transports.http_in.routes import Handler, Routes
from cw_proxy.transports.lambda_in import LambdaRuntime, RuntimeApi
from cw_proxy.transports.lambda_in.invocation import Door, Invocations, ResponseMode


class Addressed(Protocol):
    """What has a Runtime API."""

    address: str


async def nothing() -> None:
    """What there is to wait for between two invocations, usually."""


@asynccontextmanager
async def runtime(
    front: Addressed,
    handlers: dict[str, Handler],
    *,
    mode: ResponseMode = "auto",
    loops: int = 1,
    hosts: tuple[str, ...] = (),
    keys: bool = True,
    settled: Callable[[], Awaitable[None]] = nothing,
) -> AsyncIterator[LambdaRuntime]:
    """`handlers` answer GET and POST at their paths."""
    routes = Routes()
    for path, handler in handlers.items():
        for method in ("GET", "POST"):
            routes.add(method, path, handler)
    server = HttpServer(routes=routes, guard=Guard.of(["*"], [], []))
    api = RuntimeApi(front.address)
    door = Door(Guard.of(list(hosts), [], []), keys)
    running = LambdaRuntime(api, Invocations(api, server.serve, door, mode), settled, loops)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()
        await server.stop()
