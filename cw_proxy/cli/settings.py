"""What several commands share: reading settings, running a coroutine, printing JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
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


def json_option(command: Decorated) -> Decorated:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def load(config_file: Path | None = None, **flags: Any) -> Config:
    """Settings from all sources. Raises ConfigError."""
    from cw_proxy import config

    return config.load(flags, path=config_file)


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
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    cap_third_party_loggers()
