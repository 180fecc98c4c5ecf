"""Pieces of text and references go in, in any batches; what each mode lets through comes out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from strategies import answers

from cw_proxy.errors import UpstreamTruncated
from cw_proxy.events import Begin, End, Event, Fail, Note, OrderCheck, Text, Thought, ToolClose, ToolOpen, Usage
from cw_proxy.filters.references import OnLicensedCode, ReferenceFilter

MIT = Note(
    "references", [{"licenseName": "MIT", "repository": "r", "recommendationContentSpan": {"start": 0, "end": 9}}]
)
GPL = Note("references", [{"licenseName": "GPL-3.0"}, {"licenseName": "MIT"}])
LINK = Note("web_links", [{"url": "u"}])
NUMBER = Usage(credits=1.0)
FAIL = Fail(UpstreamTruncated("x"))

# what comes → what `drop` lets through; None: all of it
DROPPED: dict[str, tuple[list[Event], list[Event] | None]] = {
    "the piece before": ([Text("a"), Text("b"), MIT, Text("c")], [Text("a"), MIT]),
    "each has its own": ([Text("a"), MIT, Text("b"), GPL, End("stop")], [MIT, GPL, End("content_filter")]),
    "two for one piece": ([Text("a"), Text("b"), MIT, GPL, End("stop")], [Text("a"), MIT, GPL, End("content_filter")]),
    "numbers and other notes between": ([Text("a"), NUMBER, LINK, MIT], [NUMBER, LINK, MIT]),
    "a thought parts them": ([Text("a"), Thought("hm"), MIT], [Text("a"), Thought("hm"), MIT]),
    "a call parts them": ([Text("a"), ToolOpen("t", "n"), ToolClose(), MIT], None),
    "the end lets go": ([Text("a"), End("stop")], [Text("a"), End("stop")]),
    "so does a failure": ([Text("a"), FAIL], [Text("a"), FAIL]),
    "a cut is named before a filter": ([Text("a"), MIT, End("length")], [MIT, End("length")]),
    "nothing to drop": ([Begin(), MIT, End("stop")], [Begin(), MIT, End("stop")]),
}


def filtered(mode: OnLicensedCode, events: list[Event]) -> list[Event]:
    """All at once and one by one: the batches must not matter."""
    at_once, one_by_one = ReferenceFilter(mode), ReferenceFilter(mode)
    passed = at_once.feed([*events])
    assert [event for fed in events for event in one_by_one.feed([fed])] == passed
    assert at_once.licences == one_by_one.licences
    return passed


@pytest.mark.parametrize("script", DROPPED)
def test_drop_takes_out_the_piece_right_before_a_reference(script: str) -> None:
    fed, wanted = DROPPED[script]
    assert filtered("drop", fed) == (fed if wanted is None else wanted)


@given(answers())
def test_flag_changes_nothing_and_pass_only_keeps_references_to_itself(events: list[Event]) -> None:
    assert filtered("flag", events) == events
    left = [event for event in events if not (isinstance(event, Note) and event.kind == "references")]
    assert filtered("pass", events) == left


@given(answers())
def test_drop_keeps_the_order_legal_and_all_but_text(events: list[Event]) -> None:
    passed = filtered("drop", events)
    OrderCheck().feed(passed)
    others = [event for event in events if not isinstance(event, (Text, End))]
    assert [event for event in passed if not isinstance(event, (Text, End))] == others


@pytest.mark.parametrize("mode", ["flag", "drop", "pass"])
def test_the_licences_are_named_in_every_mode(mode: OnLicensedCode) -> None:
    seen = ReferenceFilter(mode)
    seen.feed([MIT, LINK, GPL])
    assert list(seen.licences) == ["MIT", "GPL-3.0"]


@pytest.mark.parametrize("data", [None, "x", {"licenseName": "x"}, [None, 1, "x", {}, {"licenseName": 5}]])
def test_references_of_another_shape_have_no_names(data: Any) -> None:
    seen = ReferenceFilter("drop")
    assert seen.feed([Text("a"), Note("references", data)]) == [Note("references", data)]
    assert not seen.licences


def test_the_names_kept_are_not_without_end() -> None:
    seen = ReferenceFilter("flag")
    seen.feed([Note("references", [{"licenseName": str(number)} for number in range(1000)])])
    assert len(seen.licences) == 100
