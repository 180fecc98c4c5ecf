"""Deltas in any cut go in; as much as the limit allows comes out, the same for every cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import answers, cut_text, cuts, texts

from cw_proxy.events import Begin, End, Event, OrderCheck, Text, Thought, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.filters.length import CAUTION, LengthFilter
from cw_proxy.usage import AnswerTally

prose = st.lists(texts | st.sampled_from(["word ", "1234", "漢字", "👍👍", "\n\n", "a_b-c"]), max_size=20).map("".join)
CALL: list[Event] = [ToolOpen("1", "a"), ToolInput('{"x":"a long argument of many words"}'), ToolClose()]


def passed(events: list[Event], most: int, scale: float | None = None) -> list[Event]:
    limit = LengthFilter(most, scale)
    out: list[Event] = []
    for event in events:
        out += limit.feed([event])
        if limit.done:
            break
    if not limit.done:
        assert out == events
    return out


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def weight(text: str) -> float:
    tally = AnswerTally()
    tally.feed(Text(text))
    return tally.tokens


@given(prose, st.integers(1, 30), cuts)
def test_the_longest_beginning_that_fits(text: str, most: int, fractions: list[float]) -> None:
    whole = [Begin(), Text(text), End("stop")] if text else [Begin(), End("stop")]
    kept = text_of(passed(whole, most))
    pieces = passed([Begin(), *map(Text, cut_text(text, fractions)), End("stop")], most)
    assert text_of(pieces) == kept
    assert text.startswith(kept)
    assert weight(kept) * CAUTION <= most
    assert kept == text or weight(text[: len(kept) + 1]) * CAUTION > most
    assert pieces[-1] == End("stop" if kept == text else "length")


@given(answers(), st.integers(1, 20))
def test_any_answer_stays_legal_and_no_call_is_cut(events: list[Event], most: int) -> None:
    out = passed(events, most)
    OrderCheck().feed(out)
    assert sum(isinstance(event, ToolOpen) for event in out) == sum(isinstance(event, ToolClose) for event in out)


def test_thoughts_count_and_are_cut_too() -> None:
    events = [Begin(), Thought("one two three four"), Text("five")]
    assert passed(events, 2) == [Begin(), Thought("one two t"), End("length")]


def test_a_call_counts_and_is_never_cut() -> None:
    events = [Begin(), *CALL, Text("and"), End("tool_calls")]
    assert passed(events, 1) == [Begin(), *CALL, End("length")]
    assert passed([Begin(), *CALL, *CALL, End("tool_calls")], 1) == [Begin(), *CALL, End("length")]
    assert passed([Begin(), *CALL, End("tool_calls")], 1) == [Begin(), *CALL, End("tool_calls")]


@pytest.mark.parametrize(("scale", "text"), [(None, "one two t"), (2.0, "one "), (0.5, "one two three fou")])
def test_what_is_known_of_estimates_counts(scale: float | None, text: str) -> None:
    *_, said, end = passed([Begin(), Text("one two three four five"), End("stop")], 2, scale)
    assert end == End("length")
    assert said == (Usage(scale=scale) if scale else Text(text))
    assert text_of(passed([Begin(), Text("one two three four five"), End("stop")], 2, scale)) == text


def test_nothing_follows_the_end() -> None:
    assert LengthFilter(1, None).feed([Begin(), Text("one two"), Text("three"), End("stop")])[-2:] == [
        Text("one "),
        End("length"),
    ]
