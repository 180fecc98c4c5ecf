"""The answer's bytes → events (upstream.md §1.4; "did it finish?" is conversion.md, "Answer").

In: bytes as the network cut them. Out: events in legal order, ended by `finish`. Refuses to know the client.

Text goes through untouched, equal deltas included. Calls are kept by toolUseId; where the service interleaves two,
the frames of the second wait until the first closes, so that one tool is open at a time. There is no last frame:
what ended well is decided from what was seen.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress

import msgspec

from cw_proxy.backends.codewhisperer.failure import failure_of_frame
from cw_proxy.backends.codewhisperer.payloads import (
    CONTENT,
    MEASURES,
    MESSAGE_METADATA,
    METADATA,
    REASONING,
    TOOL_USE,
    Reasoning,
    TokenUsage,
    ToolUse,
    read_object,
)
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
from cw_proxy.wire.lenient import UNREADABLE, is_object, read, text_of
from cw_proxy.wire.surrogates import Pieces, whole

_FINISH: dict[str, FinishReason] = {
    "END_TURN": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_USE": "tool_calls",
    "CONTENT_FILTERED": "content_filter",
}
_MOST_HELD = 16 * 1024 * 1024
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


class ReplyDecoder:
    """Decodes one answer. `feed` and `finish` never raise; after a Fail nothing more comes. `tail` says whether
    frames were seen that come near the end of a whole answer."""

    tail = False

    def __init__(self, conversation_id: str | None = None) -> None:
        self._frames = FrameDecoder()
        self._begin: Begin | None = Begin(_legal_id(conversation_id))
        self._text = Pieces()
        self._thought = Pieces()
        self._tool: ToolOpen | None = None
        self._tool_id = ""
        self._input: list[str] = []
        self._fragment = Pieces()
        # What came inside another's tool call: frames, and calls as far as they have come.
        self._waiting: deque[tuple[str, bytes] | list[ToolUse]] = deque()
        self._unstopped: dict[str, list[ToolUse]] = {}  # the calls among them that may go on, by id
        self._called = False
        self._held = 0
        self._answered = False
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
            # Before the first frame it is some other kind of answer.
            unknown = self._begin is not None and not frames
            kind, words = (UpstreamProtocol, "not an event stream") if unknown else (UpstreamTruncated, "damaged")
            events.append(self._fail(kind(f"The service's answer is {words}: {self._frames.error}.")))
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
        if not (self._answered or self.tail):
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
                text = CONTENT.decode(payload).content
            except UNREADABLE:
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
        except UNREADABLE as fault:
            raise UpstreamProtocol(f"The service sent a {kind} that cannot be read: {fault}.") from None

    def _event(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind in _TAIL:
            self.tail = True
            # Numbers that cannot be read are no reason to lose the answer they are about; nor are notes.
            with suppress(*UNREADABLE):
                self._measure(kind, payload, events)
        elif kind == "toolUseEvent":
            self._use(read(payload, TOOL_USE), events)
            while self._tool is None and self._waiting:
                self._replay(self._waiting.popleft(), events)
        elif self._tool is not None:
            self._hold(len(payload))
            self._waiting.append((kind, payload))
        else:
            self._beside_tools(kind, payload, events)

    def _beside_tools(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind == "assistantResponseEvent":
            self._say(payload, events)
        elif kind == "reasoningContentEvent":
            self._think(read(payload, REASONING), events)
        elif kind == "invalidStateEvent":
            message = read_object(payload).get("message")
            raise UpstreamProtocol(f"The service says its state is invalid: {message}")
        elif kind in _NOTES:
            with suppress(*UNREADABLE):
                self._note(kind, payload, events)
        # Every other type is skipped, as the service's own client does.

    def _replay(self, waited: tuple[str, bytes] | list[ToolUse], events: list[Event]) -> None:
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
            content = read(payload, CONTENT).content
        except UNREADABLE as fault:
            raise UpstreamProtocol(f"The service sent text that cannot be read: {fault}.") from None
        if not content:
            return
        self._answered = True
        if text := self._text.join(content):
            events.append(Text(text))

    # --- tools ---

    def _use(self, use: ToolUse, events: list[Event]) -> None:
        if self._tool is None:
            self._tool = ToolOpen(whole(use.tool_use_id), whole(use.name or ""))
            self._tool_id = use.tool_use_id
            self._answered = True
            events.append(self._tool)
        elif self._tool_id != use.tool_use_id:
            self._wait(use)
            return
        fragment = use.input if isinstance(use.input, str) else text_of(use.input)
        if self._fragment.half or not fragment.isascii():
            fragment = self._fragment.join(fragment)
        if use.stop:
            fragment += self._fragment.rest()
        if fragment:
            self._hold(len(fragment))
            self._input.append(fragment)
            events.append(ToolInput(fragment))
        if use.stop:
            self._close(events)

    def _wait(self, use: ToolUse) -> None:
        call = self._unstopped.get(use.tool_use_id)
        if call is None:
            call = self._unstopped[use.tool_use_id] = []
            self._waiting.append(call)
        self._hold(len(use.input) if isinstance(use.input, str) else 1)
        call.append(use)
        if use.stop:
            del self._unstopped[use.tool_use_id]

    def _hold(self, size: int) -> None:
        """What waits for its turn, or for the end of its call, is bounded."""
        self._held += size
        if self._held > _MOST_HELD:
            raise UpstreamProtocol(f"The service sent more than {_MOST_HELD} characters of tool calls.")

    def _close(self, events: list[Event]) -> None:
        if self._input and not is_object("".join(self._input)):
            raise UpstreamTruncated("The service ended a tool call whose arguments are not a JSON object.")
        self._tool, self._called = None, True
        self._input.clear()
        events.append(ToolClose())

    # --- beside the text ---

    def _think(self, said: Reasoning, events: list[Event]) -> None:
        self._answered = True
        text = self._thought.join(said.text or "")
        if text or said.signature or said.redacted_content:
            events.append(Thought(text, said.signature, said.redacted_content))

    def _measure(self, kind: str, payload: bytes, events: list[Event]) -> None:
        if kind == "contextUsageEvent":
            events.append(Usage(context_percent=read(payload, MEASURES).context_usage_percentage))
        elif kind == "meteringEvent":
            events.append(Usage(credits=read(payload, MEASURES).usage))
        else:
            metadata = read(payload, METADATA)
            self._stop_reason = metadata.stop_reason or self._stop_reason
            if metadata.token_usage is not None:
                events.append(_usage(metadata.token_usage))

    def _note(self, kind: str, payload: bytes, events: list[Event]) -> None:
        name, member = _NOTES[kind]
        said = read_object(payload)
        noted = said.get(member) if member else said
        if noted is not None:
            events.append(Note(name, noted))


def _adopting(begin: Begin, kind: str, payload: bytes) -> Begin:
    """The service's own conversation id stands in the reply's header, or in a first metadata frame."""
    if kind != "messageMetadataEvent" or begin.conversation_id:
        return begin
    return Begin(_legal_id(read(payload, MESSAGE_METADATA).conversation_id))


def _legal_id(conversation_id: str | None) -> str | None:
    """It is sent back with the next turn: anything but a short printable text would break that one."""
    if not conversation_id or len(conversation_id) > 128:
        return None
    return conversation_id if conversation_id.isascii() and conversation_id.isprintable() else None


def _exception(frame: Frame) -> ProxyError:
    headers = frame.headers
    if headers.get(":message-type") == "exception":
        return failure_of_frame(str(headers.get(":exception-type", "")), frame.payload)
    said = msgspec.json.encode({"message": str(headers.get(":error-message", ""))})
    return failure_of_frame(str(headers.get(":error-code", "")), said)


def _usage(tokens: TokenUsage) -> Usage:
    return Usage(
        input_tokens=tokens.uncached_input_tokens,
        output_tokens=tokens.output_tokens,
        cache_read_tokens=tokens.cache_read_input_tokens,
        cache_write_tokens=tokens.cache_write_input_tokens,
        context_percent=tokens.context_usage_percentage,
    )
