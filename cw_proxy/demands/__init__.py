"""What an answer must be, beyond well-formed: each demand is checked before the client sees the answer.

In: a request, and what the upstream carries out by itself. Out: the demand to check, if there is one. Refuses to know
how often the model is asked: rounds.py does that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from cw_proxy.demands.json_answer import JsonDemand, json_check
from cw_proxy.demands.tool_call import ToolDemand
from cw_proxy.errors import ProxyError
from cw_proxy.events import Event
from cw_proxy.model import Request


class Demand(Protocol):
    """Checks one answer. What it holds back is bounded."""

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """What may go out by now."""

    def settled(self) -> list[Event] | ProxyError:
        """After the end: the rest of the answer; or what is wrong with it, and then nothing of it has gone out."""

    def corrected(self, request: Request, error: ProxyError) -> Request | None:
        """The question for another round; None where one would not help."""


def demand_of(request: Request, carried: frozenset[str]) -> Callable[[], Demand] | None:
    """Makes the demand, once for each round. Raises InvalidValue for a schema that is none."""
    check = json_check(request.json_answer) if request.json_answer and "json_answer" not in carried else None
    if request.tool_choice == "required" and "tool_choice" not in carried:
        return lambda: ToolDemand(request)
    return (lambda: JsonDemand(check)) if check else None
