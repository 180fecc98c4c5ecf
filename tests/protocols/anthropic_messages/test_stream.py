"""The streamed answer, judged by Anthropic's own client."""

from __future__ import annotations

import json

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import JUDGE, frames, kinds, meant, streamed
from strategies import TRICKY, answers

from cw_proxy import errors
from cw_proxy.events import Begin, End, Event, Fail, Note, Text, Thought, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.protocols.anthropic_messages.stream import PING


@given(answers(), st.lists(st.integers(0, 12)))
@settings(max_examples=100)
def test_the_official_client_folds_what_the_events_mean(events: list[Event], batches: list[int]) -> None:
    """Any legal answer, in any batches; these do not show in the bytes."""
    stream = streamed(events, batches=[min(at, len(events)) for at in batches])
    assert stream == streamed(events)
    assert JUDGE.fold([stream]) == meant(events)


@given(answers())
@settings(max_examples=100)
def test_blocks_are_numbered_and_closed_before_the_next_opens(events: list[Event]) -> None:
    first, ping, *blocks, delta, stop = frames(streamed(events))
    assert [frame["type"] for frame in (first, ping, delta, stop)] == [
        *("message_start", "ping", "message_delta", "message_stop")
    ]
    opened = -1
    is_open = False
    for frame in blocks:
        kind = frame["type"].removeprefix("content_block_")
        assert is_open == (kind != "start")
        opened += kind == "start"
        is_open = kind != "stop"
        assert frame["index"] == opened
    assert not is_open


@pytest.mark.parametrize("text", TRICKY)
def test_text_that_looks_like_what_carries_it(text: str) -> None:
    events: list[Event] = [Begin(), Thought(text), Text(text), Text(text)]
    events += [ToolOpen("t1", "ls"), ToolInput(json.dumps({"a": text})), ToolClose(), End("stop")]
    assert JUDGE.fold([streamed(events)]) == meant(events)


SCRIPTS: dict[str, tuple[list[Event], list[str]]] = {
    "text": (
        [Text("ha"), Text("ha"), End("stop")],
        ["start text", "text_delta", "text_delta", "stop"],
    ),
    "numbers and notes do not part a text": (
        [Text("a"), Usage(credits=1.0), Note("followup", {}), Text("b"), End("stop")],
        ["start text", "text_delta", "text_delta", "stop"],
    ),
    "a signature ends its block": (
        [Thought("a"), Thought("b"), Thought(signature="s"), Thought("c"), Text("d"), End("stop")],
        [
            *["start thinking", "thinking_delta", "thinking_delta", "signature_delta", "stop"],
            *["start thinking", "thinking_delta", "stop", "start text", "text_delta", "stop"],
        ],
    ),
    "opaque thoughts stand by themselves": (
        [Thought("a"), Thought(redacted="r"), End("stop")],
        ["start thinking", "thinking_delta", "stop", "start redacted_thinking", "stop"],
    ),
    "a call": (
        [Text("a"), ToolOpen("t", "n"), ToolInput('{"a"'), ToolInput(":1}"), ToolClose(), End("tool_calls")],
        [
            *["start text", "text_delta", "stop"],
            *["start tool_use", "input_json_delta", "input_json_delta", "stop"],
        ],
    ),
    "a call without input": (
        [ToolOpen("t", "n"), ToolInput(""), ToolClose(), End("tool_calls")],
        ["start tool_use", "input_json_delta", "stop"],
    ),
    "nothing": ([Text(""), End("stop")], []),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_blocks(script: str) -> None:
    events, wanted = SCRIPTS[script]
    first, _, *blocks, _, _ = frames(streamed([Begin(), *events]))
    shown = [
        frame["type"].removeprefix("content_block_")
        + (f" {frame['content_block']['type']}" if "content_block" in frame else "")
        if "delta" not in frame
        else frame["delta"]["type"]
        for frame in blocks
    ]
    assert shown == wanted
    assert first["message"]["content"] == []


def test_the_usage_is_estimated_first_and_counted_last() -> None:
    usage = Usage(input_tokens=3, cache_read_tokens=2, cache_write_tokens=4, output_tokens=5)
    first, *_, last, _ = frames(streamed([Begin(), Text("a"), usage, End("stop")]))
    begun = first["message"]["usage"]
    assert (begun["input_tokens"] > 0, begun["output_tokens"], begun["cw_usage_source"]) == (True, 1, "estimated")
    assert last["usage"] == {
        "input_tokens": 3,
        "cache_creation_input_tokens": 4,
        "cache_read_input_tokens": 2,
        "output_tokens": 5,
        "cw_usage_source": "exact",
    }


def test_a_stop_sequence_is_named() -> None:
    message = JUDGE.message([streamed([Begin(), Text("a"), End("stop", "END")])])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "END")


def test_omitted_thoughts_are_their_signatures_and_hidden_ones_nothing() -> None:
    events: list[Event] = [Begin(), Thought("a"), Thought(signature="s"), Text("b"), End("stop")]
    [thinking, text] = JUDGE.message([streamed(events, display="omitted")]).content
    assert (thinking.type, thinking.thinking, thinking.signature) == ("thinking", "", "s")
    assert text.type == "text"
    assert [block.type for block in JUDGE.message([streamed(events, display="hidden")]).content] == ["text"]


@pytest.mark.parametrize(
    "before", [[], [Begin()], [Begin(), Text("a")], [Begin(), Thought("a")], [Begin(), ToolOpen("t1", "ls")]]
)
def test_a_failure_is_an_error_event_and_nothing_after_it(before: list[Event]) -> None:
    stream = streamed([*before, Fail(errors.UpstreamTruncated('cut\n\noff "here"'))])
    *others, last = frames(stream)
    assert last == {"type": "error", "error": {"type": "api_error", "message": 'cut\n\noff "here"'}}
    assert not {"message_delta", "message_stop"} & {frame["type"] for frame in others}
    with pytest.raises(anthropic.APIStatusError) as raised:
        JUDGE.fold([stream])
    assert raised.value.body == last


def test_a_ping_may_come_at_any_time() -> None:
    assert kinds(PING) == ["ping"]
    assert JUDGE.fold([PING, streamed([Begin(), End("stop")])]).stop_reason == "end_turn"
