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


class SseDecoder:
    """The data of each whole event; LF, CRLF and CR line ends; comments and other fields are skipped."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        text = self._rest + chunk
        # A CR at the very end may be half of a CRLF: it waits for the next byte.
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = rest + held
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> bytes | None:
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._lines.append(value.removeprefix(b" "))
            return None
        lines, self._lines = self._lines, []
        return b"\n".join(lines) if lines else None
