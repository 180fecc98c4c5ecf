"""`tool_choice: required`, or a named tool: the answer calls a tool.

In: events. Out: events, held back until the first call; a question for a second round. Refuses to know which tools are
offered: only those that may be called are.
"""

from __future__ import annotations

from collections.abc import Sequence

from cw_proxy.errors import DemandUnmet, ProxyError
from cw_proxy.events import Collector, Event, Fail, ToolOpen
from cw_proxy.model import Request

CORRECTION = "You answered without calling a tool. Call one of these tools now: {tools}."


class ToolDemand:
    """One answer's check. What comes before the call waits for it: if none comes, it is not the answer."""

    def __init__(self) -> None:
        self._held: list[Event] = []
        self._collector = Collector()
        self._met = False

    def feed(self, events: Sequence[Event]) -> list[Event]:
        if self._met:
            return list(events)
        self._collector.feed(events)
        self._held += events
        if not any(isinstance(event, ToolOpen) for event in events):
            return []
        self._met, held, self._held = True, self._held, []
        return held

    def settled(self) -> list[Event] | ProxyError:
        if self._met:
            return []
        if self._held and isinstance(self._held[-1], Fail):
            return self._held[-1].error
        return DemandUnmet("The model called no tool, though 'tool_choice' demands it.", code="tool_choice_unmet")

    def corrected(self, request: Request, error: ProxyError) -> Request | None:
        if not isinstance(error, DemandUnmet):
            return None
        tools = ", ".join(tool.name for tool in request.tools)
        return request.continued(self._collector.reply().text, CORRECTION.format(tools=tools))
