"""The streamed answer: events → `chat.completion.chunk` frames.

In: events, as they come. Out: bytes for the client. Refuses to know bodies, and never holds anything back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from cw_proxy.events import Begin, End, Event, Fail, Note, Text, Thought, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.extension import extension_of, usage_of
from cw_proxy.interfaces import Stamp
from cw_proxy.model import Request
from cw_proxy.protocols.openai_chat.completion import envelope
from cw_proxy.usage import AnswerTally, count
from cw_proxy.wire import sse

_json = msgspec.json.Encoder().encode


class ChunkEncoder:
    """Events → `chat.completion.chunk` frames.

    All chunks of one answer share their envelope, so it is built once and only the delta's text is escaped. A Fail
    yields an error frame and nothing after it: no finish_reason and no [DONE], else the SDKs see a clean end.
    """

    def __init__(self, request: Request, include_usage: bool, stamp: Stamp) -> None:
        self._request = request
        self._include_usage = include_usage
        self._head = _json(envelope("chat.completion.chunk", request, stamp))[:-1]
        # Usage comes once, at the end, if asked for; then every other chunk says null.
        self._tail = b',"usage":null}' if include_usage else b"}"
        self._before = b"data: " + self._head + b',"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + self._tail + b"\n\n"
        self._said = AnswerTally()
        # The text counts only for those who want to know.
        self._said_text = self._said.text.feed if include_usage else None
        self._call = -1
        self._bare_call = False
        self._usage = Usage()
        self._notes: list[Note] = []

    def feed(self, events: Sequence[Event]) -> bytes:
        encode, before, after, said = _json, self._before, self._after, self._said_text
        pieces: list[bytes] = []
        for event in events:
            if type(event) is Text:
                if said is not None:
                    said(event.text)
                pieces += (before, encode(event.text), after)
            else:
                pieces.append(self._other(event))
        return b"".join(pieces)

    def _other(self, event: Event) -> bytes:
        match event:
            case Text():
                return self._delta({"content": event.text})
            case Begin():
                return self._delta({"role": "assistant", "content": "", "refusal": None})
            case Thought():
                self._said.feed(event)
                return self._delta({"reasoning_content": event.text}) if event.text else b""
            case ToolOpen() | ToolInput() | ToolClose():
                return self._tool(event)
            case Usage():
                self._usage = self._usage.updated(event)
                return b""
            case Note():
                self._notes.append(event)
                return b""
            case End():
                return self._end(event)
            case Fail():
                return sse.data(event.error.body())
            case _:
                assert_never(event)

    def _tool(self, event: ToolOpen | ToolInput | ToolClose) -> bytes:
        self._said.feed(event)
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
        return self._delta({"tool_calls": [{"index": self._call, **call}]})

    def _delta(self, delta: dict[str, Any], finish_reason: str | None = None, extra: bytes = b"") -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse.data(self._head + b',"choices":[' + _json(choice) + b"]" + extra + self._tail)

    def _end(self, end: End) -> bytes:
        extension = extension_of(self._usage, self._notes)
        extra = b',"x_cw":' + _json(extension) if extension else b""
        if not self._include_usage:
            return self._delta({}, end.finish_reason, extra) + sse.DONE
        tokens = usage_of(count(self._request, self._usage, self._said))
        last = self._head + b',"choices":[],"usage":' + _json(tokens) + extra + b"}"
        return self._delta({}, end.finish_reason) + sse.data(last) + sse.DONE
