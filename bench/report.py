"""Figures as a table, and as the ratios that hold on other machines too."""

from __future__ import annotations

from bench import measure, throughput
from bench.measure import Figures

_LABELS = {
    "burst_us_per_event": "burst: CPU µs per event",
    "paced_us_per_event": "paced: CPU µs per event",
    "added_first_byte_ms": "added first byte, p50 ms",
    "request_ms": "CPU ms per request",
    "start_rss_mb": "memory after start, MB",
    "idle_stream_kb": "memory per idle stream, kB",
    "at_once_per_second": "answered at once, per second",
    "with_time_per_second": "with model time, per second",
}
# Measure, above, below.
_RATIOS = (
    ("burst_us_per_event", "naive", "cw-proxy"),
    ("paced_us_per_event", "naive", "cw-proxy"),
    ("paced_us_per_event", "cw-proxy", "relay"),
    ("request_ms", "naive", "cw-proxy"),
    ("at_once_per_second", "nats", "http"),
    ("at_once_per_second", "nats x 2", "nats"),
    ("with_time_per_second", "nats x 2", "nats"),
    ("request_ms", "nats", "http"),
)


def report(figures: dict[str, Figures]) -> str:
    """Streams and whole answers are measured with different servers: a table each."""
    tables = [_table(figures, names) for names in (measure.MEASURES, throughput.MEASURES)]
    compared = [f"{above} / {below}, {_LABELS[what]}: {ratio:.1f}" for (what, above, below), ratio in _each(figures)]
    return "\n\n".join([*filter(None, tables), "\n".join(compared)])


def _table(figures: dict[str, Figures], measures: tuple[str, ...]) -> str:
    shown = {name: taken for name, taken in figures.items() if set(taken) == set(measures)}
    lines = ["".join([" " * 28, *(f"{name:>12}" for name in shown)])]
    lines += [
        "".join([f"{_LABELS[what]:<28}", *(f"{taken[what]:>12.2f}" for taken in shown.values())]) for what in measures
    ]
    return "\n".join(lines) if shown else ""


def ratios(figures: dict[str, Figures]) -> dict[str, float]:
    return {f"{above}/{below} {what}": round(ratio, 2) for (what, above, below), ratio in _each(figures)}


def _each(figures: dict[str, Figures]) -> list[tuple[tuple[str, str, str], float]]:
    """A tiny run may measure nothing at all: such a ratio is left out."""
    return [
        ((what, above, below), figures[above][what] / figures[below][what])
        for what, above, below in _RATIOS
        if above in figures and below in figures and figures[below][what] > 0
    ]
