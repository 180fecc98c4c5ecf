"""Pieces go into an item; its frames come out, and the whole item at its close."""

from __future__ import annotations

from typing import Any

from responses import frames

from cw_proxy.events import Thought
from cw_proxy.protocols.openai_responses.output import CallItem, Frames, MessageItem, Place, ReasoningItem
from cw_proxy.protocols.openai_responses.tools import Called


def kinds(written: bytes) -> list[str]:
    return [event["type"] for event in frames(written)]


def test_frames_are_numbered_and_named() -> None:
    numbered = Frames("é")
    written = numbered.event("a", x="é\n\n") + numbered.event("b", y=None)
    assert (
        written
        == (
            'event: a\ndata: {"type":"a","sequence_number":0,"stream_id":"é","x":"é\\n\\n"}\n\n'
            'event: b\ndata: {"type":"b","sequence_number":1,"stream_id":"é","y":null}\n\n'
        ).encode()
    )


def test_a_message() -> None:
    message = MessageItem(Frames(), Place("msg_1", 2))
    written = message.open() + message.text("a") + message.text("b")
    closing, item = message.close("incomplete")
    assert kinds(written + closing) == [
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    delta = frames(written)[2]
    del delta["type"]
    assert delta == {
        "sequence_number": 2,
        "item_id": "msg_1",
        "output_index": 2,
        "content_index": 0,
        "delta": "a",
        "logprobs": [],
    }
    assert item == {
        "id": "msg_1",
        "type": "message",
        "status": "incomplete",
        "role": "assistant",
        "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "ab"}],
    }


def test_reasoning_without_text_has_no_summary() -> None:
    reasoning = ReasoningItem(Frames(), Place("rs_1", 0), encrypted=True)
    written = reasoning.open() + reasoning.thought(Thought(redacted="x"))
    closing, item = reasoning.close()
    assert kinds(written + closing) == ["response.output_item.added", "response.output_item.done"]
    assert reasoning.sealed
    assert (item["summary"], item["encrypted_content"]) == ([], "x")


def test_calls() -> None:
    cases: list[tuple[Called, list[str], dict[str, Any]]] = [
        (Called("function", "ls"), ['{"a"', ":1}"], {"type": "function_call", "name": "ls", "arguments": '{"a":1}'}),
        (Called("function", "ls"), [], {"type": "function_call", "name": "ls", "arguments": "{}"}),
        (Called("custom", "p", "n"), ['{"input":"x"}'], {"type": "custom_tool_call", "namespace": "n", "input": "x"}),
        (Called("custom", "p"), [], {"type": "custom_tool_call", "name": "p", "input": ""}),
    ]
    for tool, fragments, expected in cases:
        call = CallItem(Frames(), Place("fc_1", 0), "c1", tool)
        written = call.open() + b"".join(map(call.fragment, fragments))
        closing, item = call.close()
        assert {**item, **expected, "call_id": "c1", "status": "completed"} == item
        done = frames(written + closing)[-2]
        assert done["type"].endswith(".done")
        assert done.get("name") == (tool.name if tool.kind == "function" else None)
