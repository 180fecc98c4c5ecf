"""Calls go in; the first one comes out, and how many did not."""

from __future__ import annotations

import pytest
from hypothesis import given
from strategies import answers

from cw_proxy.events import Begin, End, Event, Note, OrderCheck, Text, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.filters.single_call import KIND, SingleCallFilter
from cw_proxy.usage import tally_of

FIRST: list[Event] = [ToolOpen("1", "a"), ToolInput('{"x":1}'), ToolClose()]
SECOND: list[Event] = [ToolOpen("2", "a"), ToolInput('{"x":1}'), Usage(credits=1.0), ToolClose()]
UNSHOWN = Usage(unshown=sum(tally_of('a {"x":1}').tokens for _ in range(2)))


@pytest.mark.parametrize(
    ("events", "passed"),
    [
        ([Begin(), Text("a"), End("stop")], [Begin(), Text("a"), End("stop")]),
        ([Begin(), *FIRST, End("tool_calls")], [Begin(), *FIRST, End("tool_calls")]),
        (
            [Begin(), *FIRST, *SECOND, Text("b"), *FIRST, End("tool_calls")],
            [Begin(), *FIRST, Usage(credits=1.0), Text("b"), Note(KIND, 2), UNSHOWN, End("tool_calls")],
        ),
    ],
)
def test_the_first_call_and_no_other(events: list[Event], passed: list[Event]) -> None:
    assert SingleCallFilter().feed(events) == passed
    letter_by_letter = SingleCallFilter()
    assert [out for event in events for out in letter_by_letter.feed([event])] == passed


@given(answers())
def test_any_legal_answer_stays_legal_and_loses_nothing_else(events: list[Event]) -> None:
    passed = SingleCallFilter().feed(events)
    OrderCheck().feed(passed)
    assert sum(isinstance(event, ToolOpen) for event in passed) == min(1, sum(isinstance(e, ToolOpen) for e in events))
    assert without_calls(passed) == without_calls(events)


def without_calls(events: list[Event]) -> list[Event]:
    left = (event for event in events if not isinstance(event, (ToolOpen, ToolInput, ToolClose, Note)))
    return [event for event in left if not isinstance(event, Usage) or event.unshown is None]
