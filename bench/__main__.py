"""`python -m bench`: measures and prints; exit 1 when an answer was not whole."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from bench import throughput
from bench.measure import QUICK, TARGETS, TINY, Figures, Plan, run
from bench.processes import BenchError
from bench.report import ratios, report

_PLANS = {"full": Plan(), "quick": QUICK, "tiny": TINY}


@click.command()
@click.option("--quick", "plan", flag_value="quick", help="Fewer rounds: under 20 seconds, more noise.")
@click.option("--tiny", "plan", flag_value="tiny", help="A few events only: does it work at all?")
@click.option("--uvloop/--no-uvloop", default=True, help="Run all servers on uvloop, where installed, or none.")
@click.option("--only", multiple=True, type=click.Choice([*TARGETS, "throughput"]), help="Only this (repeatable).")
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here as well.")
def main(plan: str | None, uvloop: bool, only: tuple[str, ...], file: Path | None) -> None:
    """CPU, latency, memory and throughput of the proxy, beside others that do the same, in one run."""
    started = time.perf_counter()
    try:
        figures = _measured(_PLANS[plan or "full"], uvloop, only)
    except BenchError as fault:
        raise click.ClickException(f"void: {fault}") from None
    click.echo(report(figures))
    click.echo(f"\nEvery answer was whole. {time.perf_counter() - started:.0f} s.")
    if file is not None:
        file.write_text(json.dumps({"figures": figures, "ratios": ratios(figures)}, indent=2) + "\n")


def _measured(plan: Plan, uvloop: bool, only: tuple[str, ...]) -> dict[str, Figures]:
    figures: dict[str, Figures] = {}
    if targets := [name for name in only or TARGETS if name != "throughput"]:
        figures |= run(plan, uvloop=uvloop, only=targets)
    if not only or "throughput" in only:
        figures |= throughput.run(plan, uvloop=uvloop)
    return figures


main()
