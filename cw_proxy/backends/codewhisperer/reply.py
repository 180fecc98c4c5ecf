"""The answer's bytes → events (upstream.md §1.4; "did it finish?" is conversion.md, "Answer").

In: bytes as the network cut them. Out: events in legal order, ended by `finish`. Refuses to know the client.

Text goes through untouched, equal deltas included. Calls are kept by toolUseId; where the service interleaves two,
the frames of the second wait until the first closes, so that one tool is open at a time. There is no last frame:
what ended well is decided from what was seen.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from cw_proxy.backends.codewhisperer.failure import failure_of_frame
from cw_proxy.errors import EmptyUpstreamResponse, ProxyError, UpstreamProtocol, UpstreamTruncated
from cw_proxy.events import (
    Begin,
    End,
    Event,
    Fail,
    FinishReason,
    Note,
    Text,
    Thought,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
)
from cw_proxy.wire.eventstream import Frame, FrameDecoder

_FINISH: dict[str, FinishReason] = {
    "END_TURN": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_USE": "tool_calls",
    "CONTENT_FILTERED": "content_filter",
}
# Frames that come near the end of an answer that ended well.
_TAIL = ("metadataEvent", "contextUsageEvent", "meteringEvent")
# Event type → (kind of Note, member that holds what is noted; None for the whole payload).
_NOTES: dict[str, tuple[str, str | None]] = {
    "codeReferenceEvent": ("references", "references"),
    "supplementaryWebLinksEvent": ("web_links", "supplementaryWebLinks"),
    "followupPromptEvent": ("followup", "followupPrompt"),
    "citationEvent": ("citation", None),
    "documentCitationEvent": ("document_citation", None),
}


class _Content(msgspec.Struct):
    content: str = ""


class _ToolUse(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str = ""
    # Documented as a string of JSON text; an object has been seen, and means its text.
    input: str | dict[str, Any] | None = None
    stop: bool = False


class _TokenUsage(msgspec.Struct, rename="camel"):
    uncached_input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    context_usage_percentage: float | None = None


class _Measures(msgspec.Struct, rename="camel"):
    """contextUsageEvent and meteringEvent: per cent of the window, credits."""

    context_usage_percentage: float | None = None
    usage: float | None = None


class _Metadata(msgspec.Struct, rename="camel"):
    token_usage: _TokenUsage | None = None
    stop_reason: str | None = None


_content = msgspec.json.Decoder(_Content)
_tool_use = msgspec.json.Decoder(_ToolUse)
_measures = msgspec.json.Decoder(_Measures)
_metadata = msgspec.json.Decoder(_Metadata)
_anything = msgspec.json.Decoder(dict[str, Any])


class ReplyDecoder:
    """Decodes one answer. `feed` and `finish` never raise; after a Fail nothing more comes."""

    def __init__(self, conversation_id: str | None = None) -> None:
        self._frames = FrameDecoder()
        self._begin: Begin | None = Begin(conversation_id)
        self._half = ""  # a high surrogate whose low half is still to come
        self._tool: ToolOpen | None = None
        self._input: list[str] = []
        self._waiting: list[tuple[str, bytes]] = []  # frames that came inside another's tool call
        self._called = False
        self._answered = False
        self._tail = False
        self._stop_reason: str | None = None
        self._failed = False

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._failed:
            return events
        frames = self._frames.feed(data)
        try:
            for frame in frames:
                self._frame(frame, events)
        except ProxyError as error:
            return [*events, self._fail(error)]
        if self._frames.error is not None:
            events.append(self._fail(UpstreamTruncated(f"The service's answer is damaged: {self._frames.error}.")))
        return events

    def finish(self) -> list[Event]:
        if self._failed:
            return []
        events: list[Event] = []
        if self._half:
            events.append(Text("\ufffd"))
        error = self._incomplete()
        events.append(self._fail(error) if error else End(self._finish_reason()))
        return events

    def _incomplete(self) -> ProxyError | None:
        if self._frames.finish() is not None:
            return UpstreamTruncated("The service's answer was cut off.")
        if self._tool is not None or self._waiting:
            return UpstreamTruncated("The service's answer was cut off inside a tool call.")
        if not (self._answered or self._tail):
            return EmptyUpstreamResponse("The service sent an empty answer.")
        return None

    def _finish_reason(self) -> FinishReason:
        if self._stop_reason in _FINISH:
            return _FINISH[self._stop_reason]
        return "tool_calls" if self._called else "stop"

    def _fail(self, error: ProxyError) -> Fail:
        self._failed = True
        return Fail(error)

    # --- one frame ---

    def _frame(self, frame: Frame, events: list[Event]) -> None:
        headers, payload = frame
        kind = headers.get(":event-type", "")
        if not isinstance(kind, str):
            raise UpstreamProtocol("The service sent a frame whose event type is not a text.")
        if kind == "assistantResponseEvent" and self._begin is None and self._tool is None and not self._half:
            # The one hot path: nothing pending, text in, text out.
            try:
                text = _content.decode(payload).content
            except (msgspec.DecodeError, UnicodeDecodeError):
                text = self._mended(payload)
            if text:
                self._answered = True
                events.append(Text(text))
            return
        if headers.get(":message-type") in ("exception", "error"):
            raise _exception(frame)
        try:
            if self._begin is not None:
                events.append(_adopting(self._begin, kind, payload))
                self._begin = None
            self._event(kind, payload, events)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise UpstreamProtocol(f"The service sent a {kind} that cannot be read: {fault}.") from None

    def _event(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind in _TAIL:
            self._tail = True
            self._measure(kind, payload, events)
        elif kind == "toolUseEvent":
            self._use(payload, events)
        elif self._tool is not None:
            self._waiting.append((kind, payload))
        elif kind == "assistantResponseEvent":
            self._say(payload, events)
        elif kind == "reasoningContentEvent":
            self._think(_anything.decode(payload), events)
        else:
            self._note(kind, payload, events)

    # --- text ---

    def _mended(self, payload: bytes) -> str:
        """Text whose surrogate pair is cut between two deltas: the halves are joined, a lone one is U+FFFD."""
        try:
            content = json.loads(payload).get("content", "")
        except (ValueError, AttributeError) as fault:
            raise UpstreamProtocol(f"The service sent text that cannot be read: {fault}.") from None
        if not isinstance(content, str):
            raise UpstreamProtocol("The service sent text that is not a string.")
        joined = self._half + content
        self._half = joined[-1:] if "\ud800" <= joined[-1:] <= "\udbff" else ""
        whole = joined[: len(joined) - len(self._half)]
        return whole.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _say(self, payload: bytes, events: list[Event]) -> None:
        text = self._mended(payload)
        if text:
            self._answered = True
            events.append(Text(text))

    # --- tools ---

    def _use(self, payload: bytes, events: list[Event]) -> None:
        use = _tool_use.decode(payload)
        if self._tool is None:
            self._tool = ToolOpen(use.tool_use_id, use.name)
            self._answered = True
            events.append(self._tool)
        elif self._tool.id != use.tool_use_id:
            self._waiting.append(("toolUseEvent", payload))
            return
        fragment = use.input if isinstance(use.input, str) else _text_of(use.input)
        if fragment:
            self._input.append(fragment)
            events.append(ToolInput(fragment))
        if use.stop:
            self._close(events)

    def _close(self, events: list[Event]) -> None:
        arguments = "".join(self._input) or "{}"
        try:
            _anything.decode(arguments)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise UpstreamTruncated("The service ended a tool call whose arguments are not a JSON object.") from None
        self._tool, self._called = None, True
        self._input.clear()
        events.append(ToolClose())
        waiting, self._waiting = self._waiting, []
        for kind, payload in waiting:
            self._event(kind, payload, events)

    # --- beside the text ---

    def _think(self, said: dict[str, Any], events: list[Event]) -> None:
        self._answered = True
        events.append(Thought(said.get("text") or "", said.get("signature"), said.get("redactedContent")))

    def _measure(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind == "contextUsageEvent":
            events.append(Usage(context_percent=_measures.decode(payload).context_usage_percentage))
        elif kind == "meteringEvent":
            events.append(Usage(credits=_measures.decode(payload).usage))
        else:
            metadata = _metadata.decode(payload)
            self._stop_reason = metadata.stop_reason or self._stop_reason
            if metadata.token_usage is not None:
                events.append(_usage(metadata.token_usage))

    def _note(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind == "invalidStateEvent":
            message = _anything.decode(payload).get("message")
            raise UpstreamProtocol(f"The service says its state is invalid: {message}")
        # Every other type is skipped, as the service's own client does.
        if kind in _NOTES:
            name, member = _NOTES[kind]
            data = _anything.decode(payload)
            events.append(Note(name, data.get(member) if member else data))


def _adopting(begin: Begin, kind: str, payload: bytes) -> Begin:
    """The service's own conversation id stands in the reply's header, or in a first metadata frame."""
    if kind != "messageMetadataEvent" or begin.conversation_id:
        return begin
    return Begin(_anything.decode(payload).get("conversationId"))


def _exception(frame: Frame) -> ProxyError:
    headers = frame.headers
    if headers.get(":message-type") == "exception":
        return failure_of_frame(str(headers.get(":exception-type", "")), frame.payload)
    said = msgspec.json.encode({"message": str(headers.get(":error-message", ""))})
    return failure_of_frame(str(headers.get(":error-code", "")), said)


def _text_of(value: dict[str, Any] | None) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()


def _usage(tokens: _TokenUsage) -> Usage:
    return Usage(
        input_tokens=tokens.uncached_input_tokens,
        output_tokens=tokens.output_tokens,
        cache_read_tokens=tokens.cache_read_input_tokens,
        cache_write_tokens=tokens.cache_write_input_tokens,
        context_percent=tokens.context_usage_percentage,
    )
