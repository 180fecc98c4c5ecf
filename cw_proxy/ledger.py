"""The books on every exchange: a line in the access log, a row in the usage history, and whoever else is told.

In: the settings, other sinks of entries. Out: a Recorder. Refuses to know which server it is for.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cw_proxy.access_log import as_json, as_text
from cw_proxy.config import Config
from cw_proxy.line_writer import LineWriter
from cw_proxy.record import Recorder, Sink

if TYPE_CHECKING:
    from cw_proxy.history import History


class Ledger:
    """`open`, then `close`, which waits a moment for what is not yet written."""

    def __init__(self, config: Config, home: Path, *others: Sink) -> None:
        self._lines = LineWriter()
        self._history = _history(config, home)
        form = {"text": as_text, "json": as_json}.get(config.access_log)
        lines: list[Sink] = [lambda entry: self._lines.write(form(entry))] if form else []
        rows: list[Sink] = [self._history] if self._history else []
        self.recorder = Recorder([*lines, *rows, *others], config.key_names, time=time.time, clock=time.perf_counter)

    @property
    def lost_lines(self) -> int:
        return self._lines.lost

    @property
    def lost_rows(self) -> int | None:
        """None without a history."""
        return self._history.lost if self._history else None

    def open(self) -> None:
        if self._history:
            self._history.start()

    async def close(self) -> None:
        await asyncio.to_thread(self._lines.close)
        if self._history:
            await asyncio.to_thread(self._history.close)

    async def __aenter__(self) -> Ledger:
        self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _history(config: Config, home: Path) -> History | None:
    if not config.usage_history:
        return None
    from cw_proxy.history import FILE, History

    return History(home / FILE, config.usage_days)
