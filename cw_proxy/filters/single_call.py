"""`parallel_tool_calls: false`, for services that know no such wish: the first call of an answer, and no other.

In: events. Out: events. Refuses to know protocols. The calls left out are counted in a Note, so that a client can see
that the model wanted more; it asks for them again, if it still wants them, once it has the first one's result.
"""

from __future__ import annotations

from collections.abc import Sequence

from cw_proxy.events import End, Event, Note, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.usage import AnswerTally

KIND = "tool_calls_left_out"


class SingleCallFilter:
    """One exchange's filter."""

    done = False

    def __init__(self) -> None:
        self._calls = 0
        self._left_out = AnswerTally()

    def feed(self, events: Sequence[Event]) -> list[Event]:
        passed: list[Event] = []
        for event in events:
            if isinstance(event, ToolOpen):
                self._calls += 1
            elif isinstance(event, End) and self._calls > 1:
                # They were written all the same, and count.
                passed += [Note(KIND, self._calls - 1), Usage(unshown=self._left_out.tokens)]
            if self._calls > 1 and isinstance(event, (ToolOpen, ToolInput, ToolClose)):
                self._left_out.feed(event)
            else:
                passed.append(event)
        return passed
