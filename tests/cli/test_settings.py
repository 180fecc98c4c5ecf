"""What the commands share."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cw_proxy.cli import settings
from cw_proxy.errors import ConfigError


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def test_flags_outrank_the_file_and_none_is_no_flag(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("port = 1111\nhost = 'localhost'\n")
    config = settings.load(file, port=2222, host=None)
    assert (config.port, config.host) == (2222, "localhost")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no settings file"):
        settings.load(tmp_path / "missing.toml")


def test_a_coroutine_is_run_to_its_result() -> None:
    async def answer() -> int:
        return 42

    assert settings.run(answer()) == 42


def test_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    settings.print_json({"é": ["\x1b", None]})
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert json.loads(out) == {"é": ["\x1b", None]}


@pytest.mark.parametrize("debug", [False, True])
def test_libraries_stay_quiet_also_in_debug(debug: bool) -> None:
    """They print tokens and raw headers at their lower levels."""
    logging.getLogger().handlers.clear()
    settings.set_up_logging(debug)
    assert logging.getLogger("cw_proxy.http").isEnabledFor(logging.DEBUG) is debug
    for library in ("botocore.auth", "boto3", "urllib3.connectionpool", "aiohttp.server", "aiohttp.http_parser"):
        assert not logging.getLogger(library).isEnabledFor(logging.INFO), library


@pytest.mark.parametrize("journal", [False, True])
def test_the_journal_writes_the_time_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: bool) -> None:
    logging.getLogger().handlers.clear()
    with (tmp_path / "log").open("w+") as file:
        found = os.fstat(file.fileno())
        monkeypatch.setattr("sys.stderr", file)
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino if journal else 0}")
        settings.set_up_logging(False)
        logging.getLogger("cw_proxy").warning("said")
    line = (tmp_path / "log").read_text()
    assert line.endswith("WARNING cw_proxy: said\n")
    assert line.startswith("WARNING") is journal


# --- a file of variables ---

ENV = """\
# a comment
PORT=1111
export PROMPT_A="two
lines"
PROMPT_B='${HOME} # as it is'
PROMPT_C=plain # a comment
NODE_ENV=production
EMPTY=
BARE
"""


def test_a_file_that_is_named_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("\ufeff" + ENV)
    monkeypatch.delenv("PORT", raising=False)
    found = settings.environment(file)
    texts = [found["PORT"], found["PROMPT_A"], found["PROMPT_B"], found["PROMPT_C"], found["EMPTY"]]
    assert texts == ["1111", "two\nlines", "${HOME} # as it is", "plain", ""]
    assert "BARE" not in found
    assert "PROMPT_A" not in os.environ
    assert settings.load(None, found).port == 1111


def test_the_environment_outranks_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("PORT=1111")
    monkeypatch.setenv("PORT", "2222")
    assert settings.environment(file)["PORT"] == "2222"


def test_a_file_that_is_not_named_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=1111")
    monkeypatch.chdir(tmp_path)
    assert settings.environment(None) is os.environ


WRONG_FILES = [
    (b"A=1\nB='canary\n", "Line 2 of"),
    (b"A=1\n=canary\n", "Line 2 of"),
    (b"A=\xff", "not UTF-8"),
    (None, "cannot be read"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_FILES)
def test_a_file_that_is_wrong_is_not_repeated(tmp_path: Path, text: bytes | None, message: str) -> None:
    file = tmp_path / ".env"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(ConfigError, match=message) as raised:
        settings.environment(file)
    assert "canary" not in raised.value.message
