"""What several commands share: reading settings, running a coroutine, printing JSON."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from cw_proxy.config import Config

Result = TypeVar("Result")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def config_option(command: Decorated) -> Decorated:
    path = click.Path(path_type=Path, dir_okay=False)
    return click.option("--config", "config_file", type=path, help="Settings file instead of the usual one.")(command)


def env_file_option(command: Decorated) -> Decorated:
    path = click.Path(path_type=Path, dir_okay=False)
    text = "Read variables from this file too, such as .env; the environment outranks it."
    return click.option("--env-file", type=path, help=text)(command)


def json_option(command: Decorated) -> Decorated:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def environment(env_file: Path | None) -> Mapping[str, str]:
    """The environment, and below it what an `.env` file says. Raises ConfigError.

    Only a file that was named: one that lies in a folder could send the login to a server of its author's. It sets
    nothing for the libraries, which read the real environment.
    """
    return {**_env_file(env_file), **os.environ} if env_file else os.environ


def _env_file(path: Path) -> dict[str, str]:
    from dotenv.parser import parse_stream

    from cw_proxy.errors import ConfigError

    try:
        bindings = [*parse_stream(io.StringIO(path.read_text("utf-8-sig")))]
    except OSError as fault:
        raise ConfigError(f"The file {path} cannot be read: {fault.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"The file {path} is not UTF-8.") from None
    for binding in bindings:
        if binding.error:
            # The line itself may hold a key.
            raise ConfigError(f"Line {binding.original.line} of {path} is not NAME=VALUE.")
    return {binding.key: binding.value for binding in bindings if binding.key and binding.value is not None}


def load(config_file: Path | None = None, environment: Mapping[str, str] = os.environ, /, **flags: Any) -> Config:
    """Settings from all sources. Raises ConfigError."""
    from cw_proxy import config

    return config.load(flags, path=config_file, environment=environment)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs on uvloop where it is installed: it halves the cost of TLS streams."""
    import asyncio

    try:
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)


def print_json(value: object) -> None:
    import json

    click.echo(json.dumps(value, indent=2))


def set_up_logging(debug: bool) -> None:
    """Our own log on stderr. Third-party loggers stay capped, also with --debug: they print secrets."""
    import logging

    from cw_proxy.auth.quiet import cap_third_party_loggers

    level = logging.DEBUG if debug else logging.WARNING
    stamp = "" if _goes_to_the_journal() else "%(asctime)s "
    logging.basicConfig(stream=sys.stderr, level=level, format=stamp + "%(levelname)s %(name)s: %(message)s")
    cap_third_party_loggers()


def _goes_to_the_journal() -> bool:
    """Of stderr: systemd's journal writes the time itself (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
