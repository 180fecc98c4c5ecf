"""A request that must be answered by a time, since what it is answered in is stopped then.

In: the loop's time. Out: a block that ends with an error, not in the middle of what it does. Only a connection that was
handed over with a deadline has one (transports/lambda_in).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from aiohttp import web

from cw_proxy.errors import TimeIsUp


def deadline_of(request: web.BaseRequest) -> float | None:
    """In the loop's time; None where nothing hurries."""
    deadline: float | None = getattr(request.protocol, "deadline", None)
    return deadline


def ended_by(when: float | None) -> AbstractAsyncContextManager[None]:
    """Raises TimeIsUp for a block that is not done by then. Most requests come by here, and hurry nobody."""
    return nullcontext() if when is None else _ended(when)


@asynccontextmanager
async def _ended(when: float) -> AsyncIterator[None]:
    timer = asyncio.timeout_at(when)
    try:
        async with timer:
            yield
    except TimeoutError:
        # A time limit inside the block is none of ours.
        if not timer.expired():
            raise
        raise TimeIsUp("The function's time is up before the answer is complete; raise its timeout.") from None
