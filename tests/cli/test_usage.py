"""`cw-proxy usage`: from what a real server has kept, while it runs."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from servers import ask, post, program, run, serving, wire

PONG = "Reply with exactly the token PONG"


def summed(home: Path, *arguments: str) -> list[dict[str, Any]]:
    done = run("usage", "--json", *arguments, environment={"CW_PROXY_HOME": str(home)})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until_summed(home: Path, number: int) -> None:
    began = time.monotonic()
    while not (home / "usage.sqlite3").exists() or sum(one["exchanges"] for one in summed(home)) < number:
        assert time.monotonic() - began < 30


async def vanish(url: str) -> None:
    async with wire(url) as connection:
        await connection.send(post("Play the script hang", stream=True))
        await connection.until(b"Then")
        connection.vanish()


def test_what_a_server_has_answered(tmp_path: Path) -> None:
    settings = {"CW_PROXY_USAGE_HISTORY": "true", "CW_PROXY_HOME": str(tmp_path)}
    with program("emulator") as emulator, serving(emulator.first_line(), **settings) as (url, _):
        told = asyncio.run(ask(url, post(PONG, headers={"x-api-key": "one"}))).json["usage"]
        asyncio.run(ask(url, post(PONG, stream=True, model="claude-haiku-4.5", headers={"x-api-key": "two"})))
        asyncio.run(vanish(url))
        until_summed(tmp_path, 3)
        [today] = summed(tmp_path)
        models = {one["name"]: one for one in summed(tmp_path, "--by", "model", "--since", "1h")}
        keys = [one["name"] for one in summed(tmp_path, "--by", "key", "--since", "1d")]
        table = run("usage", environment={"CW_PROXY_HOME": str(tmp_path)})
    assert (today["exchanges"], today["failed"]) == (3, 1)
    assert today["name"] == datetime.now().strftime("%Y-%m-%d")
    assert models["claude-haiku-4.5"]["exchanges"] == 1
    assert models["default of codewhisperer"]["input_tokens"] >= told["prompt_tokens"]
    assert len(keys) == 3
    assert table.stdout.splitlines()[1].split()[:3] == [today["name"], "3", "1"]
    kept = b"".join(one.read_bytes() for one in tmp_path.iterdir() if one.is_file())
    assert b"PONG" not in kept
    assert summed(tmp_path, "--since", datetime.now().strftime("%Y-%m-%d")) == [today], "the server has stopped"


def test_without_a_history(tmp_path: Path) -> None:
    done = run("usage", environment={"CW_PROXY_HOME": str(tmp_path)})
    assert done.returncode == 3
    assert "usage_history" in done.stderr


@pytest.mark.parametrize("since", ["yesterday", "0d", "7w", "2026-13-01", ""])
def test_a_time_that_is_none(since: str) -> None:
    done = run("usage", "--since", since)
    assert done.returncode == 2
    assert "7d" in done.stderr
