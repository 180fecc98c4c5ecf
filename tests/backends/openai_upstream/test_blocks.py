"""Pieces of calls and texts in any order go in; whole blocks, one after the other, come out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cut_text, cuts, json_objects

from cw_proxy.backends.openai_upstream import blocks, shapes
from cw_proxy.backends.openai_upstream.blocks import Blocks
from cw_proxy.errors import UpstreamProtocol, UpstreamTruncated
from cw_proxy.events import Begin, Event, OrderCheck, Text, Thought, ToolClose, ToolInput, ToolOpen

Piece = shapes.Call | Text | Thought


def piece(index: int | None, arguments: Any = None, identity: str | None = None, name: str | None = None) -> Piece:
    return shapes.Call(index, identity, shapes.Function(name, arguments))


def first(index: int | None, identity: str = "", arguments: str = "", name: str = "ls") -> Piece:
    return piece(index, arguments, identity or f"call-{index}", name)


def run(*pieces: Piece) -> list[Event]:
    events: list[Event] = []
    made = Blocks(lambda number: f"made-{number}")
    for one in pieces:
        if isinstance(one, shapes.Call):
            made.call(one, events)
        else:
            made.say(one, events)
        OrderCheck().feed([Begin(), *events])
    made.close(events)
    OrderCheck().feed([Begin(), *events])
    return events


def calls(events: Sequence[Event]) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, str]] = []
    for event in events:
        if isinstance(event, ToolOpen):
            found.append((event.id, event.name, ""))
        elif isinstance(event, ToolInput):
            identity, name, said = found.pop()
            found.append((identity, name, said + event.fragment))
    return found


def test_one_call_is_passed_on_as_it_comes() -> None:
    made, events = Blocks(str), []
    made.call(first(0), events)
    made.call(piece(0, '{"a"'), events)
    assert events == [ToolOpen("call-0", "ls"), ToolInput('{"a"')]
    made.call(piece(0, ":1}"), events)
    made.close(events)
    assert events[2:] == [ToolInput(":1}"), ToolClose()]


def test_a_whole_call_ends_when_something_else_comes() -> None:
    made, events = Blocks(str), []
    made.call(first(0, arguments="{}"), events)
    made.say(Text("a"), events)
    assert events == [ToolOpen("call-0", "ls"), ToolInput("{}"), ToolClose(), Text("a")]


def test_interleaved_calls_come_one_after_the_other() -> None:
    events = run(first(0), first(1), piece(0, '{"a":'), piece(1, '{"b":'), Text("t"), piece(0, "1}"), piece(1, "2}"))
    assert calls(events) == [("call-0", "ls", '{"a":1}'), ("call-1", "ls", '{"b":2}')]
    assert events[-1] == Text("t")


@given(st.data(), st.lists(json_objects.map(json.dumps), min_size=1, max_size=4))
def test_calls_in_any_order_of_their_pieces(data: st.DataObject, texts: list[str]) -> None:
    queues = [
        [first(at), *(piece(at, fragment) for fragment in cut_text(text, data.draw(cuts)))]
        for at, text in enumerate(texts)
    ]
    pieces: list[Piece] = []
    while any(queues):
        pieces.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    events = run(*pieces)
    assert sorted(calls(events)) == [(f"call-{at}", "ls", text) for at, text in enumerate(texts)]


def test_equal_calls_are_two() -> None:
    assert calls(run(first(0, "a", "{}"), first(1, "b", "{}"))) == [("a", "ls", "{}"), ("b", "ls", "{}")]


@pytest.mark.parametrize("index", [0, None])
def test_servers_that_number_every_call_alike(index: int | None) -> None:
    by_id = run(first(index, "a", '{"x":1}'), first(index, "b", '{"x":2}'))
    assert calls(by_id) == [("a", "ls", '{"x":1}'), ("b", "ls", '{"x":2}')]
    without = run(piece(index, '{"x":1}', None, "ls"), piece(index, '{"x":1}', None, "ls"))
    assert calls(without) == [("made-1", "ls", '{"x":1}'), ("made-2", "ls", '{"x":1}')]


def test_id_and_name_may_be_repeated_and_ids_may_change() -> None:
    assert calls(run(first(0, "a", "{"), first(0, "a", "}"), first(0, "a"))) == [("a", "ls", "{}")]
    assert calls(run(first(0, "a", "{"), piece(0, "}", "b"))) == [("a", "ls", "{}")]
    assert calls(run(first(None, "a", "{"), piece(None, "}", "a"))) == [("a", "ls", "{}")]
    assert calls(run(first(None, "a", "{"), piece(None, "}"))) == [("a", "ls", "{}")]


def test_ids_that_are_missing_or_taken_are_made() -> None:
    assert [call[0] for call in calls(run(piece(0, "{}", "", "ls"), first(1, "x", "{}"), first(2, "x", "{}")))] == [
        "made-1",
        "x",
        "made-3",
    ]


def test_a_name_that_comes_late_is_waited_for() -> None:
    assert calls(run(piece(0, '{"a"', "x"), piece(0, ":1}", None, "ls"))) == [("x", "ls", '{"a":1}')]


@pytest.mark.parametrize("arguments", [None, "", " \n", {}])
def test_no_arguments(arguments: object) -> None:
    assert calls(run(piece(0, arguments, "x", "ls"))) in ([("x", "ls", "")], [("x", "ls", "{}")])


def test_arguments_may_be_an_object_and_cut_inside_a_character() -> None:
    assert calls(run(piece(0, {"a": "é"}, "x", "ls"))) == [("x", "ls", '{"a":"é"}')]
    assert calls(run(first(0, "x", '{"a":"\ud83d'), piece(0, '\ude00"}'))) == [("x", "ls", '{"a":"😀"}')]


def test_blanks_may_follow_a_whole_call() -> None:
    assert calls(run(first(0, "x", "{}"), piece(0, "\n"), Text("a"), piece(0, " "))) == [("x", "ls", "{}\n")]


@pytest.mark.parametrize("arguments", ["{", "[]", "null", '{"a":1}}', "{} {}", "}"])
def test_what_is_no_object_is_a_cut(arguments: str) -> None:
    with pytest.raises(UpstreamTruncated):
        run(first(0, "x", arguments))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UpstreamProtocol, match="without a name"):
        run(piece(0, "{}", "x"))
    with pytest.raises(UpstreamProtocol, match="went on"):
        run(first(0, "x", "{}"), Text("a"), piece(0, "{}"))


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_MOST_HELD", 100)
    with pytest.raises(UpstreamProtocol, match="more than 100"):
        run(first(0), *(Text("x" * 30) for _ in range(4)))


def test_text_waits_in_its_place() -> None:
    events = run(Text("a"), first(0), Text("b"), Thought("c"), piece(0, "{}"), first(1, arguments="{}"), Text("d"))
    assert events == [
        Text("a"),
        *(ToolOpen("call-0", "ls"), ToolInput("{}"), ToolClose()),
        *(Text("b"), Thought("c")),
        *(ToolOpen("call-1", "ls"), ToolInput("{}"), ToolClose()),
        Text("d"),
    ]
