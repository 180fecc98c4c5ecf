"""`cw-proxy usage`: what was asked and what it took, from the usage history."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from cw_proxy.cli import settings

if TYPE_CHECKING:
    from cw_proxy.history import By, Sum

_AGO = re.compile(r"([1-9]\d{0,4})([dh])")
_SECONDS = {"d": 86400, "h": 3600}


@click.command()
@click.option("--by", type=click.Choice(["day", "model", "key"]), default="day", help="One line for each of these.")
@click.option(
    "--since", default="30d", metavar="TIME", help="A day, as in 2026-11-02, or how long ago: 7d, 12h.  [default: 30d]"
)
@settings.json_option
def usage(by: By, since: str, as_json: bool) -> None:
    """Sum up exchanges and tokens that the server has answered.

    The server keeps them with `usage_history = true`. Days are those of this machine's time zone.
    """
    import msgspec

    from cw_proxy.config import home
    from cw_proxy.history import FILE, sums

    found = sums(home() / FILE, by, _beginning(since))
    if as_json:
        settings.print_json(msgspec.to_builtins(found))
    else:
        _show(by, found)


def _beginning(since: str) -> float:
    """Epoch seconds."""
    import time
    from datetime import datetime

    if ago := _AGO.fullmatch(since):
        return time.time() - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.strptime(since, "%Y-%m-%d").timestamp()
    except (ValueError, OverflowError):
        raise click.BadParameter(
            "neither a day (2026-11-02) nor how long ago (7d, 12h)", param_hint="--since"
        ) from None


def _show(by: str, found: list[Sum]) -> None:
    from rich.console import Console
    from rich.table import Table

    from cw_proxy.cli.chat import without_escapes

    table = Table(by, "exchanges", "failed", "input", "output", "cached", "credits", "known", box=None)
    for one in found:
        numbers = (one.exchanges, one.failed, one.input_tokens, one.output_tokens, one.cached_tokens)
        table.add_row(
            without_escapes(one.name).replace("\n", " "),
            *map(str, numbers),
            f"{one.credits:.2f}",
            _known(one),
            style="none",
        )
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 200  # a pipe has no width, and what reads it wants whole lines
    console.print(table)


def _known(one: Sum) -> str:
    counts = {"exact": one.exact, "derived": one.derived, "estimated": one.estimated}
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number)
