"""`python -m bench`: measures and prints; exit 1 when an answer was not whole."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from bench.measure import QUICK, TARGETS, TINY, Plan, run
from bench.processes import BenchError
from bench.report import ratios, table

_PLANS = {"full": Plan(), "quick": QUICK, "tiny": TINY}


@click.command()
@click.option("--quick", "plan", flag_value="quick", help="Fewer rounds: under 20 seconds, more noise.")
@click.option("--tiny", "plan", flag_value="tiny", help="A few events only: does it work at all?")
@click.option("--uvloop/--no-uvloop", default=True, help="Run all servers on uvloop, where installed, or none.")
@click.option("--only", multiple=True, type=click.Choice(list(TARGETS)), help="Measure only this one (repeatable).")
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here as well.")
def main(plan: str | None, uvloop: bool, only: tuple[str, ...], file: Path | None) -> None:
    """CPU, latency and memory of the proxy, beside a naive translator and a bare byte relay, in one run."""
    started = time.perf_counter()
    try:
        figures = run(_PLANS[plan or "full"], uvloop=uvloop, only=only)
    except BenchError as fault:
        raise click.ClickException(f"void: {fault}") from None
    click.echo(table(figures))
    click.echo(f"\nEvery answer was whole. {time.perf_counter() - started:.0f} s.")
    if file is not None:
        file.write_text(json.dumps({"figures": figures, "ratios": ratios(figures)}, indent=2) + "\n")


main()
