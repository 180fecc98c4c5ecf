"""Server-sent events: `data:` frames out, and back in for those who read them (demo, bench, a second backend).

In: JSON bytes without line breaks, or bytes cut anywhere. Out: frames, or the data of frames. Refuses to know what
the JSON means. One frame is one `data:` line: both SDKs choke on `retry:` fields, empty data and event-only frames
(sdk-contract.md).
"""

from __future__ import annotations

DONE = b"data: [DONE]\n\n"
# A comment: the only thing that may stand between frames.
PING = b": ping\n\n"


def data(json: bytes) -> bytes:
    return b"data: " + json + b"\n\n"


def event(name: bytes, json: bytes) -> bytes:
    """With its type in a line of its own, as clients of the newer protocols want it."""
    return b"event: " + name + b"\ndata: " + json + b"\n\n"


def payloads(written: bytes) -> list[bytes]:
    """The data of each event that the functions above wrote, for transports that send messages instead."""
    found = ((b"\n" + block).partition(b"\ndata: ") for block in written.split(b"\n\n"))
    return [data for _, _, data in found if data]


class SseDecoder:
    """The data of each whole event; LF, CRLF and CR line ends; comments and other fields are skipped."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._after_cr = False
        self._lines: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._after_cr and chunk.startswith(b"\n"):
            # The second half of a CRLF: its line has ended with the CR already.
            chunk, self._after_cr = chunk[1:], False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *ended, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        # A long line in small pieces is joined once, at its end.
        if ended:
            ended[0] = b"".join([*self._begun, ended[0]])
            self._begun = []
        self._begun.append(rest)
        return [event for line in ended if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> bytes | None:
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._lines.append(value.removeprefix(b" "))
            return None
        lines, self._lines = self._lines, []
        return b"\n".join(lines) if lines else None
