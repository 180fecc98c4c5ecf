"""The service's frames go in, events come out: for every spelling, every cut and every way to break off."""

from __future__ import annotations

import itertools
import json
import struct
from zlib import crc32

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import answers, cut, cuts, exception, frame, frames_of, json_values, spellings, texts

from cw_proxy import errors
from cw_proxy.backends.codewhisperer.reply import ReplyDecoder
from cw_proxy.events import (
    ORDER,
    Begin,
    Collector,
    End,
    Event,
    Fail,
    Note,
    OrderCheck,
    Reply,
    Text,
    Thought,
    ToolCall,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
)
from cw_proxy.wire.eventstream import encode_frame


def decode(chunks: list[bytes], conversation_id: str | None = None) -> list[Event]:
    decoder = ReplyDecoder(conversation_id)
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.finish()


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def collected(events: list[Event]) -> Reply:
    OrderCheck().feed(events)
    collector = Collector()
    collector.feed(events)
    return collector.reply()


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def failure(events: list[Event]) -> errors.ProxyError:
    """The error at the end: the events are a legal walk, nothing in them looks like a clean end."""
    OrderCheck().feed(events)
    assert [type(event) for event in events if isinstance(event, (End, Fail))] == [Fail]
    return events[-1].error


def say(content: str) -> bytes:
    return frame("assistantResponseEvent", {"content": content})


def raw_say(content: str) -> bytes:
    """`content` is already JSON text, without its quotes."""
    return frame("assistantResponseEvent", b'{"content":"' + content.encode() + b'"}')


def use(identity: str = "t1", name: str = "ls", **members: object) -> bytes:
    return frame("toolUseEvent", {"toolUseId": identity, "name": name, **members})


TAIL = frame("contextUsageEvent", {"contextUsagePercentage": 12.5})
TAIL_EVENT = Usage(context_percent=12.5)

# --- the frames' meaning ---


@given(answers(), cuts, spellings)
def test_any_answer_in_any_spelling_and_any_cut(
    events: list[Event], fractions: list[float], spelling: tuple[bool, bool, bool]
) -> None:
    assert decode(cut(b"".join(frames_of(events, spelling)), fractions)) == events


@given(answers(max_events=4))
@settings(max_examples=15)
def test_byte_by_byte(events: list[Event]) -> None:
    assert decode(byte_by_byte(b"".join(frames_of(events)))) == events


@given(st.lists(texts, min_size=1), cuts)
@example(["ha", "ha", "ha"], [])
def test_equal_deltas_are_all_kept(deltas: list[str], fractions: list[float]) -> None:
    assert decode(cut(b"".join(map(say, deltas)), fractions)) == [Begin(), *map(Text, deltas), End("stop")]


