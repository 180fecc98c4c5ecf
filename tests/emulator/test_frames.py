"""The service's messages as frames."""

from __future__ import annotations

import json

from cw_proxy.emulator import frames
from cw_proxy.wire.eventstream import Frame, FrameDecoder


def decoded(data: bytes) -> Frame:
    [frame] = FrameDecoder().feed(data)
    return frame


def test_an_event() -> None:
    frame = decoded(frames.encode(("assistantResponseEvent", {"content": "é"})))
    assert frame.headers == {
        ":event-type": "assistantResponseEvent",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    assert json.loads(frame.payload) == {"content": "é"}


def test_without_a_content_type() -> None:
    assert ":content-type" not in decoded(frames.event_frame("e", b"{}", None)).headers


def test_an_exception_and_an_error() -> None:
    assert decoded(frames.exception_frame("error", b"{}")).headers[":exception-type"] == "error"
    headers = decoded(frames.error_frame("Code", "words")).headers
    assert (headers[":error-code"], headers[":error-message"]) == ("Code", "words")


def test_the_initial_response() -> None:
    frame = decoded(frames.initial_response_frame({"conversationId": "c"}))
    assert frame.headers[":content-type"] == "application/x-amz-json-1.0"
    assert frame.headers[":event-type"] == "initial-response"


def test_text_in_pieces() -> None:
    events = list(frames.text_events("abcdefgh", 3, "m"))
    assert [payload["content"] for _, payload in events] == ["abc", "def", "gh"]
    assert {payload["modelId"] for _, payload in events} == {"m"}


def test_a_tool_use() -> None:
    head = {"toolUseId": "t", "name": "n"}
    assert [payload for _, payload in frames.tool_events("t", "n", ["{", "}"])] == [
        head,
        {**head, "input": "{"},
        {**head, "input": "}"},
        {**head, "stop": True},
    ]
    assert len(list(frames.tool_events("t", "n", [], stop=False))) == 1


def test_the_tail() -> None:
    assert [name for name, _ in frames.tail_events(1.0, 0.1)] == ["contextUsageEvent", "meteringEvent"]
