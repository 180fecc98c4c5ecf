"""Deltas in any cut go in; the text before the first stop sequence comes out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cut_text, cuts

from cw_proxy.errors import UpstreamTruncated
from cw_proxy.events import Begin, End, Event, Fail, Note, Text, Thought, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.filters.stop import StopFilter

letters = st.text("ab", max_size=20)
sequences = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=4)


def filtered(events: list[Event], *stops: str) -> tuple[list[Event], bool]:
    stop = StopFilter(stops)
    passed = [event for given_event in events for event in stop.feed([given_event])]
    return passed, stop.done


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


@given(letters, st.text("ab", min_size=1, max_size=4), cuts)
def test_one_sequence_is_a_split(text: str, sequence: str, fractions: list[float]) -> None:
    passed, hit = filtered([*map(Text, cut_text(text, fractions)), End("length")], sequence)
    assert text_of(passed) == text.split(sequence)[0]
    assert hit == (sequence in text)
    assert passed[-1] == (End("stop", sequence) if hit else End("length"))
    assert [type(event) for event in passed].count(End) == 1


def letter_by_letter(text: str, stops: list[str]) -> str:
    """The text that stands when a sequence is whole for the first time, without the longest that is."""
    for end in range(len(text) + 1):
        if ending := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, ending))]
    return text


@given(letters, sequences, cuts)
def test_of_several_the_first_that_is_whole_counts_in_any_cut(
    text: str, stops: list[str], fractions: list[float]
) -> None:
    passed, hit = filtered([*map(Text, cut_text(text, fractions)), End("length")], *stops)
    assert text_of(passed) == letter_by_letter(text, stops)
    if hit:
        assert isinstance(passed[-1], End)
        assert text.startswith(text_of(passed) + (passed[-1].stop_sequence or "?"))


@given(letters, sequences, cuts)
def test_only_what_may_begin_a_sequence_is_held_back(text: str, stops: list[str], fractions: list[float]) -> None:
    stop = StopFilter(stops)
    fed = passed = ""
    for piece in cut_text(text, fractions):
        fed += piece
        passed += text_of(stop.feed([Text(piece)]))
        if stop.done:
            return
        held = fed.removeprefix(passed)
        assert fed == passed + held
        assert not held or any(sequence.startswith(held) for sequence in stops)


NUMBER = Usage(credits=1.0)
NOTE = Note("references", [])
FAIL = Fail(UpstreamTruncated("x"))
SCRIPTS: dict[str, tuple[list[Event], list[Event]]] = {
    "nothing to stop": ([Begin(), Text("abc"), End("stop")], [Begin(), Text("abc"), End("stop")]),
    "at once": ([Begin(), Text("STOP")], [Begin(), End("stop", "STOP")]),
    "what follows is dropped": ([Text("aSTOPb"), Text("c"), NUMBER, End("length")], [Text("a"), End("stop", "STOP")]),
    "numbers and notes between the halves": (
        [Text("aST"), NUMBER, NOTE, Text("OPb")],
        [Text("a"), NUMBER, NOTE, End("stop", "STOP")],
    ),
    "a thought between the halves parts them": (
        [Text("aST"), Thought("hm"), Text("OP")],
        [Text("a"), Text("ST"), Thought("hm"), Text("OP")],
    ),
    "a call ends the text": (
        [Text("aST"), ToolOpen("t", "n"), ToolInput("STOP"), ToolClose(), Text("OP"), End("tool_calls")],
        [
            *[Text("a"), Text("ST"), ToolOpen("t", "n"), ToolInput("STOP"), ToolClose(), Text("OP")],
            End("tool_calls"),
        ],
    ),
    "the end lets go what was held": ([Text("aSTO"), End("length")], [Text("a"), Text("STO"), End("length")]),
    "so does a failure": ([Text("aSTO"), FAIL], [Text("a"), Text("STO"), FAIL]),
    "a beginning that goes wrong": ([Text("S"), Text("ST"), Text("OP")], [Text("S"), End("stop", "STOP")]),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(script: str) -> None:
    fed, wanted = SCRIPTS[script]
    assert filtered(fed, "STOP")[0] == wanted


def test_overlapping_sequences_do_not_depend_on_the_cut() -> None:
    for deltas in (["xabcd"], ["xabc", "d"], list("xabcd")):
        assert text_of(filtered([*map(Text, deltas)], "abcd", "bc")[0]) == "xa"
