"""Lambda's loop: ask for an invocation, answer it, see that nothing is under way, ask for the next.

As many loops as invocations may come at the same time (AWS_LAMBDA_MAX_CONCURRENCY; else one).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

from cw_proxy.transports.lambda_in.invocation import Invocations
from cw_proxy.transports.lambda_in.runtime_api import RuntimeApi, RuntimeApiError

log = logging.getLogger("cw_proxy.lambda")

_TRACE = "_X_AMZN_TRACE_ID"


class LambdaRuntime:
    """`start`, then `drain` and `stop`. `lost` is set when the Runtime API takes us no more."""

    def __init__(
        self, api: RuntimeApi, invocations: Invocations, settled: Callable[[], Awaitable[None]], loops: int = 1
    ) -> None:
        self._api = api
        self._invocations = invocations
        self._settled = settled
        self._number = loops
        self._waiting: set[asyncio.Task[object]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._draining = False
        self.lost = asyncio.Event()

    async def start(self) -> None:
        self._loops = [asyncio.create_task(self._loop()) for _ in range(self._number)]
        for task in self._loops:
            task.add_done_callback(self._ended)

    async def drain(self) -> None:
        """Asks for no more; waits for the invocations under way."""
        self._draining = True
        for task in self._waiting:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def stop(self) -> None:
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()):
            log.error("A loop has ended by a fault of ours.", exc_info=fault)
            self.lost.set()

    async def _loop(self) -> None:
        while not self._draining:
            # Lambda freezes the machine while nothing is asked of it. What would break by that ends before.
            await self._settled()
            asking = asyncio.create_task(self._api.next())
            self._waiting.add(asking)
            try:
                invocation = await asking
            except asyncio.CancelledError:
                asking.cancel()
                return
            except RuntimeApiError as fault:
                log.error("%s", fault)
                self.lost.set()
                return
            finally:
                self._waiting.discard(asking)
            if self._number == 1 and invocation.trace:
                # Where AWS's SDKs look for it; with several at a time it would be someone else's.
                os.environ[_TRACE] = invocation.trace
            try:
                await self._invocations.answer(invocation)
            except RuntimeApiError as fault:
                # Lambda has given this one up, for example with its client; there may be a next.
                log.warning("%s: %s", invocation.id, fault)
            except Exception as fault:  # the outermost edge: one event must not end the others' process
                log.exception("%s failed", invocation.id)
                with suppress(RuntimeApiError):
                    await self._api.fail(invocation, "Runtime.Internal", type(fault).__name__)


def concurrency(environment: Mapping[str, str]) -> int:
    """How many invocations may come at the same time."""
    text = environment.get("AWS_LAMBDA_MAX_CONCURRENCY", "")
    return max(int(text), 1) if text.isdecimal() else 1
