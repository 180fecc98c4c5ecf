"""The order of events as one table, and how they add up."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from strategies import answers

from cw_proxy.errors import UpstreamProtocol, UpstreamTruncated
from cw_proxy.events import (
    ORDER,
    Begin,
    Choice,
    Choices,
    Collector,
    End,
    Event,
    Fail,
    Note,
    OrderCheck,
    OrderViolation,
    Reply,
    State,
    Text,
    Thought,
    ToolCall,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
    choice_of,
)

FAIL = Fail(UpstreamTruncated("Cut."))
SAMPLES: dict[type[Event], Event] = {
    type(event): event
    for event in [
        *[Begin(), Text("a"), Thought("b"), Note("citation", {}), Usage(credits=1.0)],
        *[ToolOpen("t", "n"), ToolInput("{}"), ToolClose(), End("stop"), FAIL],
    ]
}
# The shortest way to each state.
WAYS: dict[State, list[Event]] = {
    State.IDLE: [],
    State.OPEN: [Begin()],
    State.TOOL: [Begin(), ToolOpen("t", "n")],
    State.DONE: [Begin(), End("stop")],
    State.FAILED: [FAIL],
}
# The rules in words, event by event: the states in which it may come.
ALLOWED: dict[type[Event], set[State]] = {
    Begin: {State.IDLE},
    Text: {State.OPEN},
    Thought: {State.OPEN},
    Note: {State.OPEN},
    Usage: {State.OPEN, State.TOOL},
    ToolOpen: {State.OPEN},
    ToolInput: {State.TOOL},
    ToolClose: {State.TOOL},
    End: {State.OPEN},
    Fail: {State.IDLE, State.OPEN, State.TOOL},
}


def test_every_event_stands_in_the_table() -> None:
    assert set(SAMPLES) == set(ALLOWED) == set(get_args(Event)) - {Choice}
    assert set(ORDER) == set(State)


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(State, ALLOWED)))
def test_what_may_follow(state: State, kind: type[Event]) -> None:
    check = OrderCheck()
    check.feed(WAYS[state])
    assert check.state is state
    assert check.ended == (state in (State.DONE, State.FAILED))
    if state in ALLOWED[kind]:
        check.feed([SAMPLES[kind]])
        assert check.state is ORDER[state][kind]
        return
    with pytest.raises(OrderViolation, match=f"{kind.__name__} cannot follow in state {state.name}"):
        check.feed([SAMPLES[kind]])


@given(answers())
def test_drawn_answers_are_legal_to_their_end(events: list[Event]) -> None:
    """Of the tests themselves: what they draw is what they claim to draw."""
    check = OrderCheck()
    check.feed(events)
    assert check.ended


def collected(*events: Event) -> Reply:
    collector = Collector()
    for event in events:
        collector.feed([event])
    return collector.reply()


def test_an_answer_without_end_does_not_fill_the_memory() -> None:
    collector = Collector()
    collector.feed([Begin()])
    piece = Text("x" * 1_000_000)
    with pytest.raises(UpstreamProtocol, match="characters"):
        for _ in range(20):
            collector.feed([piece])


@pytest.mark.parametrize("event", [Thought("x" * 1_000_000), Note("citation", {"a": "x" * 1_000_000})])
def test_nor_do_thoughts_and_notes(event: Event) -> None:
    collector = Collector()
    with pytest.raises(UpstreamProtocol, match="characters"):
        for _ in range(20):
            collector.feed([event])


def test_a_whole_answer() -> None:
    note, thought = Note("citation", {}), Thought("hm")
    calls = ToolCall("t1", "ls", '{"a":1}'), ToolCall("t2", "ls", "{}")
    assert collected(
        *[Begin("c"), Text("ha"), Text("ha"), thought, note, ToolOpen("t1", "ls"), ToolInput('{"a'), ToolInput('":1}')],
        *[Usage(credits=1.0), ToolClose(), ToolOpen("t2", "ls"), ToolClose(), Text("!"), End("tool_calls")],
    ) == Reply(
        parts=(Text("haha"), thought, *calls, Text("!")),
        text="haha!",
        thoughts=(thought,),
        tool_calls=calls,
        notes=(note,),
        usage=Usage(credits=1.0),
        finish_reason="tool_calls",
    )


def test_later_numbers_overrule_and_none_does_not() -> None:
    first = Usage(input_tokens=1, output_tokens=2, context_percent=3.0)
    assert collected(Begin(), first, Usage(output_tokens=0, credits=0.5), End("stop")).usage == Usage(
        input_tokens=1, output_tokens=0, context_percent=3.0, credits=0.5
    )


def test_a_failure_is_raised_as_itself() -> None:
    with pytest.raises(UpstreamTruncated) as raised:
        collected(Begin(), Text("a"), FAIL)
    assert raised.value is FAIL.error


def test_events_without_an_end_are_no_answer() -> None:
    with pytest.raises(OrderViolation):
        collected(Begin(), Text("a"))


def test_a_batch_of_one_of_several_answers_says_whose_it_is() -> None:
    assert [choice_of(batch) for batch in ([], [Begin()], [Choice(0), Begin()], [Choice(2), Text("a")])] == [0, 0, 0, 2]


def test_several_answers_are_folded_each_by_itself() -> None:
    choices = Choices(2)
    for batch in ([Choice(1), Begin(), Text("b")], [Choice(0), Begin(), Text("a")], [Choice(1), End("length")]):
        choices.feed(batch)
    with pytest.raises(OrderViolation):
        choices.replies()
    choices.feed([Choice(0), Text("A"), End("stop")])
    assert [(reply.text, reply.finish_reason) for reply in choices.replies()] == [("aA", "stop"), ("b", "length")]


def test_of_several_answers_the_one_that_failed_is_told() -> None:
    choices = Choices(2)
    choices.feed([Choice(0), Begin(), Text("still going on")])
    choices.feed([Choice(1), Begin(), Fail(UpstreamTruncated("Cut."))])
    with pytest.raises(UpstreamTruncated):
        choices.replies()
