"""Anthropic's Messages for the tests: bodies in, questions out; events in, the bytes of an answer out.

In: members of a body, events. Out: what the protocol makes of them. Refuses to know pytest.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from anthropic_sdk import Call, Folded, Judge
from strategies import request, say

from cw_proxy.events import Collector, End, Event, Reply, Text, Thought, ToolClose, ToolInput, ToolOpen
from cw_proxy.interfaces import Stamp
from cw_proxy.protocols.anthropic_messages import AnthropicMessages, MessageAsk
from cw_proxy.protocols.anthropic_messages.thinking import Display
from cw_proxy.wire import sse

JUDGE = Judge()
STAMP = Stamp(1_700_000_000, lambda: "0123")
REQUEST = request(say("user", "hello"), model="auto")
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def ask(**members: Any) -> MessageAsk:
    """A member that is None is left out."""
    body = {"model": "auto", "max_tokens": 1024, "messages": [{"role": "user", "content": "hello"}], **members}
    return ask_of(body)


def ask_of(body: dict[str, Any]) -> MessageAsk:
    [asked] = AnthropicMessages().session().receive(json.dumps(body).encode())
    assert isinstance(asked, MessageAsk)
    return asked


def streamed(events: list[Event], *, display: Display = "shown", batches: list[int] | None = None) -> bytes:
    encoder = MessageAsk(REQUEST, True, display).encoder(STAMP)
    borders = [0, *sorted(batches or []), len(events)]
    return b"".join(encoder.feed(events[start:end]) for start, end in itertools.pairwise(borders))


def frames(stream: bytes) -> list[Any]:
    return [json.loads(data) for data in sse.SseDecoder().feed(stream)]


def kinds(stream: bytes) -> list[str]:
    """The events' types, each as its own line says it and its data too."""
    named = [line.removeprefix("event: ") for line in stream.decode().split("\n") if line.startswith("event: ")]
    assert named == [frame["type"] for frame in frames(stream)]
    return named


def reply_of(events: list[Event]) -> Reply:
    collector = Collector()
    collector.feed(events)
    return collector.reply()


def rendered(events: list[Event], *, display: Display = "shown") -> bytes:
    return MessageAsk(REQUEST, False, display).render([reply_of(events)], STAMP)


def meant(events: list[Event]) -> Folded:
    """What the events say, told without the code under test."""
    end = events[-1]
    assert isinstance(end, End)
    thoughts = [event for event in events if isinstance(event, Thought)]
    return Folded(
        text="".join(event.text for event in events if isinstance(event, Text)),
        thinking="".join(thought.text for thought in thoughts),
        signatures=[thought.signature for thought in thoughts if thought.signature],
        redacted=[thought.redacted for thought in thoughts if thought.redacted],
        calls=_calls(events),
        stop_reason="stop_sequence" if end.stop_sequence else STOP_REASONS[end.finish_reason],
        stop_sequence=end.stop_sequence,
    )


def _calls(events: list[Event]) -> list[Call]:
    calls: list[Call] = []
    fragments: list[str] = []
    for event in events:
        match event:
            case ToolOpen():
                calls.append(Call(event.id, event.name, None))
                fragments = []
            case ToolInput():
                fragments.append(event.fragment)
            case ToolClose():
                calls[-1] = Call(calls[-1].id, calls[-1].name, json.loads("".join(fragments) or "{}"))
    return calls
