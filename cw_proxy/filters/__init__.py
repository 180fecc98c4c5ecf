"""What stands between the upstream's events and the client: each filter changes one thing about an answer.

In: a request, and what the upstream carries out by itself. Out: the filters that the rest needs, in their order.
Refuses to know protocols, backends and how events are fetched.
"""

from __future__ import annotations

from typing import Protocol

from cw_proxy.events import Event
from cw_proxy.filters.length import LengthFilter
from cw_proxy.filters.single_call import SingleCallFilter
from cw_proxy.filters.stop import StopFilter
from cw_proxy.model import Request


class Filter(Protocol):
    """Serves one answer."""

    @property
    def done(self) -> bool:
        """Whether it has ended the answer before the upstream did; the upstream may be dropped."""

    def feed(self, events: list[Event]) -> list[Event]: ...


def filters_for(request: Request, carried: frozenset[str], scale: float | None) -> list[Filter]:
    """`scale` corrects estimates of tokens. Most requests need none of these."""
    filters: list[Filter] = []
    if request.stop and "stop" not in carried:
        filters.append(StopFilter(request.stop))
    if request.max_tokens is not None and "max_tokens" not in carried:
        filters.append(LengthFilter(request.max_tokens, scale))
    if not request.parallel_tool_calls and "parallel_tool_calls" not in carried:
        filters.append(SingleCallFilter())
    return filters
