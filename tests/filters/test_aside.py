"""Text beside calls goes in; a Note comes out."""

from __future__ import annotations

from hypothesis import given
from strategies import answers

from cw_proxy.events import Begin, End, Event, Note, OrderCheck, Text, ToolClose, ToolOpen, Usage
from cw_proxy.filters.aside import KIND, Aside


def test_the_text_is_kept_for_the_end() -> None:
    aside = Aside()
    call: list[Event] = [ToolOpen("1", "a"), ToolClose()]
    assert aside.feed([Begin(), Text("one "), *call]) == [Begin(), *call]
    note, usage, end = aside.feed([Text("two"), End("tool_calls")])
    assert (note, end) == (Note(KIND, "one two"), End("tool_calls"))
    assert isinstance(usage, Usage)
    assert usage.unshown


def test_without_text_nothing_is_said() -> None:
    assert Aside().feed([Begin(), End("stop")]) == [Begin(), End("stop")]


@given(answers())
def test_any_answer_stays_legal(events: list[Event]) -> None:
    OrderCheck().feed(Aside().feed(events))
