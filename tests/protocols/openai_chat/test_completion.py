"""The whole answer, judged by the official client."""

from __future__ import annotations

import json

import pytest
from chat import JUDGE, frames, meant, rendered, streamed
from hypothesis import given, settings
from openai_sdk import folded
from strategies import answers

from cw_proxy.events import Begin, End, Event, Note, Text, ToolClose, ToolOpen, Usage


@given(answers())
@settings(deadline=None)
def test_the_whole_answer_says_what_the_stream_says(events: list[Event]) -> None:
    whole = JUDGE.full(rendered(events))
    assert folded(whole) == meant(events) == JUDGE.fold([streamed(events)])
    *_, last, done = frames(streamed(events, include_usage=True))
    assert done == b"[DONE]"
    body = json.loads(rendered(events))
    assert last["usage"] == body["usage"]
    assert last.get("x_cw") == body.get("x_cw")


@pytest.mark.parametrize("include_usage", [True, False])
def test_what_the_service_says_beside_the_text_stands_on_the_last_chunk_only(include_usage: bool) -> None:
    events: list[Event] = [
        *[Begin(), Text("a"), Note("references", [{"url": "u"}]), Note("references", [{"url": "v"}])],
        *[Note("followup", {"content": "?"}), Usage(context_percent=1.5), Usage(credits=0.25), End("stop")],
    ]
    extension = {
        "context_percent": 1.5,
        "credits": 0.25,
        "references": [{"url": "u"}, {"url": "v"}],
        "followup": [{"content": "?"}],
    }
    *chunks, last, _ = frames(streamed(events, include_usage=include_usage))
    assert last["x_cw"] == json.loads(rendered(events))["x_cw"] == extension
    assert not any("x_cw" in chunk for chunk in chunks)


def test_a_whole_answer_of_calls_alone_has_no_text() -> None:
    events: list[Event] = [Begin(), ToolOpen("t1", "ls"), ToolClose(), End("tool_calls")]
    message = json.loads(rendered(events))["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "ls", "arguments": "{}"}


def test_a_whole_answer_without_anything_has_an_empty_text() -> None:
    assert json.loads(rendered([Begin(), End("stop")]))["choices"][0]["message"]["content"] == ""
