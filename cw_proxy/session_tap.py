"""What a Responses WebSocket says of itself: its model, the tokens it used, what is under way and what failed.

In: every text frame of both directions, whole. Out: values to read at any time. Refuses to know who sends the frames,
and never fails: a frame that is no JSON, or another JSON than expected, says nothing.

Few frames matter, so a frame is parsed only when it holds one of their names. A socket may stay open for days:
what is kept of it has a bound.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from cw_proxy.wire.lenient import UNREADABLE

RESPONSES_KEPT = 256
LANES_KEPT = 256
_MODEL_LENGTH = 200
_LARGEST_COUNT = 2**53  # what every JSON reader still counts exactly

_ENDS = {"response.completed": True, "response.incomplete": True, "response.failed": False, "error": False}
_OF_CLIENTS = (b"response.create",)
_OF_UPSTREAMS = (b"response.completed", b"response.incomplete", b"response.failed", b'"error"')
# JSON may write any letter as its number; nobody does that to these names, but it would be the same frame.
_HIDDEN_LETTER = re.compile(rb"\\u00[2-7]")


class TokenUsage(msgspec.Struct, frozen=True):
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)

    def __sub__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(self.input_tokens - other.input_tokens, self.output_tokens - other.output_tokens)


class _Frame(msgspec.Struct):
    type: Any = None
    model: Any = None
    stream_id: Any = None
    response: msgspec.Raw = msgspec.Raw(b"null")


class _Response(msgspec.Struct):
    id: Any = None
    usage: Any = None


_FRAME = msgspec.json.Decoder(_Frame)
_RESPONSE = msgspec.json.Decoder(_Response)


class SessionTap:
    """One WebSocket's. `model` is the first that was asked for, `usage` the sum over all its answers."""

    def __init__(self) -> None:
        self.model = ""
        self.usage = TokenUsage()
        self.failures = 0
        self._usages: dict[str, TokenUsage] = {}  # of the last responses, by id: a repeated end counts once
        self._under_way: dict[str, int] = {}  # turns by lane

    @property
    def result(self) -> Literal["ok", "failed"]:
        return "failed" if self.failures else "ok"

    @property
    def idle(self) -> bool:
        """Whether every question that was asked has had its answer."""
        return not self._under_way

    def usage_of(self, response_id: str) -> TokenUsage | None:
        return self._usages.get(response_id)

    def feed_client(self, frame: bytes) -> None:
        read = _read(frame, _OF_CLIENTS)
        if read is None or read.type != "response.create":
            return
        if not self.model and isinstance(read.model, str):
            self.model = read.model[:_MODEL_LENGTH]
        lane = _lane(read)
        if lane in self._under_way or len(self._under_way) < LANES_KEPT:
            self._under_way[lane] = self._under_way.get(lane, 0) + 1

    def feed_upstream(self, frame: bytes) -> None:
        read = _read(frame, _OF_UPSTREAMS)
        succeeded = _ENDS.get(read.type) if read is not None and isinstance(read.type, str) else None
        if read is None or succeeded is None:
            return
        self.failures += not succeeded
        self._ended(_lane(read))
        self._count(read.response)

    def _ended(self, lane: str) -> None:
        turns = self._under_way.pop(lane, 0)
        if turns > 1:
            self._under_way[lane] = turns - 1

    def _count(self, raw: msgspec.Raw) -> None:
        try:
            response = _RESPONSE.decode(raw)
        except UNREADABLE:
            return
        usage = _usage(response.usage)
        if isinstance(response.id, str):
            self.usage -= self._usages.pop(response.id, TokenUsage())
            self._usages[response.id] = usage
            if len(self._usages) > RESPONSES_KEPT:
                del self._usages[next(iter(self._usages))]
        self.usage += usage


def _read(frame: bytes, names: tuple[bytes, ...]) -> _Frame | None:
    if not any(name in frame for name in names) and not (b"\\u00" in frame and _HIDDEN_LETTER.search(frame)):
        return None
    try:
        return _FRAME.decode(frame)
    except UNREADABLE:
        return None


def _lane(frame: _Frame) -> str:
    return frame.stream_id if isinstance(frame.stream_id, str) else ""


def _usage(value: object) -> TokenUsage:
    if not isinstance(value, dict):
        return TokenUsage()
    return TokenUsage(_tokens(value.get("input_tokens")), _tokens(value.get("output_tokens")))


def _tokens(value: object) -> int:
    counts = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNT
    return int(value) if counts and isinstance(value, int) else 0
