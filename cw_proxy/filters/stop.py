"""Stop sequences, for services that know none: the text ends before the first one, wherever deltas are cut.

In: events, and a request's `stop`. Out: events; after the hit an End, and `done`: the upstream may be dropped.
Refuses to know protocols. Only what may be the beginning of a sequence is held back, and only until that is settled.
"""

from __future__ import annotations

from collections.abc import Sequence

from cw_proxy.errors import InvalidValue
from cw_proxy.events import End, Event, Note, Text, Usage

# Every delta is compared with every beginning of every sequence.
MAX_STOP = 256


def read_sequences(said: str | list[str] | None, *, param: str = "stop", most: int = 4) -> tuple[str, ...]:
    """A request's `stop`, by the protocol's name for it. Raises InvalidValue."""
    sequences = (said,) if isinstance(said, str) else tuple(said or ())
    if len(sequences) > most:
        raise InvalidValue(f"At most {most} stop sequences are allowed.", param=param)
    if any(len(sequence) > MAX_STOP for sequence in sequences):
        raise InvalidValue(f"A stop sequence has at most {MAX_STOP} characters.", param=param)
    # An empty one would stop every answer before its first letter.
    return tuple(sequence for sequence in sequences if sequence)


class StopFilter:
    """One exchange's filter; `sequences` are not empty texts."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = tuple(sequences)
        self._held = ""
        self.done = False

    def feed(self, events: Sequence[Event]) -> list[Event]:
        passed: list[Event] = []
        for event in events:
            if self.done:
                break
            if isinstance(event, Text):
                self._text(event.text, passed)
                continue
            # Numbers and notes may stand between two halves of a sequence; anything else ends its text.
            if self._held and not isinstance(event, (Usage, Note)):
                passed.append(Text(self._held))
                self._held = ""
            passed.append(event)
        return passed

    def _text(self, text: str, passed: list[Event]) -> None:
        text = self._held + text
        # The one that is whole first, as if the text came letter by letter; of two such, the longer.
        found = [(at + len(stop), at, stop) for stop in self._sequences if (at := text.find(stop)) >= 0]
        hit = min(found, default=None)
        if hit:
            self.done, self._held = True, ""
            text = text[: hit[1]]
        else:
            keep = self._possible_prefix(text)
            self._held = text[len(text) - keep :]
            text = text[: len(text) - keep]
        if text:
            passed.append(Text(text))
        if hit:
            passed.append(End("stop", hit[2]))

    def _possible_prefix(self, text: str) -> int:
        """Length of the longest end of `text` that begins a sequence."""
        longest = max(map(len, self._sequences)) - 1
        for length in range(min(longest, len(text)), 0, -1):
            end = text[len(text) - length :]
            if any(sequence.startswith(end) for sequence in self._sequences):
                return length
        return 0
