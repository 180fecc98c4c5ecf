"""`tool_choice: required`, or a named tool: the answer calls a tool that may be called.

In: events. Out: events, held back until the first such call; a question for a second round. Refuses to know how the
model is told.

Calls of other tools, which the model knows from the history or makes up, are left out and counted in a Note.
"""

from __future__ import annotations

from collections.abc import Sequence

from cw_proxy.errors import DemandUnmet, ProxyError
from cw_proxy.events import Collector, End, Event, Fail, Note, ToolClose, ToolInput, ToolOpen
from cw_proxy.filters.aside import Aside
from cw_proxy.filters.single_call import KIND
from cw_proxy.model import Request

CODE = "tool_choice_unmet"
# Which tools, the end of the turn says anyway.
CORRECTION = "You answered without calling a tool that you may call."


class ToolDemand:
    """One answer's check. What comes before the call waits for it: if none comes, it is not the answer."""

    def __init__(self, request: Request) -> None:
        self._tools = {tool.name for tool in request.tools}
        # Where the text is to be JSON, text beside a call is not for `content`.
        self._aside = Aside() if request.json_answer is not None else None
        self._held: list[Event] = []
        self._collector = Collector()
        self._met = False
        self._leaving_out = False
        self._left_out = 0

    def feed(self, events: Sequence[Event]) -> list[Event]:
        allowed = self._allowed(events)
        if not self._met:
            self._collector.feed(events)
            self._held += allowed
            if not any(isinstance(event, ToolOpen) for event in allowed):
                return []
            self._met, allowed, self._held = True, self._held, []
        return self._aside.feed(allowed) if self._aside else allowed

    def settled(self) -> list[Event] | ProxyError:
        if self._met:
            return []
        if self._held and isinstance(self._held[-1], Fail):
            return self._held[-1].error
        if self._collector.reply().finish_reason == "length":
            return DemandUnmet("The answer reached its limit of tokens before it called a tool.", code=CODE)
        return DemandUnmet("The model called no tool that it may call, though 'tool_choice' demands it.", code=CODE)

    def corrected(self, request: Request, error: ProxyError) -> Request | None:
        if not isinstance(error, DemandUnmet) or self._collector.reply().finish_reason in ("length", "content_filter"):
            # Broken, cut off or withheld: asked again, it would be the same.
            return None
        return request.continued(self._collector.reply().text, CORRECTION)

    def _allowed(self, events: Sequence[Event]) -> list[Event]:
        allowed: list[Event] = []
        for event in events:
            if isinstance(event, ToolOpen):
                self._leaving_out = event.name not in self._tools
                self._left_out += self._leaving_out
            elif isinstance(event, End) and self._left_out:
                allowed.append(Note(KIND, self._left_out))
            if not (self._leaving_out and isinstance(event, (ToolOpen, ToolInput, ToolClose))):
                allowed.append(event)
        return allowed
