"""What the server allows its clients, in bytes, seconds, counts, and trust; config.py says what each bounds."""

from __future__ import annotations

import msgspec

from cw_proxy.forwarded import Network


class Timing(msgspec.Struct, frozen=True):
    """Seconds: silence before a ping, and a write's patience; and the loop's time by which an answer must have ended,
    if there is one."""

    ping: float
    write: float
    deadline: float | None = None


class SocketBounds(msgspec.Struct, frozen=True):
    number: int = 1000
    heartbeat: float = 25.0
    age: float = 3600.0


class Bounds(msgspec.Struct, frozen=True):
    body_bytes: int
    read_timeout: float
    streams: int
    timing: Timing
    sockets: SocketBounds = SocketBounds()
    streams_per_client: int = 0
    trusted: tuple[Network, ...] = ()
    answer: float = 0.0
