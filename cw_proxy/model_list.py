"""The service's list of models, fetched once for all who ask at the same time.

In: how to fetch it, and a clock. Out: a Catalog that is at most a few minutes old; an older one while a new one cannot
be had or takes its time. Refuses to know how it is fetched and what its names mean.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cw_proxy.errors import ProxyError, UpstreamTimeout
from cw_proxy.interfaces import Catalog

AGE = 300.0  # seconds a list is used before it is asked for again
RETRY = 30.0  # seconds until it is, when that failed and an old one is at hand
LIMIT = 15.0  # seconds a fetch may take: a short list, and chats wait for it
PATIENCE = 1.0  # seconds to wait for a new list when an old one is at hand


class ModelList:
    """Single flight: a fetch is shared by its waiters, failure included, and outlives each of them."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Catalog]],
        *,
        now: Callable[[], float],
        limit: float = LIMIT,
        patience: float = PATIENCE,
    ) -> None:
        self._fetch = fetch
        self._now = now
        self._limit = limit
        self._patience = patience
        self._until = 0.0
        self._fetching: asyncio.Task[Catalog] | None = None
        self.known: Catalog | None = None

    async def get(self) -> Catalog:
        """Raises what a fetch raised, if there is no older list."""
        if self.known is not None and self._now() < self._until:
            return self.known
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._refresh())
            self._fetching.add_done_callback(self._ended)
        fetching = self._fetching
        if self.known is None:
            return await asyncio.shield(fetching)
        await asyncio.wait({fetching}, timeout=self._patience)
        return self.known

    async def _refresh(self) -> Catalog:
        try:
            async with asyncio.timeout(self._limit):
                self.known = await self._fetch()
        except TimeoutError:
            self._until = self._now() + RETRY
            raise UpstreamTimeout("The service did not send its list of models in time.") from None
        except ProxyError:
            self._until = self._now() + RETRY
            raise
        self._until = self._now() + AGE
        return self.known

    def _ended(self, fetching: asyncio.Task[Catalog]) -> None:
        self._fetching = None
        if not fetching.cancelled():
            # Looked at, so that a failure which nobody waited for is not reported as lost.
            fetching.exception()
