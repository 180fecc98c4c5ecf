"""The answer's bytes → events (upstream.md §1.4; "did it finish?" is conversion.md, "Answer").

In: bytes as the network cut them. Out: events in legal order, ended by `finish`. Refuses to know the client.

Text goes through untouched, equal deltas included. Calls are kept by toolUseId; where the service interleaves two,
the frames of the second wait until the first closes, so that one tool is open at a time. There is no last frame:
what ended well is decided from what was seen.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any, TypeVar

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


class _Content(msgspec.Struct, gc=False):
    content: str | None = None


class _ToolUse(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str | None = None
    # Documented as a string of JSON text; an object has been seen, and means its text.
    input: str | dict[str, Any] | None = None
    stop: bool | None = None


class _Reasoning(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _MessageMetadata(msgspec.Struct, rename="camel"):
    conversation_id: str | None = None


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
_reasoning = msgspec.json.Decoder(_Reasoning)
_message_metadata = msgspec.json.Decoder(_MessageMetadata)
_measures = msgspec.json.Decoder(_Measures)
_metadata = msgspec.json.Decoder(_Metadata)
_anything = msgspec.json.Decoder(dict[str, Any])

# Whatever reading hostile JSON may raise: UnicodeDecodeError and JSONDecodeError are ValueErrors.
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
# What is passed on must not be too deep for the one who writes it.
_MAX_DEPTH = 100
Shape = TypeVar("Shape")


class _Pieces:
    """A text cut anywhere, also inside a surrogate pair: halves are joined, a lone one is U+FFFD."""

    __slots__ = ("half",)

    def __init__(self) -> None:
        self.half = ""  # a high surrogate whose low half is still to come

    def join(self, piece: str) -> str:
        joined = self.half + piece
        self.half = joined[-1:] if "\ud800" <= joined[-1:] <= "\udbff" else ""
        return _whole(joined[: len(joined) - len(self.half)])

    def rest(self) -> str:
        self.half, half = "", self.half
        return "\ufffd" if half else ""


class ReplyDecoder:
    """Decodes one answer. `feed` and `finish` never raise; after a Fail nothing more comes."""

    def __init__(self, conversation_id: str | None = None) -> None:
        self._frames = FrameDecoder()
        self._begin: Begin | None = Begin(_legal_id(conversation_id))
        self._text = _Pieces()
        self._thought = _Pieces()
        self._tool: ToolOpen | None = None
        self._tool_id = ""
        self._input: list[str] = []
        self._fragment = _Pieces()
        # What came inside another's tool call: frames, and calls as far as they have come.
        self._waiting: deque[tuple[str, bytes] | list[_ToolUse]] = deque()
        self._unstopped: dict[str, list[_ToolUse]] = {}  # the calls among them that may go on, by id
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
        if self._tool is None:
            self._flush(events)
        error = self._incomplete()
        events.append(self._fail(error) if error else End(self._finish_reason()))
        return events

    def _flush(self, events: list[Event]) -> None:
        if rest := self._thought.rest():
            events.append(Thought(rest))
        if rest := self._text.rest():
            events.append(Text(rest))

    def _incomplete(self) -> ProxyError | None:
        if self._frames.finish() is not None:
            return UpstreamTruncated("The service's answer was cut off.")
        if self._tool is not None:
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
        if kind == "assistantResponseEvent" and self._begin is None and self._tool is None and not self._text.half:
            # The one hot path: nothing pending, text in, text out.
            try:
                text = _content.decode(payload).content
            except _UNREADABLE:
                self._say(payload, events)
                return
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
        except _UNREADABLE as fault:
            raise UpstreamProtocol(f"The service sent a {kind} that cannot be read: {fault}.") from None

    def _event(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind in _TAIL:
            self._tail = True
            self._measure(kind, payload, events)
        elif kind == "toolUseEvent":
            self._use(_read(payload, _tool_use), events)
            while self._tool is None and self._waiting:
                self._replay(self._waiting.popleft(), events)
        elif self._tool is not None:
            self._waiting.append((kind, payload))
        else:
            self._beside_tools(kind, payload, events)

    def _beside_tools(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind == "assistantResponseEvent":
            self._say(payload, events)
        elif kind == "reasoningContentEvent":
            self._think(_read(payload, _reasoning), events)
        else:
            self._note(kind, payload, events)

    def _replay(self, waited: tuple[str, bytes] | list[_ToolUse], events: list[Event]) -> None:
        if isinstance(waited, tuple):
            self._beside_tools(*waited, events)
            return
        if self._unstopped.get(waited[0].tool_use_id) is waited:
            del self._unstopped[waited[0].tool_use_id]
        for use in waited:
            self._use(use, events)

    # --- text ---

    def _say(self, payload: bytes, events: list[Event]) -> None:
        try:
            content = _read(payload, _content).content
        except _UNREADABLE as fault:
            raise UpstreamProtocol(f"The service sent text that cannot be read: {fault}.") from None
        if not content:
            return
        self._answered = True
        if text := self._text.join(content):
            events.append(Text(text))

    # --- tools ---

    def _use(self, use: _ToolUse, events: list[Event]) -> None:
        if self._tool is None:
            self._tool = ToolOpen(_whole(use.tool_use_id), _whole(use.name or ""))
            self._tool_id = use.tool_use_id
            self._answered = True
            events.append(self._tool)
        elif self._tool_id != use.tool_use_id:
            self._wait(use)
            return
        fragment = use.input if isinstance(use.input, str) else _text_of(use.input)
        if self._fragment.half or not fragment.isascii():
            fragment = self._fragment.join(fragment)
        if use.stop:
            fragment += self._fragment.rest()
        if fragment:
            self._input.append(fragment)
            events.append(ToolInput(fragment))
        if use.stop:
            self._close(events)

    def _wait(self, use: _ToolUse) -> None:
        call = self._unstopped.get(use.tool_use_id)
        if call is None:
            call = self._unstopped[use.tool_use_id] = []
            self._waiting.append(call)
        call.append(use)
        if use.stop:
            del self._unstopped[use.tool_use_id]

    def _close(self, events: list[Event]) -> None:
        if self._input and not _is_object("".join(self._input)):
            raise UpstreamTruncated("The service ended a tool call whose arguments are not a JSON object.")
        self._tool, self._called = None, True
        self._input.clear()
        events.append(ToolClose())

    # --- beside the text ---

    def _think(self, said: _Reasoning, events: list[Event]) -> None:
        self._answered = True
        text = self._thought.join(said.text or "")
        if text or said.signature or said.redacted_content:
            events.append(Thought(text, said.signature, said.redacted_content))

    def _measure(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind == "contextUsageEvent":
            events.append(Usage(context_percent=_read(payload, _measures).context_usage_percentage))
        elif kind == "meteringEvent":
            events.append(Usage(credits=_read(payload, _measures).usage))
        else:
            metadata = _read(payload, _metadata)
            self._stop_reason = metadata.stop_reason or self._stop_reason
            if metadata.token_usage is not None:
                events.append(_usage(metadata.token_usage))

    def _note(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind == "invalidStateEvent":
            message = _object(payload).get("message")
            raise UpstreamProtocol(f"The service says its state is invalid: {message}")
        # Every other type is skipped, as the service's own client does.
        if kind in _NOTES:
            name, member = _NOTES[kind]
            said = _object(payload)
            noted = said.get(member) if member else said
            if noted is not None:
                events.append(Note(name, noted))


def _adopting(begin: Begin, kind: str, payload: bytes) -> Begin:
    """The service's own conversation id stands in the reply's header, or in a first metadata frame."""
    if kind != "messageMetadataEvent" or begin.conversation_id:
        return begin
    return Begin(_legal_id(_read(payload, _message_metadata).conversation_id))


def _legal_id(conversation_id: str | None) -> str | None:
    """It is sent back with the next turn: anything but a short printable text would break that one."""
    if not conversation_id or len(conversation_id) > 128:
        return None
    return conversation_id if conversation_id.isascii() and conversation_id.isprintable() else None


def _read(payload: bytes, decoder: msgspec.json.Decoder[Shape]) -> Shape:
    """Text cut inside a surrogate pair is refused by a strict reader; Python's own takes it, halves and all."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.convert(json.loads(payload), decoder.type)


