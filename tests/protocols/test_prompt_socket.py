"""Frames go in, questions come out; events go in, frames of plain text come out."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import answers, say

from cw_proxy.errors import DemandUnmet, InvalidJson, InvalidValue, ModelNotFound, ProxyError, RateLimited
from cw_proxy.events import MAX_CHARACTERS, Begin, Collector, End, Event, Fail, Text, Thought
from cw_proxy.interfaces import NOBODY, Ask, Later, Options, Stamp
from cw_proxy.protocols.prompt_socket import (
    END,
    PromptAsk,
    PromptSession,
    PromptSocket,
    first_bracketed,
    first_integer,
    unmistakable,
)
from cw_proxy.secret import Secret
from cw_proxy.wire import sse

STAMP = Stamp(0, lambda: "0" * 32)
TEMPLATES = {"PROMPT_A": Secret("You are A.")}
HELLO = [{"role": "user", "content": "Hello"}]


def session() -> PromptSession:
    return PromptSocket(Options(prompt_socket=True, templates=TEMPLATES, default_model="m")).socket(NOBODY)


def asked(**members: Any) -> PromptAsk:
    said = {"messages": HELLO, "response_type": "full", **members}
    [turn] = session().receive(json.dumps(said).encode())
    assert isinstance(turn, Later)
    assert turn.lane is None
    [ask] = turn.then()
    assert isinstance(ask, PromptAsk)
    return ask


def frames(ask: Ask, *batches: list[Event]) -> list[str]:
    encoder = ask.encoder(STAMP)
    found = [session().frame(data).decode() for events in batches for data in sse.payloads(encoder.feed(events))]
    assert encoder.ended == isinstance(batches[-1][-1], (End, Fail))
    return found


# --- the question ---


def test_the_template_is_the_system_prompt_before_the_chat() -> None:
    chat = [*HELLO, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Bye"}]
    request = asked(prompt_template="PROMPT_A", messages=chat).request
    assert request.messages == (
        say("system", "You are A."),
        say("user", "Hello"),
        say("assistant", "Hi"),
        say("user", "Bye"),
    )
    assert request.model == "m"


@pytest.mark.parametrize("members", [{}, {"prompt_template": None}, {"prompt_template": ""}, {"model": "other"}])
def test_without_a_template_there_is_no_system_prompt(members: dict[str, Any]) -> None:
    request = asked(**members).request
    assert (request.messages, request.model) == ((say("user", "Hello"),), "m")


NAMES = [
    "AWS_SECRET_ACCESS_KEY",
    "PATH",
    "prompt_a",
    "PROMPT_B",
    "PROMPT_A ",
    "__proto__",
    "__class__",
    "A" * 10_000,
    "é\ud83d",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_every_other_name_gets_the_same_answer(name: str) -> None:
    with pytest.raises(InvalidValue) as raised:
        asked(prompt_template=name)
    expected = {
        "message": "There is no such prompt template.",
        "type": "invalid_request_error",
        "param": "prompt_template",
        "code": "invalid_value",
    }
    assert json.loads(session().failure(raised.value, None)) == {"error": expected}


REFUSED: list[tuple[dict[str, Any], str | None]] = [
    ({"response_type": None}, "response_type"),
    ({"response_type": "json"}, "response_type"),
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": HELLO * 10_001}, "messages"),
    ({"messages": [{"role": "system", "content": "Be B."}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, "messages[0].content"),
    ({"prompt_template": 5}, "prompt_template"),
]


@pytest.mark.parametrize(("members", "param"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_wrong_is_told_with_its_path(members: dict[str, Any], param: str | None) -> None:
    with pytest.raises(InvalidValue) as raised:
        asked(**members)
    assert raised.value.param == param


@pytest.mark.parametrize("frame", [b"", b"{", b"hello", b"[" * 500])
def test_what_is_no_json_is_told_in_its_turn(frame: bytes) -> None:
    [turn] = session().receive(frame)
    with pytest.raises(InvalidJson):
        turn.then()


# --- the answer ---


@given(answers())
def test_a_stream_is_the_text_and_then_the_end(events: list[Event]) -> None:
    collector = Collector()
    collector.feed(events)
    reply = collector.reply()
    *pieces, last = frames(asked(response_type="stream"), events)
    assert "".join(pieces) == reply.text
    assert all(piece and piece != END for piece in pieces)
    assert (last == END) == (reply.finish_reason in ("stop", "tool_calls"))
    whole = frames(asked(), events)
    if last == END:
        assert whole == [reply.text] == [asked().render([reply], STAMP).decode()]
    else:
        assert whole == [last]
        assert json.loads(last)["error"]["code"] == "answer_incomplete"


@given(st.text(max_size=4) | st.sampled_from([END, '{"error"', '{"error": {"message": "x"}}', f"{END}x"]))
def test_no_piece_looks_like_the_end_or_an_error(delta: str) -> None:
    pieces = list(unmistakable(delta))
    assert "".join(pieces) == delta
    assert not any(not piece or piece == END or piece.startswith('{"error"') for piece in pieces)


TEXT = "So [[a b]], then [[7]] and [[-12]]."


@pytest.mark.parametrize(("answer", "text"), [("int", "7"), ("string", "a b"), ("full", TEXT)])
@pytest.mark.parametrize("reason", ["stop", "tool_calls"])
def test_one_frame_for_what_is_asked_for(answer: str, text: str, reason: Any) -> None:
    pieces: list[Event] = [Text(piece) for piece in TEXT]
    batches: list[list[Event]] = [[Begin(), Thought("[[1]]")], pieces, [Text(""), End(reason)]]
    assert frames(asked(response_type=answer), *batches) == [text]


def code(frames: list[str]) -> str:
    [frame] = frames
    assert frame.startswith('{"error"')
    error = json.loads(frame)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["code"]


@pytest.mark.parametrize(
    ("answer", "text", "reason", "expected"),
    [
        ("int", "[[x]]", "stop", "no_bracketed_value"),
        ("string", "[x]", "stop", "no_bracketed_value"),
        ("int", "[[12", "length", "answer_incomplete"),
        ("string", "", "content_filter", "answer_incomplete"),
        ("full", "half", "length", "answer_incomplete"),
    ],
)
def test_an_answer_without_it_is_an_error(answer: str, text: str, reason: Any, expected: str) -> None:
    ask = asked(response_type=answer)
    events: list[Event] = [Begin(), Text(text), End(reason)]
    assert code(frames(ask, events)) == expected
    collector = Collector()
    collector.feed(events)
    with pytest.raises(DemandUnmet):
        ask.render([collector.reply()], STAMP)


def test_a_value_in_brackets_is_whole_in_a_text_that_is_not() -> None:
    assert frames(asked(response_type="int"), [Begin(), Text("[[3]] beca"), End("length")]) == ["3"]


@pytest.mark.parametrize("answer", ["int", "string", "full", "stream"])
def test_a_failure_ends_the_answer_and_names_nothing(answer: str) -> None:
    events: list[Event] = [
        Begin(),
        Text("[[1]]"),
        Fail(RateLimited("Too much for gpt-5 of org-1: You are A.", code="gpt-5")),
    ]
    *pieces, last = frames(asked(response_type=answer), events)
    assert pieces == (["[[1]]"] if answer == "stream" else [])
    assert code([last]) == "rate_limit_exceeded"
    assert not any(word in last for word in ("gpt-5", "org-1", "You are A."))


@pytest.mark.parametrize("error", [ModelNotFound("No gpt-5.", param="model"), RateLimited("gpt-5 is busy.")])
def test_an_error_names_no_model(error: ProxyError) -> None:
    assert b"gpt-5" not in session().failure(error, None)
    assert b"gpt-5" not in PromptSocket().error(error).body


def test_an_answer_without_end_does_not_fill_the_memory() -> None:
    encoder = asked().encoder(STAMP)
    with pytest.raises(DemandUnmet):
        for _ in range(3):
            encoder.feed([Text("x" * (MAX_CHARACTERS // 2))])


# --- double brackets ---


def bracketed(text: str) -> list[str]:
    """All that stands in double brackets, by definition: by where it ends, and of those by the nearest beginning."""
    opened = [at for at in range(len(text)) if text.startswith("[[", at)]
    closed = [at for at in range(len(text)) if text.startswith("]]", at)]
    nearest = [(max((start for start in opened if start + 2 <= end), default=None), end) for end in closed]
    return [text[start + 2 : end] for start, end in nearest if start is not None]


def is_integer(text: str) -> bool:
    digits = text[1:] if text[:1] in ("+", "-") else text
    return 1 <= len(digits) <= 100 and all("0" <= digit <= "9" for digit in digits)


@given(st.text("[]a1-+٣ \n", max_size=30))
@example("[[[5]]]")
@example("[[a]][[5]]")
@example("[[a [[5]] b]]")
@example("[[-5]]")
@example("[[--5]][[+]][[]]")
@example("]][[1]")
@example("[[" + "1" * 101 + "]][[" + "1" * 100 + "]]")
def test_the_first_in_double_brackets(text: str) -> None:
    found = bracketed(text)
    assert first_bracketed(text) == next(iter(found), None)
    assert first_integer(text) == next((one for one in found if is_integer(one)), None)


HARD = ["[", "]", "[[", "[[1", "[[]]", "[[a", "[[1]", "[[-", "]][[", "1", "[[" + "1" * 100]


def fastest(text: str) -> float:
    times = []
    for _ in range(5):
        began = time.process_time()
        first_bracketed(text), first_integer(text)
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize("part", HARD)
def test_the_time_grows_with_the_text_and_no_faster(part: str) -> None:
    """Eight times the text would take 64 times as long, were anything looked at again from every bracket on."""
    small = part * (500_000 // len(part))
    assert fastest(small * 8) < 8 * 3 * fastest(small) + 0.001
