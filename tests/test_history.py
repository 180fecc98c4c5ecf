"""The usage history: what is kept and summed up, that it stays small and private, and that it stops nobody."""

from __future__ import annotations

import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cw_proxy import history
from cw_proxy.errors import BrokenState
from cw_proxy.history import History, Sum, sums
from cw_proxy.record import Entry

NOON = datetime(2026, 11, 2, 12).timestamp()
DAY = 86400


def entry(at: float = NOON, **changes: Any) -> Entry:
    usual = {"method": "POST", "route": "/v1/chat/completions", "status": 200, "outcome": "ok", "backend": "openai"}
    numbers = {"input_tokens": 10, "output_tokens": 3, "cached_tokens": 1, "tokens_source": "exact", "credits": 0.5}
    return Entry(**{"id": "req_1", "time": at, "model_asked": "auto", **usual, **numbers, **changes})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / history.FILE


@contextmanager
def keeping(path: Path, days: int = 90, **settings: Any) -> Iterator[History]:
    kept = History(path, days, now=lambda: NOON, **settings)
    kept.start()
    try:
        yield kept
    finally:
        kept.close()


def keep(path: Path, *entries: Entry, **settings: Any) -> History:
    with keeping(path, **settings) as kept:
        for one in entries:
            kept(one)
    return kept


def rows(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute("SELECT * FROM exchanges").fetchall()


def summed(path: Path) -> int:
    return sum(one.exchanges for one in sums(path, "day", 0))


ENTRIES = [
    entry(NOON - DAY, model="a", key="alice"),
    entry(NOON, model="a", key="bob", tokens_source="derived", input_tokens=1000),
    entry(NOON, model=None, key="alice", outcome="client_gone", credits=None),
    entry(NOON, key=None, backend=None, outcome="model_not_found", input_tokens=None, output_tokens=None,
          cached_tokens=None, credits=None, tokens_source=None),
]  # fmt: skip
SUMS: dict[str, list[Sum]] = {
    "day": [Sum("2026-11-01", 1, 0, 10, 3, 1, 0.5, 1, 0, 0), Sum("2026-11-02", 3, 2, 1010, 6, 2, 0.5, 1, 1, 0)],
    "model": [
        Sum("a", 2, 0, 1010, 6, 2, 1.0, 1, 1, 0),
        Sum("default of openai", 1, 1, 10, 3, 1, 0, 1, 0, 0),
        Sum("none", 1, 1, 0, 0, 0, 0, 0, 0, 0),
    ],
    "key": [
        Sum("bob", 1, 0, 1000, 3, 1, 0.5, 0, 1, 0),
        Sum("alice", 2, 1, 20, 6, 2, 0.5, 2, 0, 0),
        Sum("none", 1, 1, 0, 0, 0, 0, 0, 0, 0),
    ],
}


@pytest.mark.parametrize("by", ["day", "model", "key"])
def test_sums(path: Path, by: Any) -> None:
    assert keep(path, *ENTRIES).lost == 0
    assert sums(path, by, 0) == SUMS[by]


def test_only_what_came_since_then(path: Path) -> None:
    keep(path, *ENTRIES)
    assert [one.name for one in sums(path, "day", NOON)] == ["2026-11-02"]
    assert sums(path, "day", NOON + 1) == []


def test_only_questions_to_models_are_kept(path: Path) -> None:
    keep(path, entry(model_asked=None))
    assert not path.exists()


def test_what_is_kept_is_the_entry(path: Path) -> None:
    one = entry(model="a", key="alice", stream=True, finish="stop", queue_ms=1.5, first_ms=2.5, total_ms=3.5)
    keep(path, one)
    with closing(sqlite3.connect(path)) as file:
        file.row_factory = sqlite3.Row
        [row] = file.execute("SELECT * FROM exchanges").fetchall()
    # How a program calls itself is for the log.
    wanted = {name: value for name, value in msgspec.structs.asdict(one).items() if name != "agent"}
    assert {**dict(row), "stream": bool(row["stream"])} == {"number": 1, **wanted}


def test_it_is_the_users_alone(path: Path) -> None:
    with keeping(path) as kept:
        kept(entry())
        wait_for(lambda: path.exists() and summed(path))
        files = list(path.parent.iterdir())
        assert {one.name for one in files} >= {history.FILE, history.FILE + "-wal"}
        assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_can_be_read_while_it_is_written(path: Path) -> None:
    with keeping(path) as kept:
        for number in (100, 200, 300):
            for _ in range(100):
                kept(entry())
            wait_for(lambda wanted=number: path.exists() and summed(path) == wanted)


def test_two_servers_share_a_file(path: Path) -> None:
    with keeping(path) as one, keeping(path) as other:
        for _ in range(300):
            one(entry())
            other(entry())
    assert (len(rows(path)), one.lost, other.lost) == (600, 0, 0)


def test_what_is_old_goes(path: Path) -> None:
    keep(path, entry(NOON - 8 * DAY), entry(NOON - 6 * DAY), entry(), days=7)
    assert [one.name for one in sums(path, "day", 0)] == ["2026-10-27", "2026-11-02"]


def test_there_are_only_so_many(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(path, *(entry() for _ in range(20)))
    monkeypatch.setattr(history, "MOST_ROWS", 5)
    keep(path, entry(id="last"))
    kept = rows(path)
    assert len(kept) == 5
    assert kept[-1][1] == "last"


# --- what goes wrong --------------------------------------------------------------------------------------


def wait_for(condition: Any) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 30
        time.sleep(0.005)


def test_a_broken_file_is_said_once_and_stops_nobody(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"this is no database" * 100)
    with keeping(path) as kept:
        for _ in range(3):
            lost = kept.lost
            kept(entry())
            wait_for(lambda before=lost: kept.lost > before)
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]
    with pytest.raises(BrokenState, match="cannot be read"):
        sums(path, "day", 0)


def test_it_goes_on_once_the_file_is_mended(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.mkdir()
    with keeping(path, pause=0.0) as kept:
        kept(entry())
        wait_for(lambda: kept.lost == 1)
        path.rmdir()
        kept(entry())
        wait_for(lambda: path.is_file() and summed(path))


def test_a_locked_file_holds_nobody_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(path, entry())
    monkeypatch.setattr(history, "_LOCKED", 0.05)
    monkeypatch.setattr(history, "_WAITING", 10)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("BEGIN EXCLUSIVE")
        with keeping(path, pause=0.0) as kept:
            for _ in range(1000):
                kept(entry())
            wait_for(lambda: kept.lost >= 900)
            file.execute("ROLLBACK")
            wait_for(lambda: kept(entry()) is None and len(rows(path)) > 1)


def test_there_may_be_none(path: Path) -> None:
    with pytest.raises(BrokenState, match="usage_history"):
        sums(path, "day", 0)