def _object(payload: bytes) -> dict[str, Any]:
    """A payload that is passed on as it is, but for lone surrogates, which no JSON writer takes."""
    try:
        said = _anything.decode(payload)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _anything.decode(_whole(json.dumps(json.loads(payload), ensure_ascii=False)))
    if not _is_shallow(said, _MAX_DEPTH):
        raise ValueError("it is nested too deeply")
    return said


def _is_shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in inner)


def _whole(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _is_object(text: str) -> bool:
    try:
        # Only the shape counts: numbers stay text, however long they are.
        return isinstance(json.loads(text, parse_int=str, parse_float=str, parse_constant=_not_json), dict)
    except (ValueError, RecursionError):
        return False


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _exception(frame: Frame) -> ProxyError:
    headers = frame.headers
    if headers.get(":message-type") == "exception":
        return failure_of_frame(str(headers.get(":exception-type", "")), frame.payload)
    said = msgspec.json.encode({"message": str(headers.get(":error-message", ""))})
    return failure_of_frame(str(headers.get(":error-code", "")), said)


def _text_of(value: dict[str, Any] | None) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _usage(tokens: _TokenUsage) -> Usage:
    return Usage(
        input_tokens=tokens.uncached_input_tokens,
        output_tokens=tokens.output_tokens,
        cache_read_tokens=tokens.cache_read_input_tokens,
        cache_write_tokens=tokens.cache_write_input_tokens,
        context_percent=tokens.context_usage_percentage,
    )
