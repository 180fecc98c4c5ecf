"""Chat Completions for the tests: bodies in, questions out; events in, the bytes of an answer out.

In: members of a body, events. Out: what the protocol makes of them. Refuses to know pytest.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from openai_sdk import Call, Folded, Judge
from strategies import request, say

from cw_proxy.events import Collector, Event, Reply, Text, ToolClose, ToolInput, ToolOpen
from cw_proxy.interfaces import Stamp
from cw_proxy.protocols.openai_chat import ChatAsk, OpenAIChat
from cw_proxy.wire import sse

JUDGE = Judge()
STAMP = Stamp(1_700_000_000, lambda: "0123")
REQUEST = request(say("user", "hello"), model="auto")


def ask(**members: Any) -> ChatAsk:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], **members}
    [asked] = OpenAIChat().session().receive(json.dumps(body).encode())
    assert isinstance(asked, ChatAsk)
    return asked


def streamed(events: list[Event], *, include_usage: bool = False, batches: list[int] | None = None) -> bytes:
    encoder = ChatAsk(REQUEST, True, include_usage).encoder(STAMP)
    borders = [0, *sorted(batches or []), len(events)]
    return b"".join(encoder.feed(events[start:end]) for start, end in itertools.pairwise(borders))


def frames(stream: bytes) -> list[Any]:
    """The JSON of each frame; what is not JSON as bytes."""
    return [data if data == b"[DONE]" else json.loads(data) for data in sse.SseDecoder().feed(stream)]


def reply_of(events: list[Event]) -> Reply:
    collector = Collector()
    collector.feed(events)
    return collector.reply()


def rendered(events: list[Event]) -> bytes:
    return ChatAsk(REQUEST, False, False).render([reply_of(events)], STAMP)


def meant(events: list[Event]) -> Folded:
    """The text and calls of the events, told without the code under test."""
    calls: list[Call] = []
    for event in events:
        match event:
            case ToolOpen():
                calls.append(Call(event.id, event.name, ""))
            case ToolInput():
                calls[-1] = Call(calls[-1].id, calls[-1].name, calls[-1].arguments + event.fragment)
            case ToolClose():
                calls[-1] = Call(calls[-1].id, calls[-1].name, calls[-1].arguments or "{}")
    text = "".join(event.text for event in events if isinstance(event, Text))
    return Folded(text, calls, events[-1].finish_reason)
