"""What was asked and what it took, in one SQLite file: metadata only, for so many days.

In: an Entry for each exchange with a model; a question about the past. Out: rows; sums by day, model or key. Refuses to
hold up an answer: a thread writes, and what it cannot write is lost, counted, and said once in the log.

Several servers may write to one file, and anybody of the same user may read it meanwhile (write-ahead log).
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Literal

import msgspec

from cw_proxy.auth.files import make_private_folder
from cw_proxy.errors import BrokenState
from cw_proxy.record import OK, Entry

log = logging.getLogger(__name__)

FILE = "usage.sqlite3"
By = Literal["day", "model", "key"]

MOST_ROWS = 1_000_000
_WAITING = 10_000  # entries that wait for the thread
_BATCH = 500
_LOCKED = 5.0  # seconds to wait for another writer
_PAUSE = 30.0  # seconds in which a file that failed is not tried
_PRUNE = 3600.0  # seconds between two looks for what is too old
_VERSION = 1
_NAMES = ("id", "method", "route", "outcome", "key", "model_asked", "model", "backend", "stream", "finish")
_TOKENS = ("input_tokens", "output_tokens", "cached_tokens")
_NUMBERS = ("time", "status", "queue_ms", "first_ms", "total_ms", *_TOKENS, "credits")
_COLUMNS = (*_NAMES, *_NUMBERS, "tokens_source")
_SCHEMA = f"""
    CREATE TABLE IF NOT EXISTS exchanges (number INTEGER PRIMARY KEY, {", ".join(_COLUMNS)});
    CREATE INDEX IF NOT EXISTS exchanges_time ON exchanges (time);
    PRAGMA user_version = {_VERSION};
"""
_INSERT = f"INSERT INTO exchanges ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608  names of ours
_GROUPS: dict[By, str] = {
    "day": "date(time, 'unixepoch', 'localtime')",
    "model": "coalesce(model, 'default of ' || backend, 'none')",
    "key": "coalesce(key, 'none')",
}


class Sum(msgspec.Struct, frozen=True):
    """Of one day, model or key. `exact`, `derived` and `estimated` count the exchanges whose tokens are known so."""

    name: str
    exchanges: int
    failed: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    credits: float
    exact: int
    derived: int
    estimated: int


class History:
    """A sink of entries: begins with `start`, and `close` waits a moment for what is not yet written."""

    def __init__(self, path: Path, days: int, *, now: Callable[[], float] = time.time, pause: float = _PAUSE) -> None:
        self._path = path
        self._days = days
        self._now = now
        self._pause = pause
        self._queue: Queue[Entry | None] = Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="usage history", daemon=True)
        self._file: sqlite3.Connection | None = None
        self._resume = 0.0
        self._pruned: float | None = None
        self._failing = False
        self.lost = 0

    def start(self) -> None:
        self._thread.start()

    def __call__(self, entry: Entry) -> None:
        """Never waits. Only exchanges with a model are kept."""
        if entry.model_asked is None:
            return
        try:
            self._queue.put_nowait(entry)
        except Full:
            self.lost += 1

    def close(self, timeout: float = 3.0) -> None:
        """Blocks."""
        with suppress(Full):
            self._queue.put(None, timeout=timeout)
        if self._thread.is_alive():
            self._thread.join(timeout)

    # --- in the thread ---

    def _work(self) -> None:
        going_on = True
        while going_on:
            batch, going_on = self._batch()
            if batch:
                self._keep(batch)
        self._close_file()

    def _batch(self) -> tuple[list[Entry], bool]:
        """What there is, at least one; and whether more may come."""
        batch: list[Entry] = []
        entry = self._queue.get()
        while entry is not None and len(batch) < _BATCH:
            batch.append(entry)
            try:
                entry = self._queue.get_nowait()
            except Empty:
                return batch, True
        if entry is not None:
            batch.append(entry)
        return batch, entry is not None

    def _keep(self, batch: Sequence[Entry]) -> None:
        if self._failing and time.monotonic() < self._resume:
            self.lost += len(batch)
            return
        try:
            self._write(batch)
        except (sqlite3.Error, OSError, BrokenState) as fault:
            self._failed(fault, len(batch))
        else:
            self._failing = False

    def _write(self, batch: Sequence[Entry]) -> None:
        if self._file is None:
            self._file = _opened(self._path)
        with self._file as file:
            file.executemany(_INSERT, [[getattr(entry, name) for name in _COLUMNS] for entry in batch])
            if self._pruned is None or self._now() - self._pruned >= _PRUNE:
                self._pruned = self._now()
                file.execute("DELETE FROM exchanges WHERE time < ?", [self._now() - self._days * 86400])
                file.execute(
                    "DELETE FROM exchanges WHERE number <= (SELECT max(number) FROM exchanges) - ?", [MOST_ROWS]
                )

    def _failed(self, fault: Exception, lost: int) -> None:
        self.lost += lost
        if not self._failing:
            log.warning("the usage history %s cannot be written: %s", self._path, fault)
        self._failing = True
        self._resume = time.monotonic() + self._pause
        self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            with suppress(sqlite3.Error):
                self._file.close()
            self._file = None


def _opened(path: Path) -> sqlite3.Connection:
    make_private_folder(path.parent)
    # SQLite gives its other files the mode of this one.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    os.fchmod(descriptor, 0o600)
    os.close(descriptor)
    file = sqlite3.connect(path, timeout=_LOCKED)
    try:
        _write_ahead(file)
        # After a power cut the last moments may be missing; the file is whole.
        file.execute("PRAGMA synchronous = NORMAL")
        file.executescript(_SCHEMA)
    except sqlite3.Error:
        file.close()
        raise
    return file


def _write_ahead(file: sqlite3.Connection) -> None:
    """The change of mode does not wait for another that is just making it, whatever the time limit."""
    until = time.monotonic() + _LOCKED
    while True:
        try:
            file.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= until:
                raise
            time.sleep(0.01)
        else:
            return


# --- reading ----------------------------------------------------------------------------------------------


def sums(path: Path, by: By, since: float) -> list[Sum]:
    """Since epoch seconds `since`; days in order, others by how much they took. Raises BrokenState."""
    if not path.exists():
        raise BrokenState(f"There is no usage history {path}. The setting usage_history makes the server keep one.")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_LOCKED)) as file:
            # There is none yet while another process makes the file.
            made = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'exchanges'").fetchone()
            rows = file.execute(_question(by), [OK, since]).fetchall() if made else []
    except sqlite3.Error as fault:
        raise BrokenState(f"The usage history {path} cannot be read: {fault}.") from None
    return [Sum(*row) for row in rows]


def _question(by: By) -> str:
    totals = ", ".join(f"coalesce(sum({name}), 0)" for name in (*_TOKENS, "credits"))
    sources = ", ".join(f"coalesce(sum(tokens_source = '{source}'), 0)" for source in ("exact", "derived", "estimated"))
    order = "name" if by == "day" else "sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) DESC, name"
    return (
        f"SELECT {_GROUPS[by]} AS name, count(*), sum(outcome <> ?), {totals}, {sources} "  # noqa: S608  words of ours
        f"FROM exchanges WHERE time >= ? GROUP BY name ORDER BY {order}"
    )
