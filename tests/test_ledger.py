"""The books of a server: who is told, and that everything is written when they are closed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cw_proxy.config import Config
from cw_proxy.history import FILE, sums
from cw_proxy.ledger import Ledger
from cw_proxy.model import Message, Request, TextPart
from cw_proxy.record import Entry


def exchange(ledger: Ledger) -> bool:
    record = ledger.recorder.begin("req_1", "POST")
    if record is None:
        return False
    record.asks(Request(model="auto", messages=(Message("user", (TextPart("Hello"),)),)), stream=False)
    record.planned("a-model", "codewhisperer")
    record.finish(200)
    return True


async def test_nobody_is_told_where_nobody_wants_to_know(tmp_path: Path) -> None:
    async with Ledger(Config(), tmp_path) as ledger:
        assert not exchange(ledger)
        assert (ledger.lost_lines, ledger.lost_rows) == (0, None)
    assert not any(tmp_path.iterdir())


async def test_lines_rows_and_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Entry] = []
    async with Ledger(Config(access_log="json", usage_history=True), tmp_path, told.append) as ledger:
        assert exchange(ledger)
        assert (ledger.lost_lines, ledger.lost_rows) == (0, 0)
    assert json.loads(capfd.readouterr().err)["id"] == "req_1"
    assert [one.name for one in sums(tmp_path / FILE, "model", 0)] == ["a-model"]
    assert [entry.id for entry in told] == ["req_1"]


async def test_lines_for_people(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with Ledger(Config(access_log="text"), tmp_path) as ledger:
        assert exchange(ledger)
    assert " req_1 POST none 200 ok " in capfd.readouterr().err
