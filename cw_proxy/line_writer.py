"""Lines to stderr, from a thread: whoever reads them, or does not, holds nobody up.

In: lines. Out: the same on stderr, in their order. Refuses to know what they say. A pipe that is full blocks whoever
writes to it; past `_WAITING` lines, more are counted as `lost`.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from queue import Full, Queue

_WAITING = 10_000


class LineWriter:
    """Begins with the first line; `close` waits a moment for what is not yet written."""

    def __init__(self, waiting: int = _WAITING) -> None:
        self._queue: Queue[str | None] = Queue(waiting)
        self._thread = threading.Thread(target=self._work, name="lines", daemon=True)
        self._begun = False
        self.lost = 0

    def write(self, line: str) -> None:
        """Never waits."""
        if not self._begun:
            self._begun = True
            self._thread.start()
        try:
            self._queue.put_nowait(line)
        except Full:
            self.lost += 1

    def close(self, timeout: float = 1.0) -> None:
        """Blocks."""
        if self._thread.is_alive():
            with suppress(Full):
                self._queue.put(None, timeout=timeout)
                self._thread.join(timeout)

    def _work(self) -> None:
        while (line := self._queue.get()) is not None:
            # Closed: an answer is worth more than its line.
            with suppress(OSError, ValueError):
                _put(line + "\n")


def _put(text: str) -> None:
    try:
        number = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):
        # Something stands in for it that is no file.
        sys.stderr.write(text)
        return
    # Not by its buffer: a thread that hangs in there would keep the process from ending.
    data = text.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(number, data) :]
