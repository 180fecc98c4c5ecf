"""Text beside calls, where the text of an answer is to be JSON: it is no answer, so it goes into a Note.

In: events. Out: the same without their text, and at the end a Note with it. Refuses to know demands.
"""

from __future__ import annotations

from collections.abc import Sequence

from cw_proxy.events import End, Event, Note, Text, Usage
from cw_proxy.usage import tally_of

KIND = "text_beside_calls"


class Aside:
    """One answer's."""

    done = False

    def __init__(self) -> None:
        self._texts: list[str] = []

    def feed(self, events: Sequence[Event]) -> list[Event]:
        passed: list[Event] = []
        for event in events:
            if isinstance(event, Text):
                self._texts.append(event.text)
                continue
            if isinstance(event, End) and self._texts:
                text = "".join(self._texts)
                # It was written all the same, and counts.
                passed += [Note(KIND, text), Usage(unshown=tally_of(text).tokens)]
            passed.append(event)
        return passed
