"""One run of a piece of work at a time, however many ask for it meanwhile.

A cancelled asker leaves; the work goes on for the others, and for the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Flight(Generic[T]):
    def __init__(self) -> None:
        self._task: asyncio.Task[T] | None = None

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """The run under way, or a new one. Its task is held here: the loop itself holds tasks weakly."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(work())
            self._task.add_done_callback(_retrieve)
        return self._task

    async def landed(self) -> None:
        """Waits for the run under way, if there is one, and not for what becomes of it."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def join(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await asyncio.shield(self.start(work))


def _retrieve(task: asyncio.Task[Any]) -> None:
    # Every asker may have left; an exception nobody fetched would be printed when the task is collected.
    if not task.cancelled():
        task.exception()
