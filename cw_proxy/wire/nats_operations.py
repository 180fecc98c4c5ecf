"""What a NATS server sends, taken apart: deliveries of messages, and control lines.

In: bytes, cut anywhere. Out: operations; MalformedOperation for what is none. Refuses to know what they mean.

Words are parted by spaces, and by nothing else: a subject may hold any other byte, since whoever publishes makes it up.
A parser that takes a form feed there for white space waits for ever for a line that it has already seen.
"""

from __future__ import annotations

import msgspec

_LONGEST_LINE = 1024 * 1024  # bytes; INFO lists the servers of a cluster


class MalformedOperation(ValueError):
    """The connection is of no use any more."""


class Delivery(msgspec.Struct, frozen=True):
    """`headers` has their first line and the empty one at their end."""

    sid: int
    subject: bytes
    reply: bytes
    headers: bytes | None
    body: bytes


class Control(msgspec.Struct, frozen=True):
    """INFO, PING, PONG, +OK, -ERR, and what stands behind it."""

    name: bytes
    rest: bytes


Operation = Delivery | Control
_CONTROLS = frozenset({b"INFO", b"PING", b"PONG", b"+OK", b"-ERR"})


class OperationDecoder:
    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Operation]:
        """Raises MalformedOperation."""
        self._buffer += data
        found: list[Operation] = []
        at = 0
        while (taken := self._take(at)) is not None:
            operation, at = taken
            found.append(operation)
        del self._buffer[:at]
        return found

    def _take(self, at: int) -> tuple[Operation, int] | None:
        """The operation at `at`, and where it ends; None while it is not whole."""
        line_end = self._buffer.find(b"\r\n", at)
        if line_end < 0:
            if len(self._buffer) - at > _LONGEST_LINE:
                raise MalformedOperation("a line without an end")
            return None
        name, _, rest = bytes(self._buffer[at:line_end]).partition(b" ")
        name = name.upper()
        if name in (b"MSG", b"HMSG"):
            return self._delivery(_words(rest), line_end + 2, headed=name == b"HMSG")
        if name not in _CONTROLS:
            raise MalformedOperation("an unknown operation")
        return Control(name, rest.strip()), line_end + 2

    def _delivery(self, words: list[bytes], start: int, *, headed: bool) -> tuple[Operation, int] | None:
        head, size = self._sizes(words, headed=headed)
        end = start + size
        if len(self._buffer) < end + 2:
            return None
        if self._buffer[end : end + 2] != b"\r\n":
            raise MalformedOperation("a message without an end")
        subject, sid, *reply = words[: -2 if headed else -1]
        headers = bytes(self._buffer[start : start + head]) if headed else None
        body = bytes(self._buffer[start + head : end])
        return Delivery(int(sid), subject, b"".join(reply), headers, body), end + 2

    def _sizes(self, words: list[bytes], *, headed: bool) -> tuple[int, int]:
        numbers = [words[1:2], words[-2:-1], words[-1:]] if headed else [words[1:2], words[-1:]]
        if len(words) not in ((4, 5) if headed else (3, 4)) or not all(each[0].isdigit() for each in numbers):
            raise MalformedOperation("a message without its numbers")
        head, size = int(words[-2]) if headed else 0, int(words[-1])
        if head > size:
            raise MalformedOperation("headers longer than their message")
        return head, size


def _words(rest: bytes) -> list[bytes]:
    return [word for word in rest.split(b" ") if word]
