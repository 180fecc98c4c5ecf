"""The streamed answer: events → Anthropic's server-sent events, block by block.

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
)
from cw_proxy.extension import extension_of
from cw_proxy.interfaces import Stamp
from cw_proxy.model import Request
from cw_proxy.protocols.anthropic_messages.failures import error_body
from cw_proxy.protocols.anthropic_messages.message import ending, envelope, usage_of
from cw_proxy.protocols.anthropic_messages.thinking import Display, displayed
from cw_proxy.usage import AnswerTally
from cw_proxy.wire import sse

_json = msgspec.json.Encoder().encode
PING = sse.event(b"ping", b'{"type":"ping"}')


class MessageEncoder:
    """A Fail yields an error event and nothing after it: no stop_reason and no message_stop, else it looks whole."""

    ended = False
    ping = PING

    def __init__(self, request: Request, display: Display, stamp: Stamp) -> None:
        self._request = request
        self._display = display
        self._stamp = stamp
        self._blocks = _Blocks()
        self._said = AnswerTally()
        self._usage = Usage()
        self._notes: list[Note] = []
        self._bare_call = False

    def feed(self, events: Sequence[Event]) -> bytes:
        blocks, encode, said = self._blocks, _json, self._said.text.feed
        pieces: list[bytes] = []
        for event in events:
            if type(event) is Text and blocks.kind == "text":
                said(event.text)
                pieces += (blocks.before_text, encode(event.text), b"}}\n\n")
            else:
                pieces.append(self._other(event))
        return b"".join(pieces)

    def _other(self, event: Event) -> bytes:
        self._said.feed(event)
        match event:
            case Begin():
                return self._begin()
            case Text():
                return self._text(event)
            case Thought():
                return self._thought(event)
            case ToolOpen() | ToolInput() | ToolClose():
                return self._tool(event)
            case Usage():
                self._usage = self._usage.updated(event)
                return b""
            case Note():
                self._notes.append(event)
                return b""
            case Choice():
                return b""
            case End():
                return self._end(event)
            case Fail():
                self.ended = True
                return sse.event(b"error", error_body(event.error))
            case _:
                assert_never(event)

    def _begin(self) -> bytes:
        begun = {
            **envelope(self._request, self._stamp),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(self._request, Usage(), AnswerTally()),
        }
        return _frame("message_start", message=begun) + PING

    def _text(self, event: Text) -> bytes:
        if not event.text:
            return b""
        return self._blocks.open("text", text="") + self._blocks.delta("text_delta", text=event.text)

    def _thought(self, event: Thought) -> bytes:
        """A signature ends its block; opaque ones stand by themselves."""
        thought, blocks = displayed(event, self._display), self._blocks
        if thought is None:
            return b""
        written = b""
        if (thought.text or thought.signature) and blocks.kind != "thinking":
            written += blocks.open("thinking", thinking="", signature="")
        if thought.text:
            written += blocks.delta("thinking_delta", thinking=thought.text)
        if thought.signature:
            written += blocks.delta("signature_delta", signature=thought.signature) + blocks.close()
        if thought.redacted:
            written += blocks.open("redacted_thinking", data=thought.redacted) + blocks.close()
        return written

    def _tool(self, event: ToolOpen | ToolInput | ToolClose) -> bytes:
        match event:
            case ToolOpen():
                self._bare_call = True
                return self._blocks.open("tool_use", id=event.id, name=event.name, input={})
            case ToolInput():
                if not event.fragment:
                    return b""
                self._bare_call = False
                return self._blocks.delta("input_json_delta", partial_json=event.fragment)
            case ToolClose():
                # No input at all means an empty object; clients parse what they are given.
                empty = self._blocks.delta("input_json_delta", partial_json="{}") if self._bare_call else b""
                return empty + self._blocks.close()

    def _end(self, end: End) -> bytes:
        self.ended = True
        last: dict[str, Any] = {
            "delta": ending(end.finish_reason, end.stop_sequence),
            "usage": usage_of(self._request, self._usage, self._said),
        }
        if extension := extension_of([self._usage], self._notes):
            last["x_cw"] = extension
        return self._blocks.close() + _frame("message_delta", **last) + _frame("message_stop")


class _Blocks:
    """The blocks of one answer, numbered from zero; one is open at a time, or none."""

    __slots__ = ("_index", "before_text", "kind")

    def __init__(self) -> None:
        self._index = -1
        self.kind = ""
        # All deltas of one text share what stands before it.
        self.before_text = b""

    def open(self, kind: str, **members: Any) -> bytes:
        closed = self.close()
        self._index += 1
        self.kind = kind
        delta = b'{"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":' % self._index
        self.before_text = b"event: content_block_delta\ndata: " + delta
        return closed + _frame("content_block_start", index=self._index, content_block={"type": kind, **members})

    def delta(self, kind: str, **members: Any) -> bytes:
        return _frame("content_block_delta", index=self._index, delta={"type": kind, **members})

    def close(self) -> bytes:
        if not self.kind:
            return b""
        self.kind = ""
        return _frame("content_block_stop", index=self._index)


def _frame(kind: str, **members: Any) -> bytes:
    return sse.event(kind.encode(), _json({"type": kind, **members}))
