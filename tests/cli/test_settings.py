"""What the commands share."""

from __future__ import annotations

import json
import logging
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
