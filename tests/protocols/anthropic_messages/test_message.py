"""The whole answer, judged by Anthropic's own client."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message
from anthropic_sdk import folded
from hypothesis import given
from hypothesis import strategies as st
from messages import JUDGE, frames, meant, rendered, streamed
from strategies import answers

from cw_proxy.events import Begin, End, Event, Note, Text, Thought, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.protocols.anthropic_messages.thinking import Display


def blocks(message: Message) -> list[Any]:
    return [block.to_dict() for block in message.content]


@given(answers(), st.sampled_from(["shown", "omitted", "hidden"]))
def test_the_whole_answer_says_what_the_stream_says(events: list[Event], display: Display) -> None:
    body = rendered(events, display=display)
    stream = streamed(events, display=display)
    assert blocks(JUDGE.full(body)) == blocks(JUDGE.message([stream]))
    if display == "shown":
        assert folded(JUDGE.full(body)) == meant(events)
    *_, last, _ = frames(stream)
    whole = json.loads(body)
    assert last["usage"] == whole["usage"]
    assert last.get("x_cw") == whole.get("x_cw")


def test_what_the_service_says_beside_the_text_stands_on_the_last_event_only() -> None:
    events: list[Event] = [Begin(), Text("a"), Note("references", [{"url": "u"}]), Usage(credits=0.25), End("stop")]
    extension = {"credits": 0.25, "references": [{"url": "u"}]}
    *others, last, stop = frames(streamed(events))
    assert last["x_cw"] == json.loads(rendered(events))["x_cw"] == extension
    assert not any("x_cw" in frame for frame in (*others, stop))


def test_everything_stands_in_its_order_and_a_signature_ends_a_thought() -> None:
    thoughts = [Thought("a"), Thought("b", "s1"), Thought(redacted="r"), Thought("c"), Thought(redacted="q")]
    events: list[Event] = [Begin(), *thoughts, Text("d"), Thought(signature="s2"), End("stop")]
    assert json.loads(rendered(events))["content"] == [
        {"type": "thinking", "thinking": "ab", "signature": "s1"},
        {"type": "redacted_thinking", "data": "r"},
        {"type": "thinking", "thinking": "c", "signature": ""},
        {"type": "redacted_thinking", "data": "q"},
        {"type": "text", "text": "d"},
        {"type": "thinking", "thinking": "", "signature": "s2"},
    ]


@pytest.mark.parametrize("number", ["1e400", "123456789012345678901234567890", "0.1000"])
def test_numbers_of_a_call_stay_as_they_were_written(number: str) -> None:
    call = f'{{"n":{number}}}'
    body = rendered([Begin(), ToolOpen("t", "n"), ToolInput(call), ToolClose(), End("tool_calls")])
    assert f'"input":{call}'.encode() in body


def test_an_answer_without_anything_has_no_blocks() -> None:
    message = JUDGE.full(rendered([Begin(), End("stop")]))
    assert (message.content, message.stop_reason, message.usage.output_tokens) == ([], "end_turn", 1)
