"""The items of an answer while they grow: each turns its part of the events into its own server-sent events.

In: pieces of text, thoughts, calls. Out: frames, and the whole item once it is closed. Refuses to know the response
around them, and whether anybody reads the frames.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cw_proxy.events import Thought
from cw_proxy.protocols.openai_responses.custom_input import CustomInput
from cw_proxy.protocols.openai_responses.tools import Called

_json = msgspec.json.Encoder().encode
COMPLETED = "completed"


class Frames:
    """Numbers the events of one response; `lane` is where a WebSocket's client wants them."""

    __slots__ = ("_lane", "number")

    def __init__(self, lane: str | None = None) -> None:
        self.number = 0
        self._lane = b',"stream_id":' + _json(lane) if lane is not None else b""

    def event(self, kind: str, **members: Any) -> bytes:
        before, after = self.prepared(kind)
        number = self.number
        self.number += 1
        return b"%b%d%b%b\n\n" % (before, number, after, _json(members)[1:])

    def prepared(self, kind: str) -> tuple[bytes, bytes]:
        """What stands before and after the number in every event of this kind."""
        name = kind.encode()
        return b"event: " + name + b'\ndata: {"type":"' + name + b'","sequence_number":', self._lane + b","


class Place(msgspec.Struct, frozen=True):
    """Where an item stands."""

    item_id: str
    output_index: int

    def members(self, **more: Any) -> dict[str, Any]:
        return {"item_id": self.item_id, "output_index": self.output_index, **more}


class _Deltas:
    """One kind of delta at one place: all but the text is written once."""

    __slots__ = ("_after", "_before", "_frames", "_tail")

    def __init__(self, frames: Frames, kind: str, members: dict[str, Any], tail: bytes = b"}") -> None:
        self._frames = frames
        self._before, after = frames.prepared(kind)
        self._after = after + _json(members)[1:-1] + b',"delta":'
        self._tail = tail + b"\n\n"

    def write(self, text: str) -> bytes:
        frames = self._frames
        number = frames.number
        frames.number = number + 1
        return b"".join((self._before, b"%d" % number, self._after, _json(text), self._tail))


class MessageItem:
    """Text. One part, however many pieces it comes in."""

    def __init__(self, frames: Frames, place: Place) -> None:
        self._frames = frames
        self._place = place
        self._texts: list[str] = []
        self._at = place.members(content_index=0)
        self._deltas = _Deltas(frames, "response.output_text.delta", self._at, b',"logprobs":[]}')

    def item(self, status: str, content: list[Any]) -> dict[str, Any]:
        return {
            "id": self._place.item_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def open(self) -> bytes:
        index = self._place.output_index
        added = self._frames.event("response.output_item.added", output_index=index, item=self.item("in_progress", []))
        return added + self._frames.event("response.content_part.added", **self._at, part=_text_part(""))

    def text(self, text: str) -> bytes:
        self._texts.append(text)
        return self._deltas.write(text)

    def close(self, status: str = COMPLETED) -> tuple[bytes, dict[str, Any]]:
        text = "".join(self._texts)
        item = self.item(status, [_text_part(text)])
        event = self._frames.event
        return event("response.output_text.done", **self._at, text=text, logprobs=[]) + event(
            "response.content_part.done", **self._at, part=_text_part(text)
        ) + event("response.output_item.done", output_index=self._place.output_index, item=item), item


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


class ReasoningItem:
    """Thoughts: their text as a summary; a signature, or an opaque block, as encrypted content where it is wanted."""

    def __init__(self, frames: Frames, place: Place, *, encrypted: bool) -> None:
        self._frames = frames
        self._place = place
        self._texts: list[str] = []
        self._at = place.members(summary_index=0)
        self._deltas = _Deltas(frames, "response.reasoning_summary_text.delta", self._at)
        self._encrypted = encrypted
        self._seal: str | None = None

    @property
    def sealed(self) -> bool:
        """Nothing more belongs to it."""
        return self._seal is not None

    def item(self, status: str, summary: list[Any]) -> dict[str, Any]:
        item = {"id": self._place.item_id, "type": "reasoning", "summary": summary, "status": status}
        return item | ({"encrypted_content": self._seal} if self._encrypted else {})

    def open(self) -> bytes:
        index = self._place.output_index
        return self._frames.event("response.output_item.added", output_index=index, item=self.item("in_progress", []))

    def thought(self, thought: Thought) -> bytes:
        written = self._text(thought.text) if thought.text else b""
        self._seal = thought.signature or thought.redacted or self._seal
        return written

    def _text(self, text: str) -> bytes:
        begin = b""
        if not self._texts:
            begin = self._frames.event("response.reasoning_summary_part.added", **self._at, part=_summary(""))
        self._texts.append(text)
        return begin + self._deltas.write(text)

    def close(self, status: str = COMPLETED) -> tuple[bytes, dict[str, Any]]:
        event = self._frames.event
        written, text = b"", "".join(self._texts)
        summary = [_summary(text)] if text else []
        if summary:
            written = event("response.reasoning_summary_text.done", **self._at, text=text)
            written += event("response.reasoning_summary_part.done", **self._at, part=_summary(text))
        item = self.item(status, summary)
        index = self._place.output_index
        return written + event("response.output_item.done", output_index=index, item=item), item


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


class CallItem:
    """A call of a function (its arguments are JSON text) or of a custom tool (its input is any text)."""

    def __init__(self, frames: Frames, place: Place, call_id: str, tool: Called) -> None:
        self._frames = frames
        self._place = place
        self._tool = tool
        self._custom = CustomInput() if tool.kind == "custom" else None
        self._kind = "custom_tool_call" if self._custom else "function_call"
        self._member = "input" if self._custom else "arguments"
        self._stem = f"response.{self._kind}_{self._member}"
        self._call_id = call_id
        self._texts: list[str] = []
        self._deltas = _Deltas(frames, f"{self._stem}.delta", place.members())

    def item(self, status: str, text: str) -> dict[str, Any]:
        item = {
            "id": self._place.item_id,
            "type": self._kind,
            "status": status,
            "call_id": self._call_id,
            "name": self._tool.name,
            self._member: text,
        }
        return item | ({"namespace": self._tool.namespace} if self._tool.namespace else {})

    def open(self) -> bytes:
        index = self._place.output_index
        return self._frames.event("response.output_item.added", output_index=index, item=self.item("in_progress", ""))

    def fragment(self, fragment: str) -> bytes:
        text = self._custom.feed(fragment) if self._custom else fragment
        if not text:
            return b""
        self._texts.append(text)
        return self._deltas.write(text)

    def close(self, status: str = COMPLETED) -> tuple[bytes, dict[str, Any]]:
        written = self._last()
        text = "".join(self._texts)
        item = self.item(status, text)
        event = self._frames.event
        # The name stands on a function's last event only: SDKs know it there.
        named = {} if self._custom else {"name": self._tool.name}
        written += event(f"{self._stem}.done", **self._place.members(**named), **{self._member: text})
        index = self._place.output_index
        return written + event("response.output_item.done", output_index=index, item=item), item

    def _last(self) -> bytes:
        # No input at all means an empty object; clients parse what they are given.
        bare = "" if self._texts else "{}"
        rest = self._custom.rest() if self._custom else bare
        if not rest:
            return b""
        self._texts.append(rest)
        return self._deltas.write(rest)
