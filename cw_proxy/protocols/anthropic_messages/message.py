"""The whole answer: a Reply → a `message`, and what its members share with the streamed one.

In: a Reply. Out: a JSON body. Refuses to know events one by one.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from cw_proxy.events import FinishReason, Reply, Text, Thought, ToolCall, Usage
from cw_proxy.extension import extension_of
from cw_proxy.interfaces import Stamp
from cw_proxy.model import Request
from cw_proxy.protocols.anthropic_messages.thinking import Display, displayed
from cw_proxy.usage import AnswerTally, count, reply_tally

_STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def message(request: Request, display: Display, reply: Reply, stamp: Stamp) -> bytes:
    answer = {
        **envelope(request, stamp),
        "content": _content(reply, display),
        **ending(reply.finish_reason, reply.stop_sequence),
        "usage": usage_of(request, reply.usage, reply_tally(reply)),
    }
    if extension := extension_of([reply.usage], reply.notes):
        answer["x_cw"] = extension
    return msgspec.json.encode(answer)


def envelope(request: Request, stamp: Stamp) -> dict[str, Any]:
    return {"id": f"msg_{stamp.new_id()}", "type": "message", "role": "assistant", "model": request.model}


def ending(reason: FinishReason, stop_sequence: str | None) -> dict[str, Any]:
    stop_reason = _STOP_REASONS[reason] if stop_sequence is None else "stop_sequence"
    return {"stop_reason": stop_reason, "stop_sequence": stop_sequence}


def usage_of(request: Request, usage: Usage, said: AnswerTally) -> dict[str, Any]:
    """What was read from and written to a cache counts apart here."""
    tokens = count(request, usage, said)
    exact = tokens.source == "exact"
    read, written = (usage.cache_read_tokens or 0, usage.cache_write_tokens or 0) if exact else (0, 0)
    return {
        "input_tokens": tokens.input - read - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": tokens.output,
        "cw_usage_source": tokens.source,
    }


def _content(reply: Reply, display: Display) -> list[dict[str, Any]]:
    content = _Content()
    for part in reply.parts:
        match part:
            case Text():
                content.say(part.text)
            case Thought():
                content.think(displayed(part, display))
            case ToolCall():
                content.call(part)
            case _:
                assert_never(part)
    return content.whole()


class _Content:
    """Blocks in their order; `_begun` is the text of the last one, until it is whole."""

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = []
        self._kind = ""
        self._begun: list[str] = []

    def say(self, text: str) -> None:
        if text:
            self._begin("text")
            self._begun.append(text)

    def think(self, thought: Thought | None) -> None:
        """A signature ends its block; opaque ones stand by themselves."""
        if thought is None:
            return
        if thought.text or thought.signature:
            self._begin("thinking")
            self._begun.append(thought.text)
        if thought.signature:
            self._end(thought.signature)
        if thought.redacted:
            self._end()
            self._blocks.append({"type": "redacted_thinking", "data": thought.redacted})

    def call(self, call: ToolCall) -> None:
        self._end()
        # The call's own JSON text: whatever numbers it holds stay what they are.
        written = msgspec.Raw(call.arguments.encode())
        self._blocks.append({"type": "tool_use", "id": call.id, "name": call.name, "input": written})

    def whole(self) -> list[dict[str, Any]]:
        self._end()
        return self._blocks

    def _begin(self, kind: str) -> None:
        if self._kind != kind:
            self._end()
            self._kind = kind

    def _end(self, signature: str = "") -> None:
        if self._kind:
            signed = {"signature": signature} if self._kind == "thinking" else {}
            self._blocks.append({"type": self._kind, self._kind: "".join(self._begun), **signed})
        self._kind, self._begun = "", []
