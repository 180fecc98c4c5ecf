"""Whole answers a second, over HTTP and over NATS with one worker and with two, in rounds that take each in turn.

Two questions: one that is answered at once, where the processors are the limit, all that runs here shares them; and one
that takes a model's time, where a worker's room (its `concurrency`) is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from statistics import median
from typing import Literal

import msgspec

from bench.job import Job
from bench.measure import Figures, Plan, proxy, upstream
from bench.processes import Load, Server, load, nats_server, server, worker

MEASURES = ("at_once_per_second", "with_time_per_second", "request_ms")


class Fleet(msgspec.Struct, frozen=True):
    """What answers together; all of it counts."""

    over: Literal["http", "nats"]
    port: int
    servers: Sequence[Server]

    def cpu(self) -> float:
        return sum(each.cpu() for each in self.servers)


Start = Callable[[int, bool], AbstractContextManager[Fleet]]


def run(plan: Plan, *, uvloop: bool = True) -> dict[str, Figures]:
    """Starts everything, measures, stops everything. Raises BenchError when an answer was not whole."""
    with ExitStack() as stack:
        generator = stack.enter_context(load())
        behind = stack.enter_context(upstream(uvloop=uvloop)).port
        fleets = {name: stack.enter_context(start(behind, uvloop)) for name, start in FLEETS.items()}
        for fleet in fleets.values():
            generator.run(_job(fleet, plan, 1, 0))
        rounds = [_round(fleets, generator, plan) for _ in range(plan.throughput_rounds)]
    return {name: {each: median(taken[name][each] for taken in rounds) for each in MEASURES} for name in fleets}


def _round(fleets: dict[str, Fleet], generator: Load, plan: Plan) -> dict[str, Figures]:
    figures: dict[str, Figures] = defaultdict(dict)
    for name, fleet in fleets.items():
        job, before = _job(fleet, plan, plan.at_once, 0), fleet.cpu()
        number, seconds = job.streams * job.requests, generator.run(job).seconds
        figures[name]["at_once_per_second"] = number / seconds
        figures[name]["request_ms"] = (fleet.cpu() - before) / number * 1000
    for name, fleet in fleets.items():
        job = _job(fleet, plan, plan.with_time, plan.model_time)
        figures[name]["with_time_per_second"] = job.streams * job.requests / generator.run(job).seconds
    return figures


def _job(fleet: Fleet, plan: Plan, requests: int, pause: int) -> Job:
    # With a pause, the answer's one event comes at once, and its end after the pause.
    return Job(fleet.port, "eventstream", plan.together, requests, 1 if pause else 20, pause, over=fleet.over)


# --- who answers ------------------------------------------------------------------------------------------


@contextmanager
def _http(upstream: int, uvloop: bool) -> Iterator[Fleet]:
    arguments, environment = proxy(upstream, uvloop)
    with server([*arguments, "serve", "--port", "0"], environment) as started:
        yield Fleet("http", started.port, [started])


def _nats(workers: int) -> Start:
    @contextmanager
    def start(upstream: int, uvloop: bool) -> Iterator[Fleet]:
        arguments, environment = proxy(upstream, uvloop)
        with ExitStack() as stack:
            between = stack.enter_context(nats_server())
            working = [stack.enter_context(worker([*arguments, "nats"], environment, between)) for _ in range(workers)]
            yield Fleet("nats", between.port, working)

    return start


FLEETS: dict[str, Start] = {"http": _http, "nats": _nats(1), "nats x 2": _nats(2)}
