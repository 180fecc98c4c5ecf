"""`max_tokens`, for models that cannot be told: the answer ends where the estimate reaches the limit.

In: events, a limit in tokens. Out: events; after the cut an End with `length`, and `done`: the upstream may be dropped.
Refuses to know protocols and any real tokenizer.

Text and thoughts are cut at a character, the same wherever deltas are cut. A call counts, but is never cut: half its
arguments are no call. It is an estimate (usage.py), and usage says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cw_proxy.events import End, Event, Text, Thought, ToolOpen, Usage
from cw_proxy.usage import AnswerTally

# What may still fit is not cut: before the service has counted, a text may have so much fewer tokens than estimated.
CAUTION = 0.75


class LengthFilter:
    """One exchange's filter. `scale` is what estimates are multiplied with."""

    def __init__(self, most: int, scale: float | None) -> None:
        self._most = most / (scale or CAUTION)
        self._scale = scale
        self._said = AnswerTally()
        self.done = False

    def feed(self, events: Sequence[Event]) -> list[Event]:
        passed: list[Event] = []
        for event in events:
            self._take(event, passed)
            if self.done:
                # What the cut-off numbers are worth has to be known before the end.
                passed += [Usage(scale=self._scale)] if self._scale else []
                passed.append(End("length"))
                break
        return passed

    def _take(self, event: Event, passed: list[Event]) -> None:
        match event:
            case Text() | Thought() if event.text:
                self._say(event, passed)
            case ToolOpen() if self._said.tokens >= self._most:
                self.done = True
            case _:
                self._said.feed(event)
                passed.append(event)

    def _say(self, event: Text | Thought, passed: list[Event]) -> None:
        tally = self._said.text if isinstance(event, Text) else self._said.thoughts
        fitting = tally.fitting(event.text, self._most - self._said.tokens)
        self.done = fitting < len(event.text)
        if fitting:
            cut = msgspec.structs.replace(event, text=event.text[:fitting]) if self.done else event
            self._said.feed(cut)
            passed.append(cut)
