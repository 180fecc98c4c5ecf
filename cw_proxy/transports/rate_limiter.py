"""Counts requests against the rate limits, in this process or in a Redis or Valkey that several processes share.

In: a client. Out: headers about what is left, or the 429. The counters are the library `limits`' own.

A store that is down lets everything pass: a proxy that answers nobody because nobody can be counted helps nobody. It
is said once in the log, counted, and the store is left alone for a while, so that only a few requests wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cw_proxy.errors import ConfigError
from cw_proxy.limits import Client, Counted, Counter, RateLimits, tightest
from cw_proxy.secret import Secret

if TYPE_CHECKING:
    from limits.aio.storage import Storage

log = logging.getLogger(__name__)

# Seconds for the store's answer: it takes less than a thousandth, but a busy loop of ours may be late to see it.
PATIENCE = 1.0
PAUSE = 5.0  # seconds in which a store that failed is not asked
_CONNECTIONS = 50
# Redis tells what is left in seconds, rounded to the nearest: who comes back at the time told must not be too early.
_ROUNDED = 0.5


class RateLimiter:
    """`url` is a Redis' or Valkey's; None counts in this process. Raises ConfigError where the client is missing."""

    def __init__(self, limits: RateLimits, url: Secret | None = None, *, pause: float = PAUSE) -> None:
        self.limits = limits
        self._shared = url is not None
        self._pause = pause
        self._resume = 0.0  # by the loop's clock, while the store is down
        self._down = False
        self.failures = 0
        self._store = _opened(url) if limits else None

    async def check(self, client: Client, extra: dict[str, str]) -> None:
        """Adds headers about what is left to `extra`. Raises TooManyRequests."""
        if self._store is None:
            return
        counted = await self._counted(self._store, self.limits.counters(client))
        if not counted:
            return
        tight = tightest(counted)
        extra.update(tight.headers())
        if tight.exceeded:
            raise self.limits.refused(tight)

    async def close(self) -> None:
        if self._store is not None:
            await self._store.close()

    async def _counted(self, store: _Store, counters: Sequence[Counter]) -> list[Counted]:
        """Nothing while the store is down."""
        loop = asyncio.get_running_loop()
        if self._down:
            if loop.time() < self._resume:
                return []
            # One asks; the others pass until it knows.
            self._resume = loop.time() + self._pause
        try:
            async with asyncio.timeout(PATIENCE):
                counted = [await self._count(store.storage, counter) for counter in counters]
        except store.faults as fault:
            self._failed(fault, loop.time())
            return []
        if self._down:
            self._down = False
            log.warning("the store of the rate limits is back")
        return counted

    async def _count(self, storage: Storage, counter: Counter) -> Counted:
        used = await storage.incr(counter.name, self.limits.window)
        if used == 1:
            return Counted(counter.limit, used, float(self.limits.window))
        reset = await storage.get_expiry(counter.name) - time.time() + (_ROUNDED if self._shared else 0.0)
        return Counted(counter.limit, used, min(max(0.0, reset), float(self.limits.window)))

    def _failed(self, fault: BaseException, now: float) -> None:
        self.failures += 1
        if not self._down:
            # The kind only: the message may name the store's address and user.
            log.warning("the store of the rate limits is down (%s): requests pass uncounted", type(fault).__name__)
        self._down = True
        self._resume = now + self._pause


class _Store(NamedTuple):
    """`faults` are what it raises."""

    storage: Storage
    faults: tuple[type[Exception], ...] = (OSError, TimeoutError)
    pool: Any = None

    async def close(self) -> None:
        if self.pool is not None:
            await self.pool.disconnect()


def _opened(url: Secret | None) -> _Store:
    """Imported here: most servers have no limits."""
    from limits.aio.storage import MemoryStorage, RedisStorage

    if url is None:
        return _Store(MemoryStorage())
    try:
        from redis.exceptions import RedisError
    except ImportError:
        raise ConfigError("'rate_limit_store' needs a client for Redis: pip install 'cw-proxy[redis]'.") from None
    # Both speak the same protocol, and one client is enough.
    address = url.reveal().replace("valkey", "redis", 1)
    pool = _pool(address)
    storage = RedisStorage(f"async+{address}", implementation="redispy", key_prefix="cw-proxy", connection_pool=pool)
    return _Store(storage, (RedisError, OSError, TimeoutError), pool)


def _pool(address: str) -> Any:
    from redis.asyncio import BlockingConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return BlockingConnectionPool.from_url(
        address,
        # The default pool raises beyond its size instead of waiting.
        max_connections=_CONNECTIONS,
        timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        socket_timeout=PATIENCE,
        # A count that was perhaps made must not be made again.
        retry=Retry(NoBackoff(), 0),
    )
