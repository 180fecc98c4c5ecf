"""Licensed code: what the service says that it repeats, shown to the client, taken out, or left unsaid.

In: events. Out: events; `licences` are the names seen. Refuses to know protocols and logs.

The service names a reference right after the piece of text that repeats the code. `flag` passes both on. `pass` keeps
the references to itself. `drop` takes out the piece, as the service's own command line does: each piece waits until it
is known what follows it, and an answer that lost one does not end as a whole one but as `content_filter`. `drop` is no
promise: an earlier piece may hold a part of the same code.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from cw_proxy.events import End, Event, Note, Text, Usage

OnLicensedCode = Literal["flag", "drop", "pass"]
_MAX_NAMES = 100


class ReferenceFilter:
    """One exchange's filter."""

    done = False

    def __init__(self, mode: OnLicensedCode) -> None:
        self._mode = mode
        self._holds = mode == "drop"
        self._held: Text | None = None
        self._dropped = False
        self.licences: dict[str, None] = {}  # a set that keeps its order

    def feed(self, events: list[Event]) -> list[Event]:
        if not self._holds:
            # Most batches have no note, and need no second look. A plain loop: any() would cost three times as much.
            for event in events:
                if type(event) is Note:
                    break
            else:
                return events
        passed: list[Event] = []
        for event in events:
            self._take(event, passed)
        return passed

    def _take(self, event: Event, passed: list[Event]) -> None:
        if isinstance(event, Note) and event.kind == "references":
            self._name(event.data)
            self._dropped = self._dropped or self._held is not None
            self._held = None
            if self._mode == "pass":
                return
        elif not isinstance(event, (Note, Usage)):
            # Numbers and notes may stand between a piece and its reference; anything else settles it.
            self._release(passed)
        if self._holds and isinstance(event, Text):
            self._held = event
        else:
            passed.append(self._ending(event) if isinstance(event, End) else event)

    def _release(self, passed: list[Event]) -> None:
        if self._held is not None:
            passed.append(self._held)
            self._held = None

    def _ending(self, end: End) -> End:
        if self._dropped and end.finish_reason == "stop":
            return msgspec.structs.replace(end, finish_reason="content_filter")
        return end

    def _name(self, references: Any) -> None:
        for reference in references if isinstance(references, list) else []:
            name = reference.get("licenseName") if isinstance(reference, dict) else None
            if isinstance(name, str) and len(self.licences) < _MAX_NAMES:
                self.licences[name] = None
