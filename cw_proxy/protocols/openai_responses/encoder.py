"""The answer: events → the events of a response, and the response itself at their end.

In: events, as they come. Out: bytes for the client; the whole response. Refuses to know bodies and where responses are
kept, and never holds text back. A whole answer goes through here as well: there is no second translator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

import msgspec

from cw_proxy.errors import UpstreamProtocol
from cw_proxy.events import (
    MAX_CHARACTERS,
    Begin,
    Choice,
    End,
    Event,
    Fail,
    Note,
    Reply,
    Text,
    Thought,
    ToolCall,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
)
from cw_proxy.extension import extension_of
from cw_proxy.interfaces import Stamp
from cw_proxy.model import Request
from cw_proxy.protocols.openai_responses.output import (
    COMPLETED,
    CallItem,
    Frames,
    MessageItem,
    Place,
    ReasoningItem,
)
from cw_proxy.protocols.openai_responses.response import failure, outcome, usage_of
from cw_proxy.protocols.openai_responses.tools import Called
from cw_proxy.usage import AnswerTally, count
from cw_proxy.wire import sse

_json = msgspec.json.Encoder().encode
Item = MessageItem | ReasoningItem | CallItem


class Finished(msgspec.Struct, frozen=True):
    """A response that can be asked for and continued from."""

    id: str
    body: bytes
    output: tuple[bytes, ...]


class Wanted(msgspec.Struct, frozen=True):
    """How one answer is wanted.

    `shown` is what the response repeats of its question, `called` the way back to the client's tools, `lane` where a
    WebSocket's client wants the events. `settle` hears of the end, None for a failure; `now` tells the time of it.
    """

    shown: Mapping[str, Any]
    called: Mapping[str, Called]
    encrypted: bool
    lane: str | None
    now: Callable[[], int]
    settle: Callable[[Finished | None], None]


class ResponseEncoder:
    """One answer's. A Fail yields `response.failed` and nothing after it. `feed` raises UpstreamProtocol beyond
    MAX_CHARACTERS; a Fail may still come then."""

    ended = False
    ping = sse.PING

    def __init__(self, request: Request, wanted: Wanted, stamp: Stamp) -> None:
        self._request = request
        self._wanted = wanted
        self._stamp = stamp
        self._frames = Frames(wanted.lane)
        self._response = envelope(wanted.shown, stamp)
        self._begun = False
        self._characters = 0
        self._open: Item | None = None
        self._output: list[dict[str, Any]] = []
        self._said = AnswerTally()
        self._usage = Usage()
        self._notes: list[Note] = []

    @property
    def response(self) -> dict[str, Any]:
        """As it stands; whole once `ended`."""
        return self._response

    def feed(self, events: Sequence[Event]) -> bytes:
        pieces: list[bytes] = []
        for event in events:
            # Most events are text that goes on.
            if type(event) is Text and type(self._open) is MessageItem:
                text = event.text
                self._count(len(text))
                self._said.text.feed(text)
                pieces.append(self._open.text(text))
            else:
                self._said.feed(event)
                pieces.append(self._other(event))
        return b"".join(pieces)

    def _other(self, event: Event) -> bytes:
        match event:
            case Begin():
                return self._begin()
            case Text():
                self._count(len(event.text))
                return self._text(event.text) if event.text else b""
            case Thought():
                self._count(len(event.text) + len(event.signature or "") + len(event.redacted or ""))
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
                return self._fail(event)
            case _:
                assert_never(event)

    def _count(self, characters: int) -> None:
        """Every item stands whole in its last event: an answer without an end must not fill the memory."""
        self._characters += characters
        if self._characters > MAX_CHARACTERS:
            raise UpstreamProtocol(f"The service's answer has more than {MAX_CHARACTERS} characters.")

    def _begin(self) -> bytes:
        self._begun = True
        begun = msgspec.Raw(_json(self._response))
        event = self._frames.event
        return event("response.created", response=begun) + event("response.in_progress", response=begun)

    # --- items ---

    def _place(self, prefix: str) -> Place:
        return Place(f"{prefix}_{self._stamp.new_id()}", len(self._output))

    def _opened(self, item: Item) -> bytes:
        self._open = item
        return item.open()

    def _closed(self, status: str = COMPLETED) -> bytes:
        if self._open is None:
            return b""
        written, item = self._open.close(status)
        self._open = None
        self._output.append(item)
        return written

    def _text(self, text: str) -> bytes:
        begin = self._closed()
        message = MessageItem(self._frames, self._place("msg"))
        return begin + self._opened(message) + message.text(text)

    def _thought(self, thought: Thought) -> bytes:
        if isinstance(self._open, ReasoningItem) and not self._open.sealed:
            return self._open.thought(thought)
        begin = self._closed()
        reasoning = ReasoningItem(self._frames, self._place("rs"), encrypted=self._wanted.encrypted)
        return begin + self._opened(reasoning) + reasoning.thought(thought)

    def _tool(self, event: ToolOpen | ToolInput | ToolClose) -> bytes:
        if isinstance(event, ToolOpen):
            tool = self._wanted.called.get(event.name) or Called("function", event.name)
            begin = self._closed()
            place = self._place("ctc" if tool.kind == "custom" else "fc")
            return begin + self._opened(CallItem(self._frames, place, event.id, tool))
        if isinstance(event, ToolInput):
            self._count(len(event.fragment))
            return self._open.fragment(event.fragment) if isinstance(self._open, CallItem) else b""
        return self._closed()

    # --- the end ---

    def _end(self, end: End) -> bytes:
        ending = outcome(end.finish_reason)
        status = ending["status"]
        written = self._closed(status)
        tokens = count(self._request, self._usage, self._said)
        self._finish(
            **ending,
            completed_at=max(self._stamp.now, self._wanted.now()) if status == COMPLETED else None,
            usage=usage_of(tokens, self._usage, self._said),
        )
        body = _json(self._response)
        self._wanted.settle(Finished(self._response["id"], body, tuple(map(_json, self._output))))
        return written + self._frames.event(f"response.{status}", response=msgspec.Raw(body))

    def _fail(self, fail: Fail) -> bytes:
        written = b"" if self._begun else self._begin()
        self._finish(status="failed", error=failure(fail.error))
        self._response["x_cw"] = {**self._response.get("x_cw", {}), "error": fail.error.code}
        self._wanted.settle(None)
        return written + self._frames.event("response.failed", response=self._response)

    def _finish(self, **members: Any) -> None:
        self.ended = True
        self._response |= {**members, "output": self._output}
        if extension := extension_of([self._usage], self._notes):
            self._response["x_cw"] = extension


def envelope(shown: Mapping[str, Any], stamp: Stamp) -> dict[str, Any]:
    """A response before its answer."""
    return {
        "id": f"resp_{stamp.new_id()}",
        "object": "response",
        "created_at": stamp.now,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        **shown,
        "output": [],
        "usage": None,
    }


def whole(request: Request, wanted: Wanted, reply: Reply, stamp: Stamp) -> bytes:
    """The response to a reply: the reply's events, folded as a stream's are."""
    encoder = ResponseEncoder(request, wanted, stamp)
    encoder.feed([Begin(), *_events_of(reply), reply.usage, *reply.notes, End(reply.finish_reason)])
    return _json(encoder.response)


def _events_of(reply: Reply) -> list[Event]:
    events: list[Event] = []
    for part in reply.parts:
        if isinstance(part, ToolCall):
            events += [ToolOpen(part.id, part.name), ToolInput(part.arguments), ToolClose()]
        else:
            events.append(part)
    return events
