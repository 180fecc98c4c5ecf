"""The event loop that the bench's own servers run on: the same as the proxy's, so that only the work differs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cw_proxy.cli.settings import run

Starter = Callable[[int], Awaitable[int]]


def serve(start: Starter, port: int) -> None:
    """Runs a server for ever: `start` is given the upstream's port and returns the port it listens on."""

    async def main() -> None:
        listening = await start(port)
        print(f"http://127.0.0.1:{listening}", flush=True)
        await asyncio.Event().wait()

    run(main())