SCRIPTS = {
    "a delta without content is nothing": (
        [say("a"), say(""), frame("assistantResponseEvent", {}), frame("assistantResponseEvent", b'{"content":null}')],
        [Begin(), Text("a"), End("stop")],
    ),
    "unknown members and event types are skipped": (
        [
            frame("initial-response", {}),
            frame("assistantResponseEvent", {"content": "a", "new": [1]}),
            frame("newEvent", b"not JSON"),
            frame("intentsEvent", {"intents": {}}),
        ],
        [Begin(), Text("a"), End("stop")],
    ),
    "a frame without a type, or without a content type": (
        [encode_frame({}, b"{}"), encode_frame({":event-type": "assistantResponseEvent"}, b'{"content":"a"}')],
        [Begin(), Text("a"), End("stop")],
    ),
    "the last of two equal keys wins": (
        [frame("assistantResponseEvent", b'{"content":"a","content":"b"}')],
        [Begin(), Text("b"), End("stop")],
    ),
    "null is as good as absent": (
        [
            frame("messageMetadataEvent", {"conversationId": None}),
            frame("toolUseEvent", {"toolUseId": "t1", "name": "ls", "input": None, "stop": None}),
            frame("toolUseEvent", {"toolUseId": "t1", "name": None, "stop": True}),
            frame("reasoningContentEvent", {"text": None}),
            frame("codeReferenceEvent", {"references": None}),
            frame("metadataEvent", {"tokenUsage": None, "stopReason": None}),
        ],
        [Begin(), ToolOpen("t1", "ls"), ToolClose(), End("tool_calls")],
    ),
    "no input at all, or an empty one, is an empty object": (
        [use(), use(stop=True), use("t2"), use("t2", input=""), use("t2", stop=True)],
        [Begin(), ToolOpen("t1", "ls"), ToolClose(), ToolOpen("t2", "ls"), ToolClose(), End("tool_calls")],
    ),
    "a call in one frame": (
        [use(input="{}", stop=True)],
        [Begin(), ToolOpen("t1", "ls"), ToolInput("{}"), ToolClose(), End("tool_calls")],
    ),
    "an input that is an object is its text": (
        [use(input={"a": ["é", 10**30, {}]}), use(stop=True)],
        [
            Begin(),
            ToolOpen("t1", "ls"),
            ToolInput('{"a":["é",' + "1" + "0" * 30 + ",{}]}"),
            ToolClose(),
            End("tool_calls"),
        ],
    ),
    "equal calls are two calls": (
        [use("t1", input="{}", stop=True), use("t2", input="{}", stop=True)],
        [
            Begin(),
            *[ToolOpen("t1", "ls"), ToolInput("{}"), ToolClose()],
            *[ToolOpen("t2", "ls"), ToolInput("{}"), ToolClose()],
            End("tool_calls"),
        ],
    ),
    "what comes between a call's frames follows it, numbers pass": (
        [
            use(),
            say("text"),
            frame("reasoningContentEvent", {"text": "hm"}),
            TAIL,
            frame("codeReferenceEvent", {"references": [{"url": "u"}]}),
            use(stop=True),
        ],
        [
            *[Begin(), ToolOpen("t1", "ls"), TAIL_EVENT, ToolClose()],
            *[Text("text"), Thought("hm"), Note("references", [{"url": "u"}]), End("tool_calls")],
        ],
    ),
    "two calls that interleave come one after the other": (
        [
            *[use("t1"), use("t2", "cat"), use("t1", input='{"a"'), use("t2", "cat", input="{}"), say("x")],
            *[use("t1", input=":1}"), use("t2", "cat", stop=True), use("t1", stop=True)],
        ],
        [
            *[Begin(), ToolOpen("t1", "ls"), ToolInput('{"a"'), ToolInput(":1}"), ToolClose()],
            *[ToolOpen("t2", "cat"), ToolInput("{}"), ToolClose(), Text("x"), End("tool_calls")],
        ],
    ),
    "the second goes on after the first has closed": (
        [use("t1"), use("t2", "cat"), use("t1", stop=True), use("t2", "cat", input="{}"), use("t2", stop=True)],
        [
            *[Begin(), ToolOpen("t1", "ls"), ToolClose()],
            *[ToolOpen("t2", "cat"), ToolInput("{}"), ToolClose(), End("tool_calls")],
        ],
    ),
    "a later number overrules, the stop reason stands": (
        [
            say("a"),
            frame("metadataEvent", {"stopReason": "MAX_TOKENS"}),
            frame("metadataEvent", {"tokenUsage": {"uncachedInputTokens": 1, "outputTokens": 2, "totalTokens": 3}}),
        ],
        [Begin(), Text("a"), Usage(input_tokens=1, output_tokens=2), End("length")],
    ),
    "an unknown stop reason is told from what was seen": (
        [use(stop=True), frame("metadataEvent", {"stopReason": "NEW"})],
        [Begin(), ToolOpen("t1", "ls"), ToolClose(), End("tool_calls")],
    ),
    "an answer of nothing but a tail is a whole one": ([TAIL], [Begin(), TAIL_EVENT, End("stop")]),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts(script: str) -> None:
    frames, events = SCRIPTS[script]
    assert decode([b"".join(frames)]) == events
    assert decode(frames) == events
    assert decode(byte_by_byte(b"".join(frames))) == events


@given(st.lists(st.sampled_from(["t1", "t2", "t3", "text"]), max_size=20))
def test_calls_interleaved_at_random_lose_nothing(order: list[str]) -> None:
    """Each call is an object with as many blanks as it had frames: no frame may be lost or land in another call."""
    opened = list(dict.fromkeys(name for name in order if name != "text"))
    frames = [use(name, input="{}" if order.index(name) == at else " ") if name != "text" else say("x")
              for at, name in enumerate(order)]  # fmt: skip
    reply = collected(decode([*frames, *(use(name, stop=True) for name in reversed(opened)), TAIL]))
    wanted = {name: ToolCall(name, "ls", "{}" + " " * (order.count(name) - 1)) for name in opened}
    assert {call.id: call for call in reply.tool_calls} == wanted
    assert reply.text == "x" * order.count("text")


@pytest.mark.timeout(30)
def test_thousands_of_nested_calls_take_no_recursion_and_no_time() -> None:
    names = [f"t{number}" for number in range(5000)]
    nested = [use(name) for name in names] + [use(name, stop=True) for name in reversed(names)]
    assert [call.id for call in collected(decode(nested)).tool_calls] == names


# --- unicode ---

PAIRS = {
    "raw UTF-8": [say("a👍b")],
    "a pair of escapes": [raw_say("a\\ud83d\\udc4db")],
    "a pair cut between two frames": [raw_say("a\\ud83d"), raw_say("\\udc4db")],
    "cut, with a number between": [raw_say("a\\ud83d"), TAIL, raw_say("\\udc4db")],
    "cut, as three-byte halves": [
        frame("assistantResponseEvent", {"content": "a\ud83d"}),
        frame("assistantResponseEvent", {"content": "\udc4db"}),
    ],
    "cut, with an empty delta between": [raw_say("a\\ud83d"), raw_say(""), raw_say("\\udc4db")],
}


@pytest.mark.parametrize("spelling", PAIRS)
def test_an_emoji_in_every_spelling(spelling: str) -> None:
    data = b"".join(PAIRS[spelling])
    for at in range(len(data)):
        assert text_of(decode([data[:at], data[at:]])) == "a👍b"


LONE = {
    "a lone low half": ([raw_say("a\\udc4db")], "a\ufffdb"),
    "a lone high half inside": ([raw_say("a\\ud83db")], "a\ufffdb"),
    "a high half at the end of a delta": ([raw_say("a\\ud83d"), raw_say("b")], "a\ufffdb"),
    "a high half at the very end": ([raw_say("a\\ud83d")], "a\ufffd"),
    "nothing but a high half": ([raw_say("\\ud83d")], "\ufffd"),
    "two high halves": ([raw_say("\\ud83d"), raw_say("\\ud83d\\udc4d")], "\ufffd👍"),
}


@pytest.mark.parametrize("case", LONE)
def test_half_a_pair_alone_is_the_replacement_character(case: str) -> None:
    frames, text = LONE[case]
    assert collected(decode(frames)).text == text


def test_a_pair_cut_between_the_fragments_of_an_input() -> None:
    head, tail = (
        b'{"toolUseId":"t1","name":"ls","input":"' + half + b'"}' for half in (b'{\\"a\\":\\"\\ud83d', b'\\udc4d\\"}')
    )
    frames = [frame("toolUseEvent", head), frame("toolUseEvent", tail), use(stop=True)]
    assert collected(decode(frames)).tool_calls == (ToolCall("t1", "ls", '{"a":"👍"}'),)


def test_a_pair_cut_between_two_thoughts() -> None:
    frames = [
        frame("reasoningContentEvent", b'{"text":"\\ud83d"}'),
        frame("reasoningContentEvent", b'{"text":"\\udc4d"}'),
    ]
    assert decode(frames) == [Begin(), Thought("👍"), End("stop")]


def test_half_a_pair_in_a_note_does_not_end_the_answer() -> None:
    """The service shortens snippets, wherever that cuts them."""
    frames = [say("a"), frame("citationEvent", b'{"citationText":"\\ud83d","n":[1]}')]
    assert decode(frames) == [Begin(), Text("a"), Note("citation", {"citationText": "\ufffd", "n": [1]}), End("stop")]


def test_half_a_pair_before_an_unfinished_call_keeps_the_order() -> None:
    assert isinstance(failure(decode([raw_say("a\\ud83d"), use()])), errors.UpstreamTruncated)


def test_escapes_inside_the_arguments_are_passed_as_they_are() -> None:
    arguments = '{"a":"\\ud83d","b":1e999,"c":' + "9" * 5000 + "}"
    assert collected(decode([use(input=arguments, stop=True)])).tool_calls[0].arguments == arguments


# --- the conversation's id ---

IDS = [
    ("c-1", None, "c-1"),
    (None, "c-2", "c-2"),
    ("c-1", "c-2", "c-1"),
    ("", "c-2", "c-2"),
    ("x" * 129, None, None),
    ("caf\udce9", None, None),
    ("a\nb", "c-2", "c-2"),
    (None, "é", None),
]


@pytest.mark.parametrize(("header", "metadata", "adopted"), IDS)
def test_the_services_id_is_adopted_if_it_can_be_sent_back(
    header: str | None, metadata: str | None, adopted: str | None
) -> None:
    events = decode([frame("messageMetadataEvent", {"conversationId": metadata}), say("a")], header)
    assert events[0] == Begin(adopted)


# --- the ladder: did it finish? ---


def ladder_of_prefix(border: bool, seen: list[Event]) -> type[errors.ProxyError] | None:
    """conversion.md, "Did it finish?", for a body cut after some frames; None is a clean end."""
    if not border:
        return errors.UpstreamTruncated
    opened = sum(isinstance(event, ToolOpen) for event in seen) - sum(isinstance(event, ToolClose) for event in seen)
    if opened:
        return errors.UpstreamTruncated
    if any(isinstance(event, (Text, Thought, ToolClose, Usage)) for event in seen):
        return None
    return errors.EmptyUpstreamResponse


WHOLE: list[Event] = [
    *[Begin("c-1"), Text("a👍"), Thought("hm"), Text("a👍"), Note("followup", {"content": "?"})],
    *[ToolOpen("t1", "ls"), ToolInput('{"a'), TAIL_EVENT, ToolInput('":1}'), ToolClose()],
    *[Text("b"), Usage(credits=0.5)],
]


@pytest.mark.parametrize("spelling", [(False, False, False), (True, True, True)])
def test_every_prefix_of_an_answer(spelling: tuple[bool, bool, bool]) -> None:
    """Cut at every byte: only a cut on a frame's border, outside a call, with something answered, is a clean end."""
    frames = frames_of(WHOLE, spelling)
    borders = [0, *itertools.accumulate(map(len, frames))]
    data = b"".join(frames)
    for at in range(len(data) + 1):
        whole_frames = max(index for index, border in enumerate(borders) if border <= at)
        seen = WHOLE[:whole_frames]
        wanted = ladder_of_prefix(at in borders, seen)
        events = decode([data[:at]])
        if wanted is None:
            assert events[:-1] == seen
            assert isinstance(events[-1], End)
        else:
            assert type(failure(events)) is wanted
            assert [event for event in events if not isinstance(event, Fail)] == seen


@pytest.mark.parametrize("position", [0, 4, 8, 11, 12, 30, -5, -1])
def test_a_flipped_byte_ends_the_answer_as_an_error(position: int) -> None:
    damaged = bytearray(say("damaged"))
    damaged[position] ^= 1
    events = decode([say("good") + bytes(damaged) + say("after")])
    assert isinstance(failure(events), errors.UpstreamTruncated)
    assert text_of(events) == "good"


def test_an_impossible_length_is_found_at_once() -> None:
    lengths = struct.pack(">II", 2**31, 0)
    decoder = ReplyDecoder()
    [fail] = decoder.feed(lengths + struct.pack(">I", crc32(lengths)))
    assert isinstance(fail, Fail)
    assert decoder.feed(say("more")) == decoder.finish() == []


TRUNCATED_CALLS = {
    "without a stop": [use(), use(input='{"a":1}')],
    "with half a stop": [use(), use(input='{"a":1}'), use(stop=False)],
    "not JSON": [use(input='{"a":'), use(stop=True)],
    "a list": [use(input="[1]"), use(stop=True)],
    "a text": [use(input='"a"', stop=True)],
    "NaN": [use(input='{"a":NaN}', stop=True)],
    "two objects": [use(input="{}"), use(input="{}", stop=True)],
    "too deep": [use(input='{"a":' + "[" * 5000 + "]" * 5000 + "}", stop=True)],
    "the second of two": [use(), use("t2"), use(stop=True)],
    "broken while it waited": [use(), use("t2", input="{", stop=True), use(stop=True)],
}


@pytest.mark.parametrize("case", TRUNCATED_CALLS)
@pytest.mark.parametrize("tail", [[], [TAIL], [frame("metadataEvent", {"stopReason": "TOOL_USE"})]])
def test_a_call_that_is_not_whole_is_never_shown_as_whole(case: str, tail: list[bytes]) -> None:
    events = decode([say("a"), *TRUNCATED_CALLS[case], *tail])
    assert isinstance(failure(events), errors.UpstreamTruncated)


EXCEPTIONS = [
    (exception("error", "Try again", "MODEL_TEMPORARILY_UNAVAILABLE"), errors.UpstreamUnavailable, "Try again"),
    (exception("throttlingException"), errors.RateLimited, "It broke."),
    (exception("unheardOfException"), errors.UpstreamUnavailable, "It broke."),
    (exception("validationException", "Input is too long."), errors.ContextLengthExceeded, "Input is too long."),
    (encode_frame({":message-type": "exception"}, b"<html>"), errors.UpstreamUnavailable, "ended its answer"),
    (
        encode_frame(
            {":message-type": "error", ":error-code": "ns#ThrottlingException", ":error-message": "Slow"}, b""
        ),
        errors.RateLimited,
        "Slow",
    ),
    (encode_frame({":message-type": "error"}, b""), errors.UpstreamUnavailable, "ended its answer"),
    (encode_frame({":message-type": "error", ":error-code": 500}, b""), errors.UpstreamUnavailable, "ended its"),
    (frame("invalidStateEvent", {"reason": "R", "message": "Bad state"}), errors.UpstreamProtocol, "Bad state"),
]


@pytest.mark.parametrize("before", [[], [say("a")], [say("a"), use()]], ids=["at once", "in text", "in a call"])
@pytest.mark.parametrize(("broken", "error", "message"), EXCEPTIONS, ids=itertools.count())
def test_an_exception_frame_is_the_end(
    broken: bytes, error: type[errors.ProxyError], message: str, before: list[bytes]
) -> None:
    if b"invalidStateEvent" in broken and len(before) == 2:
        before = [say("a")]  # inside a call it waits for the close
    found = failure(decode([*before, broken, say("after"), TAIL]))
    assert type(found) is error
    assert message in found.message


UNREADABLE = {
    "not JSON": b"{",
    "no object": b"[]",
    "NUL": b"\0",
    "too deep": b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "too deep and cut": b'{"x":' + b"[" * 100_000,
    "not UTF-8": b'{"content":"\xff","toolUseId":"\xff","text":"\xff","stopReason":"\xff","usage":"\xff"}',
    "wrong types": json.dumps(
        {"content": 1, "toolUseId": 1, "text": 1, "usage": "1", "contextUsagePercentage": "1", "stopReason": 1}
    ).encode(),
}


@pytest.mark.parametrize("payload", UNREADABLE)
@pytest.mark.parametrize("kind", ["assistantResponseEvent", "toolUseEvent", "reasoningContentEvent"])
@pytest.mark.parametrize("first", [True, False])
def test_a_payload_that_cannot_be_read_is_an_error_and_raises_nothing(kind: str, payload: str, first: bool) -> None:
    events = decode([b"" if first else say("a"), frame(kind, UNREADABLE[payload]), say("after")])
    assert isinstance(failure(events), errors.UpstreamProtocol)


@pytest.mark.parametrize("payload", UNREADABLE)
@pytest.mark.parametrize("kind", ["metadataEvent", "meteringEvent", "contextUsageEvent", "citationEvent"])
def test_numbers_and_notes_that_cannot_be_read_do_not_cost_the_answer(kind: str, payload: str) -> None:
    events = decode([say("a"), frame(kind, UNREADABLE[payload]), say("b")])
    assert [event.text for event in events if isinstance(event, Text)] == ["a", "b"]
    assert events[-1] == End("stop")


@pytest.mark.parametrize(("depth", "noted"), [(99, True), (101, False), (950, False)])
def test_a_note_too_deep_to_be_written_is_left_out(depth: int, noted: bool) -> None:
    note = b'{"x":' + b"[" * depth + b"]" * depth + b"}"
    events = decode([say("a"), frame("citationEvent", note)])
    assert any(isinstance(event, Note) for event in events) is noted
    assert events[-1] == End("stop")


@pytest.mark.parametrize("body", [b"<!DOCTYPE html><p>Hello", b'{"message":"not a stream"}', b"\x1f\x8b" + bytes(20)])
def test_another_kind_of_answer_is_no_cut_one(body: bytes) -> None:
    assert isinstance(failure(decode([body])), errors.UpstreamProtocol)


# --- hostile bytes ---

KINDS = [
    *["assistantResponseEvent", "toolUseEvent", "reasoningContentEvent", "metadataEvent", "meteringEvent"],
    *["contextUsageEvent", "messageMetadataEvent", "codeReferenceEvent", "supplementaryWebLinksEvent"],
    *["followupPromptEvent", "citationEvent", "documentCitationEvent", "invalidStateEvent", "codeEvent", ""],
]
MEMBERS = [
    *["content", "toolUseId", "name", "input", "stop", "text", "signature", "redactedContent", "conversationId"],
    *["tokenUsage", "stopReason", "usage", "contextUsagePercentage", "references", "followupPrompt", "message"],
]
surrogates = st.text(st.characters(codec=None, min_codepoint=0xD7FE, max_codepoint=0xE001), max_size=3)
hostile_values = st.one_of(json_values, surrogates, st.sampled_from(["t1", "t2", "{}", '{"a":', True]))
hostile_payloads = st.dictionaries(st.sampled_from(MEMBERS), hostile_values, max_size=4)
hostile_headers = st.dictionaries(
    st.sampled_from([":event-type", ":message-type", ":exception-type", ":error-code"]),
    st.one_of(st.sampled_from([*KINDS, "exception", "error", "event"]), st.integers(0, 5), st.binary(max_size=3)),
)
hostile_frames = st.one_of(
    st.builds(frame, st.sampled_from(KINDS), hostile_payloads, spellings),
    st.builds(frame, st.sampled_from(KINDS), st.binary(max_size=20)),
    st.builds(encode_frame, hostile_headers, st.binary(max_size=5) | st.just(b"{}")),
    st.builds(
        lambda identity, members: frame("toolUseEvent", {"toolUseId": identity, "name": "ls", **members}),
        st.sampled_from(["t1", "t2", "t3"]),
        st.fixed_dictionaries({}, optional={"input": st.sampled_from(["{}", "{", "}", ""]), "stop": st.booleans()}),
    ),
    st.builds(raw_say, st.sampled_from(["a", "\\ud83d", "\\udc4d", ""])),
    st.binary(max_size=30),
)


@given(st.lists(hostile_frames, max_size=12), cuts)
@settings(max_examples=300)
def test_whatever_comes_the_events_are_a_legal_walk_to_an_end(frames: list[bytes], fractions: list[float]) -> None:
    data = b"".join(frames)
    check = OrderCheck()
    events = decode(cut(data, fractions))
    check.feed(events)
    assert check.ended
    assert events == decode([data]) or isinstance(events[-1], Fail)
    for event in events:  # No text that a JSON writer would refuse.
        repr(event).encode()
        if isinstance(event, (Text, ToolInput, Thought)):
            (event.fragment if isinstance(event, ToolInput) else event.text).encode()


def test_the_cases_above_reach_every_transition() -> None:
    """ORDER's own rows, seen in this file's scripts: a new transition wants a new script."""
    walks = [events for _, events in SCRIPTS.values()] + [WHOLE]
    walks += [decode([*before, broken]) for before in ([], [say("a")], [use()]) for broken, _, _ in EXCEPTIONS]
    check, seen = OrderCheck(), set()
    for walk in walks:
        check = OrderCheck()
        for event in walk:
            state = check.state
            check.feed([event])
            seen.add((state, type(event)))
    assert seen == {(state, kind) for state, row in ORDER.items() for kind in row}


@pytest.mark.parametrize("kind", ["metadataEvent", "contextUsageEvent", "meteringEvent", "followupPromptEvent"])
def test_a_tail_frame_is_told_without_an_event_of_its_own(kind: str) -> None:
    decoder = ReplyDecoder()
    decoder.feed(frame("assistantResponseEvent", {"content": "a"}))
    assert not decoder.tail
    decoder.feed(frame(kind, {}))
    assert decoder.tail == (kind != "followupPromptEvent")
    assert decoder.finish() == [End("stop")]
