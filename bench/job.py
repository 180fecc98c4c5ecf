"""What the load generator is asked to do, and what it tells; values only."""

from __future__ import annotations

from typing import Literal

import msgspec


class Job(msgspec.Struct):
    """`hold` waits for the first event of every stream only, then for a line on stdin, and breaks them off. `over` says
    what is asked for: streams over HTTP, or whole answers over HTTP or NATS."""

    port: int
    language: str
    streams: int
    requests: int
    events: int
    pause: int
    hold: bool = False
    limit: float = 60.0
    over: Literal["streams", "http", "nats"] = "streams"


class Result(msgspec.Struct):
    complete: int
    broken: list[str]
    first_byte_ms: list[float]
    seconds: float = 0.0
