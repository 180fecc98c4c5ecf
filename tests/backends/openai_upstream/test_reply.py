"""Chunks go in, events come out: for every spelling, every cut and every way to break off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import answers, cut, cuts, json_values, spelled, spellings

from cw_proxy import errors
from cw_proxy.backends.openai_upstream import reply
from cw_proxy.backends.openai_upstream.reply import ReplyDecoder
from cw_proxy.events import (
    Begin,
    Collector,
    End,
    Event,
    Fail,
    OrderCheck,
    Reply,
    Text,
    Thought,
    ToolCall,
    ToolInput,
    ToolOpen,
    Usage,
)

Spelling = tuple[bool, bool, bool]
PLAIN = (False, False, False)
DONE = b"data: [DONE]\n\n"


def decode(chunks: list[bytes], turns: int = 1) -> list[Event]:
    decoder = ReplyDecoder(turns)
    events = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.finish()
    assert decoder.finish() == [] or not isinstance(events[-1], Fail)
    return events


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def sse(value: Any, spelling: Spelling = PLAIN) -> bytes:
    lines = spelled(value, spelling).split(b"\n")
    return b"".join(b"data: " + line + b"\n" for line in lines) + b"\n"


def delta(finish_reason: str | None = None, /, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": members, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def call(index: int, **function: str) -> dict[str, Any]:
    return {"index": index, "function": function}


def stream(*chunks: dict[str, Any], done: bytes = DONE) -> bytes:
    return b"".join(map(sse, chunks)) + done


def failure(data: bytes) -> errors.ProxyError:
    """The error at the end, the same in every cut; nothing in the events looks like a clean end."""
    found = [decode(chunks) for chunks in ([data], byte_by_byte(data))]
    for events in found:
        OrderCheck().feed(events)
        assert [type(event) for event in events if isinstance(event, (End, Fail))] == [Fail]
    whole, cut_up = (events[-1].error for events in found)
    assert (type(whole), whole.message) == (type(cut_up), cut_up.message)
    return whole


def collected(events: list[Event]) -> Reply:
    OrderCheck().feed(events)
    collector = Collector()
    collector.feed(events)
    return collector.reply()


# --- a strict server's chunks ---


def chunks_of(events: list[Event]) -> list[dict[str, Any]]:
    """The chunks that mean these events, as OpenAI writes them. What has no place in them is left out."""
    chunks, number = [delta(role="assistant", content="", refusal=None)], -1
    for event in events:
        match event:
            case Text():
                chunks.append(delta(content=event.text))
            case Thought() if event.text:
                chunks.append(delta(reasoning_content=event.text))
            case ToolOpen():
                number += 1
                function = {"name": event.name, "arguments": ""}
                chunks.append(delta(tool_calls=[{**call(number, **function), "id": event.id, "type": "function"}]))
            case ToolInput():
                chunks.append(delta(tool_calls=[call(number, arguments=event.fragment)]))
            case Usage() if event.input_tokens is not None:
                chunks.append({"id": "chatcmpl-1", "choices": [], "usage": numbers(event)})
            case End():
                chunks.append(delta(event.finish_reason))
    return chunks


def numbers(usage: Usage) -> dict[str, Any]:
    cached = usage.cache_read_tokens or 0
    details = {} if usage.cache_read_tokens is None else {"prompt_tokens_details": {"cached_tokens": cached}}
    return {"prompt_tokens": (usage.input_tokens or 0) + cached, "completion_tokens": usage.output_tokens, **details}


def meant(events: list[Event]) -> Reply:
    """What is left of an answer when it has gone through chunks."""
    kept = collected(events)
    usage = Usage()
    for event in events:
        if isinstance(event, Usage) and event.input_tokens is not None:
            fields = (event.input_tokens, event.output_tokens, event.cache_read_tokens)
            usage = usage.updated(Usage(*fields))
    reason = kept.finish_reason
    if reason in ("stop", "tool_calls"):
        reason = "tool_calls" if kept.tool_calls else "stop"
    thoughts = "".join(thought.text for thought in kept.thoughts)
    return Reply(
        text=kept.text,
        thoughts=(Thought(thoughts),) if thoughts else (),
        tool_calls=kept.tool_calls,
        notes=(),
        usage=usage,
        finish_reason=reason,
    )


def joined(reply: Reply) -> Reply:
    thoughts = "".join(thought.text for thought in reply.thoughts)
    return Reply(
        text=reply.text,
        thoughts=(Thought(thoughts),) if thoughts else (),
        tool_calls=reply.tool_calls,
        notes=reply.notes,
        usage=reply.usage,
        finish_reason=reply.finish_reason,
    )


@given(answers(), cuts, spellings)
def test_any_answer_in_any_spelling_and_any_cut(events: list[Event], fractions: list[float], how: Spelling) -> None:
    data = b"".join(sse(chunk, how) for chunk in chunks_of(events)) + DONE
    assert joined(collected(decode(cut(data, fractions)))) == meant(events)


@given(answers(max_events=5))
def test_any_answer_byte_by_byte(events: list[Event]) -> None:
    data = stream(*chunks_of(events))
    assert joined(collected(decode(byte_by_byte(data)))) == meant(events)


@given(answers(max_events=5), st.floats(0, 1, exclude_max=True))
def test_no_cut_of_an_answer_looks_whole(events: list[Event], where: float) -> None:
    """But for the last frames, after the finish reason: by then all has been said."""
    *before, last = chunks_of(events)
    data = stream(*before, done=b"")
    events = decode([data[: int(where * len(data))]])
    assert isinstance(events[-1], Fail)
    assert last["choices"][0]["finish_reason"]


# --- one by one ---


def test_the_hot_path_is_text_in_text_out() -> None:
    decoder = ReplyDecoder()
    assert decoder.feed(sse(delta(role="assistant", content=""))) == [Begin()]
    assert decoder.feed(sse(delta(content="a")) + sse(delta(content="b"))) == [Text("a"), Text("b")]
    assert not decoder.tail
    assert decoder.feed(sse(delta("stop"))) == []
    assert decoder.tail
    assert decoder.feed(DONE) == []
    assert decoder.finish() == [End("stop")]


def test_usage_is_exact_and_counts_what_was_cached_by_itself() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 60}}
    events = decode([stream(delta("stop", content="a"), {"choices": [], "usage": usage})])
    assert events[2] == Usage(40, 7, 60)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 1}, [Usage(5, 1)]),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, [Usage(0, None, 5)]),
        ({"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": None}, [Usage(5, 1)]),
        ({"prompt_tokens": -5}, []),
        ({"prompt_tokens": "many"}, []),
        ("much", []),
        (None, []),
    ],
)
def test_numbers_that_cannot_be_read_do_not_cost_the_answer(usage: Any, expected: list[Event]) -> None:
    events = decode([stream(delta("stop", content="a"), {"choices": [], "usage": usage})])
    assert events == [Begin(), Text("a"), *expected, End("stop")]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("content_filter", "content_filter"),
        ("tool_calls", "stop"),
        ("eos", "stop"),
    ],
)
def test_finish_reasons(reason: str, expected: str) -> None:
    assert decode([stream(delta(reason, content="a"))])[-1] == End(expected)


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call"])
def test_with_calls_the_reason_is_calls(reason: str) -> None:
    data = stream(delta(tool_calls=[{**call(0, name="ls", arguments="{}"), "id": "x"}]), delta(reason))
    assert collected(decode([data])).tool_calls == (ToolCall("x", "ls", "{}"),)
    assert decode([data])[-1] == End("tool_calls")


def test_the_stop_text_that_ended_an_answer_is_told_where_the_server_tells_it() -> None:
    for told, expected in (("STOP", "STOP"), ("other", None), (128001, None), ([], None)):
        chunk = delta("stop", content="a")
        chunk["choices"][0]["stop_reason"] = told
        decoder = ReplyDecoder(1, ("STOP",))
        decoder.feed(stream(chunk))
        assert decoder.finish() == [End("stop", expected)]


def test_calls_that_interleave() -> None:
    pieces = [call(0, name="a", arguments=""), call(1, name="b", arguments=""), call(0, arguments='{"x":')]
    pieces += [call(1, arguments="{}"), call(0, arguments="1}")]
    events = decode([stream(*(delta(tool_calls=[piece]) for piece in pieces), delta("tool_calls"))])
    assert [(made.name, made.arguments) for made in collected(events).tool_calls] == [("a", '{"x":1}'), ("b", "{}")]


def test_made_ids_are_the_same_for_the_same_answer_and_differ_from_turn_to_turn() -> None:
    data = stream(delta(tool_calls=[call(0, name="a"), call(1, name="a")]), delta("tool_calls"))
    ids = [[made.id for made in collected(decode([data], turns)).tool_calls] for turns in (1, 1, 3)]
    assert ids[0] == ids[1]
    assert len({*ids[0], *ids[2]}) == 4
    assert all(made.startswith("call_") and len(made) <= 40 for made in ids[0])


@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_thoughts_by_either_name(member: str) -> None:
    assert decode([stream(delta(**{member: "hm"}), delta("stop"))]) == [Begin(), Thought("hm"), End("stop")]


def test_a_refusal_is_text_that_did_not_end_as_wanted() -> None:
    assert decode([stream(delta(refusal="I can"), delta(refusal="not."), delta("stop"))]) == [
        Begin(),
        Text("I can"),
        Text("not."),
        End("content_filter"),
    ]


def test_content_in_parts() -> None:
    content = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}, 5]
    assert decode([stream(delta("stop", content=content))])[1] == Text("ab")


def test_text_cut_inside_a_surrogate_pair() -> None:
    data = stream(delta(content="\ud83d"), delta(content="\ude00"), delta("stop", content="\ud83d")).replace(
        b"\xed\xa0\xbd", b"\\ud83d"
    )
    data = data.replace(b"\xed\xb8\x80", b"\\ude00")
    assert "".join(event.text for event in decode([data]) if isinstance(event, Text)) == "😀\ufffd"


def test_what_is_beside_the_first_choice_is_not_asked_for() -> None:
    other = {**delta(content="other")}
    other["choices"][0]["index"] = 1
    assert decode([stream(other, delta("stop", content="a"))]) == [Begin(), Text("a"), End("stop")]


def test_comments_events_carriage_returns_and_a_byte_order_mark() -> None:
    data = b"\xef\xbb\xbf\r\n: hi\r\n\r\nevent: x\r\nid: 5\r\n" + stream(delta("stop", content="a")).replace(
        b"\n", b"\r\n"
    )
    for chunks in ([data], byte_by_byte(data)):
        assert decode(chunks) == [Begin(), Text("a"), End("stop")]


# --- how it ends ---


def test_a_finish_reason_without_done_is_an_end_and_so_is_done_without_a_reason() -> None:
    assert decode([stream(delta("stop", content="a"), done=b"")])[-1] == End("stop")
    assert decode([stream(delta(content="a"))])[-1] == End("stop")
    assert decode([stream(delta(content="a"), done=DONE + sse(delta(content="after")))]) == [
        Begin(),
        Text("a"),
        End("stop"),
    ]


BEGINNING = stream(delta(content="a"), done=b"")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (BEGINNING, errors.UpstreamTruncated),
        (BEGINNING + b'data: {"choices":[{"del', errors.UpstreamTruncated),
        (BEGINNING + b"data: {]\n\n", errors.UpstreamProtocol),
        (BEGINNING + b'data: "\xff"\n\n', errors.UpstreamProtocol),
        (BEGINNING + b"data: 5\n\n", errors.UpstreamProtocol),
        (BEGINNING + b"data: " + b"[" * 100_000 + b"\n\n", errors.UpstreamProtocol),
        (BEGINNING + sse({"error": {"message": "Slow down.", "type": "rate_limit_error"}}), errors.RateLimited),
        (BEGINNING + sse({"error": {"message": "x", "type": "server_error"}}) + DONE, errors.UpstreamUnavailable),
        (BEGINNING + sse({"error": "broke"}), errors.UpstreamUnavailable),
        (BEGINNING + sse({"object": "error", "message": "x", "code": 400}), errors.UpstreamUnavailable),
        (BEGINNING + sse(delta("error")), errors.UpstreamUnavailable),
        (sse({"error": {"message": "x", "code": "context_length_exceeded"}}), errors.ContextLengthExceeded),
        (b"", errors.EmptyUpstreamResponse),
        (b"\r\n \n", errors.EmptyUpstreamResponse),
        (DONE, errors.EmptyUpstreamResponse),
        (b"upstream connect error", errors.UpstreamProtocol),
        (b": only a comment\n\n", errors.UpstreamProtocol),
        (b"<!doctype html><title>Sign in</title>", errors.UpstreamProtocol),
        (stream(delta(tool_calls=[call(0, name="ls", arguments='{"a')]), done=b""), errors.UpstreamTruncated),
        (stream(delta(tool_calls=[call(0, name="ls", arguments='{"a')]), delta("length")), errors.UpstreamTruncated),
        (stream(delta(tool_calls=[call(0, arguments="{}")]), delta("tool_calls")), errors.UpstreamProtocol),
    ],
)
def test_what_is_no_answer_is_an_error(data: bytes, error: type[errors.ProxyError]) -> None:
    assert type(failure(data)) is error


def test_nothing_comes_after_a_failure() -> None:
    decoder = ReplyDecoder()
    assert isinstance(decoder.feed(sse({"error": "x"}))[-1], Fail)
    assert decoder.feed(sse(delta("stop", content="a"))) == []
    assert decoder.finish() == []


def test_a_line_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "_MOST_BODY", 1000)
    for first in (b"data: ", b"{"):
        assert type(failure(first + b"x" * 2000)) is errors.UpstreamProtocol


# --- an answer that is not streamed ---


def test_a_whole_answer_is_taken_as_one_chunk() -> None:
    made = {"id": "x", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    message = {"role": "assistant", "content": "a", "refusal": None, "tool_calls": [made]}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    data = json.dumps(body, indent=1).encode()
    for chunks in ([data], byte_by_byte(data)):
        whole = collected(decode(chunks))
        assert (whole.text, whole.tool_calls, whole.usage) == ("a", (ToolCall("x", "ls", "{}"),), Usage(3, 2))
        assert whole.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":{"message":"No.","code":"insufficient_quota"}}', errors.InsufficientQuota),
        (b'{"choices":[{"message":{"cont', errors.UpstreamProtocol),
        (b'{"choices":[]}', errors.UpstreamTruncated),
        (b"{}", errors.UpstreamTruncated),
    ],
)
def test_a_whole_answer_that_is_none(body: bytes, error: type[errors.ProxyError]) -> None:
    assert type(failure(body)) is error


# --- hostile servers ---

members = st.sampled_from(["content", "tool_calls", "refusal", "reasoning", "reasoning_content"])
hostile_delta = st.dictionaries(members, json_values, max_size=2)
hostile_call = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 1, None, -1]),
        "id": st.sampled_from(["a", "b", "", None]),
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["ls", "", None]),
                "arguments": st.sampled_from(["{", "}", "{}", "", " ", '{"a":"\ud83d', None]) | json_values,
            },
        ),
    },
)
hostile_chunks = st.one_of(
    json_values,
    st.builds(lambda said: delta(**said), hostile_delta),
    st.builds(lambda calls: delta(tool_calls=calls), st.lists(hostile_call, max_size=3)),
    st.builds(lambda reason: delta(reason), st.sampled_from(["stop", "length", "error", None])),
    st.builds(lambda value: {"choices": [], "usage": value}, json_values),
    st.builds(lambda value: {"choices": value}, json_values),
)


@given(st.lists(hostile_chunks, max_size=6), st.booleans(), cuts)
def test_whatever_a_server_sends_the_events_are_legal(chunks: list[Any], done: bool, fractions: list[float]) -> None:
    data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + (DONE if done else b"")
    events = decode(cut(data, fractions))
    order = OrderCheck()
    order.feed(events)
    assert order.ended
    for event in events:
        if isinstance(event, (Text, Thought, ToolInput)):
            (event.fragment if isinstance(event, ToolInput) else event.text).encode()


@given(st.binary(max_size=60), cuts)
def test_any_bytes_end_in_one_way(data: bytes, fractions: list[float]) -> None:
    events = decode(cut(data, fractions))
    assert isinstance(events[-1], (End, Fail))
    OrderCheck().feed(events)


@pytest.mark.parametrize("reason", ["abort", "network_error", "timeout"])
def test_a_reason_that_is_no_good_end_is_a_cut(reason: str) -> None:
    error = failure(stream(delta(content="Half a "), delta(reason)))
    assert isinstance(error, errors.UpstreamTruncated)
