"""Figures as a table, and as the ratios that hold on other machines too."""

from __future__ import annotations

from bench.measure import MEASURES, Figures

_LABELS = {
    "burst_us_per_event": "burst: CPU µs per event",
    "paced_us_per_event": "paced: CPU µs per event",
    "added_first_byte_ms": "added first byte, p50 ms",
    "request_ms": "CPU ms per request",
    "start_rss_mb": "memory after start, MB",
    "idle_stream_kb": "memory per idle stream, kB",
}
# Measure, above, below.
_RATIOS = (
    ("burst_us_per_event", "naive", "cw-proxy"),
    ("paced_us_per_event", "naive", "cw-proxy"),
    ("paced_us_per_event", "cw-proxy", "relay"),
    ("request_ms", "naive", "cw-proxy"),
)


def table(figures: dict[str, Figures]) -> str:
    lines = ["".join([" " * 28, *(f"{name:>12}" for name in figures)])]
    lines += [
        "".join([f"{_LABELS[measure]:<28}", *(f"{taken[measure]:>12.2f}" for taken in figures.values())])
        for measure in MEASURES
    ]
    lines += [""]
    lines += [
        f"{above} / {below}, {_LABELS[measure]}: {ratio:.1f}" for (measure, above, below), ratio in _each(figures)
    ]
    return "\n".join(lines)


def ratios(figures: dict[str, Figures]) -> dict[str, float]:
    return {f"{above}/{below} {measure}": round(ratio, 2) for (measure, above, below), ratio in _each(figures)}


def _each(figures: dict[str, Figures]) -> list[tuple[tuple[str, str, str], float]]:
    """A tiny run may measure nothing at all: such a ratio is left out."""
    return [
        ((measure, above, below), figures[above][measure] / figures[below][measure])
        for measure, above, below in _RATIOS
        if above in figures and below in figures and figures[below][measure] > 0
    ]
