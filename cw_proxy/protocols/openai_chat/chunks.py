"""The streamed answer: events → `chat.completion.chunk` frames.

In: events, as they come. Out: bytes for the client. Refuses to know bodies, and never holds anything back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from cw_proxy.events import (
    Begin,
    Choice,
    End,
    Event,
    Fail,
    Note,
    Text,
    Thought,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
    choice_of,
)
from cw_proxy.extension import extension_of, usage_of
from cw_proxy.interfaces import Stamp
from cw_proxy.model import Request
from cw_proxy.protocols.openai_chat.completion import envelope
from cw_proxy.usage import AnswerTally, count, together
from cw_proxy.wire import sse

_json = msgspec.json.Encoder().encode


class ChunkEncoder:
    """Events → `chat.completion.chunk` frames.

    All chunks of one answer share their envelope, so it is built once and only the delta's text is escaped. A Fail
    yields an error frame and nothing after it: no finish_reason and no [DONE], else the SDKs see a clean end.
    """

    ended = False
    ping = sse.PING

    def __init__(self, request: Request, include_usage: bool, stamp: Stamp) -> None:
        self._request = request
        self._include_usage = include_usage
        self._head = _json(envelope("chat.completion.chunk", request, stamp))[:-1]
        # Usage comes once, at the end, if asked for; then every other chunk says null.
        self._tail = b',"usage":null}' if include_usage else b"}"
        self._choices = [_Choice(index, self._head, self._tail, include_usage) for index in range(request.choices)]
        self._notes: list[Note] = []
        self._open = request.choices

    def feed(self, events: Sequence[Event]) -> bytes:
        choice = self._choices[choice_of(events) if len(self._choices) > 1 else 0]
        encode, before, after, said = _json, choice.before, choice.after, choice.said_text
        pieces: list[bytes] = []
        for event in events:
            if type(event) is Text:
                if said is not None:
                    said(event.text)
                pieces += (before, encode(event.text), after)
            else:
                pieces.append(self._other(event, choice))
        return b"".join(pieces)

    def _other(self, event: Event, choice: _Choice) -> bytes:
        match event:
            case Text():
                return choice.delta({"content": event.text})
            case Begin():
                return choice.delta({"role": "assistant", "content": "", "refusal": None})
            case Thought():
                choice.said.feed(event)
                return choice.delta({"reasoning_content": event.text}) if event.text else b""
            case ToolOpen() | ToolInput() | ToolClose():
                return choice.tool(event)
            case Usage():
                choice.usage = choice.usage.updated(event)
                return b""
            case Note():
                self._notes.append(event)
                return b""
            case Choice():
                return b""
            case End():
                return self._end(event, choice)
            case Fail():
                self.ended = True
                return sse.data(event.error.body())
            case _:
                assert_never(event)

    def _end(self, end: End, choice: _Choice) -> bytes:
        self._open -= 1
        if self._open:
            return choice.delta({}, end.finish_reason)
        self.ended = True
        extension = extension_of([one.usage for one in self._choices], self._notes)
        extra = b',"x_cw":' + _json(extension) if extension else b""
        if not self._include_usage:
            return choice.delta({}, end.finish_reason, extra) + sse.DONE
        tokens = together([count(self._request, one.usage, one.said) for one in self._choices])
        last = self._head + b',"choices":[],"usage":' + _json(usage_of(tokens)) + extra + b"}"
        return choice.delta({}, end.finish_reason) + sse.data(last) + sse.DONE


class _Choice:
    """The chunks of one answer, and what it has said so far."""

    __slots__ = ("_bare_call", "_call", "_head", "_index", "_tail", "after", "before", "said", "said_text", "usage")

    def __init__(self, index: int, head: bytes, tail: bytes, counted: bool) -> None:
        self._index = index
        self._head = head + b',"choices":['
        self._tail = tail
        self.before = b"data: " + self._head + b'{"index":%d,"delta":{"content":' % index
        self.after = b'},"logprobs":null,"finish_reason":null}]' + tail + b"\n\n"
        self.said = AnswerTally()
        # The text counts only for those who want to know.
        self.said_text = self.said.text.feed if counted else None
        self.usage = Usage()
        self._call = -1
        self._bare_call = False

    def tool(self, event: ToolOpen | ToolInput | ToolClose) -> bytes:
        self.said.feed(event)
        match event:
            case ToolOpen():
                self._call += 1
                self._bare_call = True
                function = {"name": event.name, "arguments": ""}
                return self._call_delta({"id": event.id, "type": "function", "function": function})
            case ToolInput():
                self._bare_call = False
                return self._call_delta({"function": {"arguments": event.fragment}})
            case ToolClose():
                if not self._bare_call:
                    return b""
                # No input at all means an empty object; clients parse what they are given.
                return self._call_delta({"function": {"arguments": "{}"}})

    def _call_delta(self, call: dict[str, Any]) -> bytes:
        return self.delta({"tool_calls": [{"index": self._call, **call}]})

    def delta(self, delta: dict[str, Any], finish_reason: str | None = None, extra: bytes = b"") -> bytes:
        choice = {"index": self._index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse.data(self._head + _json(choice) + b"]" + extra + self._tail)
