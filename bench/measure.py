"""The scenarios, in rounds that take every target in turn: A B C A B C, so that a noisy moment hits all of them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median

import msgspec

from bench.job import Job
from bench.processes import Load, Server, load, server

_WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; "


class Plan(msgspec.Struct, frozen=True):
    """How much of each; `waves` is requests on each connection of a burst. Milliseconds of `pause`."""

    rounds: int = 5
    burst_streams: int = 64
    burst_events: int = 200
    waves: int = 3
    paced_streams: int = 128
    paced_events: int = 50
    pause: int = 40
    singles: int = 60
    requests: int = 60
    connections: int = 4
    idle_streams: int = 200
    idle_seconds: float = 0.5
    # Whole answers: how many at the same time, how many of those one after the other, milliseconds of a model's time.
    throughput_rounds: int = 3
    together: int = 128
    at_once: int = 20
    with_time: int = 6
    model_time: int = 200


QUICK = Plan(
    rounds=2,
    waves=2,
    paced_streams=64,
    paced_events=20,
    pause=40,
    singles=30,
    idle_streams=100,
    throughput_rounds=1,
    at_once=8,
    with_time=3,
)
TINY = Plan(
    rounds=1,
    burst_streams=2,
    burst_events=20,
    waves=1,
    paced_streams=2,
    paced_events=3,
    pause=10,
    singles=2,
    requests=2,
    connections=1,
    idle_streams=2,
    idle_seconds=0.05,
    throughput_rounds=1,
    together=4,
    at_once=2,
    with_time=1,
    model_time=10,
)

# What is measured; the unit stands in the name. All but memory are medians over the rounds.
MEASURES = (
    "burst_us_per_event",
    "paced_us_per_event",
    "added_first_byte_ms",
    "request_ms",
    "start_rss_mb",
    "idle_stream_kb",
)
Figures = dict[str, float]


class Target(msgspec.Struct, frozen=True):
    """A server under test. The relay understands nothing, so what it passes on is the client's language already."""

    name: str
    server: Server
    language: str


def run(plan: Plan, *, uvloop: bool = True, only: Sequence[str] = ()) -> dict[str, Figures]:
    """Starts everything, measures, stops everything. Raises BenchError when an answer was not whole."""
    with ExitStack() as stack:
        generator = stack.enter_context(load())
        behind = stack.enter_context(upstream(uvloop=uvloop)).port
        targets = [stack.enter_context(_target(name, behind, uvloop)) for name in only or TARGETS]
        once = {target.name: _memory(target, generator, plan) for target in targets}
        idle = {target.name: _idle_rate(target, plan) for target in targets}
        rounds = [_round(targets, behind, generator, plan, idle) for _ in range(plan.rounds)]
    figures: dict[str, Figures] = {}
    for target in targets:
        mine = [taken[target.name] for taken in rounds]
        figures[target.name] = {name: median(each[name] for each in mine) for name in mine[0]} | once[target.name]
    return figures


def _round(
    targets: list[Target], behind: int, generator: Load, plan: Plan, idle: Mapping[str, float]
) -> dict[str, Figures]:
    figures: dict[str, Figures] = defaultdict(dict)

    def cost(target: Target, job: Job) -> float:
        return _cpu(target, lambda: generator.run(job), idle[target.name]) / (job.streams * job.requests * job.events)

    for target in targets:
        job = _job(target, plan.burst_streams, plan.waves, plan.burst_events, 0)
        figures[target.name]["burst_us_per_event"] = cost(target, job) * 1e6
    for target in targets:
        job = _job(target, plan.paced_streams, 1, plan.paced_events, plan.pause)
        figures[target.name]["paced_us_per_event"] = cost(target, job) * 1e6
    for target in targets:
        job = _job(target, plan.connections, plan.requests, 1, 0)
        figures[target.name]["request_ms"] = cost(target, job) * 1e3
    direct = _first_byte(generator, Job(behind, "sse", 1, plan.singles, 1, 0))
    for target in targets:
        through = _first_byte(generator, _job(target, 1, plan.singles, 1, 0))
        figures[target.name]["added_first_byte_ms"] = through - direct
    return figures


def _first_byte(generator: Load, job: Job) -> float:
    return median(generator.run(job).first_byte_ms)


def _cpu(target: Target, work: Callable[[], object], idle: float) -> float:
    before, started = target.server.cpu(), time.perf_counter()
    work()
    return target.server.cpu() - before - idle * (time.perf_counter() - started)


def _idle_rate(target: Target, plan: Plan) -> float:
    """Seconds of CPU a second when there is nothing to do."""
    before, started = target.server.cpu(), time.perf_counter()
    time.sleep(plan.idle_seconds)
    return (target.server.cpu() - before) / (time.perf_counter() - started)


def _memory(target: Target, generator: Load, plan: Plan) -> Figures:
    """Right after the start, and what open streams in which nothing moves add; the first streams warm up."""
    start = target.server.rss()
    generator.run(_job(target, plan.connections, plan.requests, 1, 0))
    before = target.server.rss()
    with generator.holding(_job(target, plan.idle_streams, 1, 2, 600_000, hold=True)):
        idle = (target.server.rss() - before) / plan.idle_streams
    return {"start_rss_mb": start / 1e6, "idle_stream_kb": idle / 1e3}


def _job(target: Target, streams: int, requests: int, events: int, pause: int, hold: bool = False) -> Job:
    return Job(target.server.port, target.language, streams, requests, events, pause, hold)


# --- the targets ------------------------------------------------------------------------------------------


@contextmanager
def upstream(*, uvloop: bool) -> Iterator[Server]:
    with server(_module("upstream", 0, uvloop=uvloop)) as started:
        yield started


@contextmanager
def _target(name: str, upstream: int, uvloop: bool) -> Iterator[Target]:
    arguments, environment, language = TARGETS[name](upstream, uvloop)
    with server(arguments, environment) as started:
        yield Target(name, started, language)


Start = tuple[list[str], dict[str, str], str]


def proxy(upstream: int, uvloop: bool) -> tuple[list[str], dict[str, str]]:
    """How Python is to run the `cw-proxy` command, and the environment of it."""
    code = "from cw_proxy.cli import main; main()"
    environment = {"CW_PROXY_STREAMING_URL": f"http://127.0.0.1:{upstream}", "CW_PROXY_ACCESS_TOKEN": "bench"}
    return ["-c", code if uvloop else _WITHOUT_UVLOOP + code], environment


def _proxy(upstream: int, uvloop: bool) -> Start:
    arguments, environment = proxy(upstream, uvloop)
    return [*arguments, "serve", "--port", "0"], environment, "eventstream"


def _module(name: str, upstream: int, *, uvloop: bool) -> list[str]:
    if uvloop:
        return ["-m", f"bench.{name}", str(upstream)]
    code = f"import runpy; runpy.run_module('bench.{name}', run_name='__main__')"
    return ["-c", _WITHOUT_UVLOOP + code, str(upstream)]


TARGETS: dict[str, Callable[[int, bool], Start]] = {
    "cw-proxy": _proxy,
    "naive": lambda upstream, uvloop: (_module("naive", upstream, uvloop=uvloop), {}, "eventstream"),
    "relay": lambda upstream, uvloop: (_module("relay", upstream, uvloop=uvloop), {}, "sse"),
}
