"""The answer's bytes → events: chunks of `chat.completion.chunk`, or one whole `chat.completion`.

In: bytes as the network cut them. Out: events in legal order, ended by `finish`. Refuses to know the client.

An answer has ended well when its finish reason or `[DONE]` was seen; anything else is a cut, however clean the
connection's end. Servers that do not stream when asked to answer with one JSON object: it is taken as one chunk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from cw_proxy.backends.openai_upstream import shapes
from cw_proxy.backends.openai_upstream.blocks import Blocks
from cw_proxy.backends.openai_upstream.failure import Said, classify, said_of
from cw_proxy.errors import EmptyUpstreamResponse, ProxyError, UpstreamProtocol, UpstreamTruncated
from cw_proxy.events import Begin, End, Event, Fail, FinishReason, Text, Thought, Usage
from cw_proxy.wire.lenient import UNREADABLE, read
from cw_proxy.wire.sse import SseDecoder
from cw_proxy.wire.surrogates import Pieces

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
# Reasons that servers give for answers which did not end well.
_BROKEN = ("abort", "aborted", "cancelled", "network_error", "timeout")
_MOST_BODY = 16 * 1024 * 1024
# What may stand before the first byte that says something: blanks, and the bytes of a byte order mark.
_BEFORE = b" \t\r\n\xef\xbb\xbf"


class ReplyDecoder:
    """Decodes one answer. `feed` and `finish` never raise; after a Fail nothing more comes. `tail` says whether the
    answer's own end was seen. `turns`, the length of the chat, makes the ids that are missing differ from turn to
    turn; `stop` are the request's stop texts."""

    tail = False

    def __init__(self, turns: int = 0, stop: Sequence[str] = ()) -> None:
        self._turns = turns
        self._stop = stop
        self._stopped_by: str | None = None
        self._frames = SseDecoder()
        self._unread = 0
        self._body: bytearray | None = None
        self._undecided = True
        self._begun = False
        self._done = False
        self._failed = False
        self._answer_id = ""
        self._reason: str | None = None
        self._refused = False
        self._text = Pieces()
        self._thought = Pieces()
        self._blocks = Blocks(self._made_id)

    def feed(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._failed:
            return events
        try:
            self._read(data, events)
        except ProxyError as error:
            events.append(self._fail(error))
        return events

    def finish(self) -> list[Event]:
        events: list[Event] = []
        if self._failed:
            return events
        try:
            if self._body is not None:
                self._frame(bytes(self._body), events)
            self._end(events)
        except ProxyError as error:
            events.append(self._fail(error))
        return events

    def _fail(self, error: ProxyError) -> Fail:
        self._failed = True
        return Fail(error)

    # --- bytes ---

    def _read(self, data: bytes, events: list[Event]) -> None:
        if self._undecided:
            data = data.lstrip(_BEFORE)
            if not data:
                return
            self._decide(data[:1])
        if self._body is not None:
            self._body += data
            self._bound(len(self._body))
            return
        frames = self._frames.feed(data)
        self._unread = 0 if frames else self._unread + len(data)
        self._bound(self._unread)
        for frame in frames:
            self._frame(frame, events)

    def _decide(self, first: bytes) -> None:
        self._undecided = False
        if first == b"<":
            raise UpstreamProtocol("The OpenAI upstream answered with a page: is openai_base_url right?")
        if first == b"{":
            self._body = bytearray()

    def _bound(self, size: int) -> None:
        if size > _MOST_BODY:
            raise UpstreamProtocol(f"The OpenAI upstream sent more than {_MOST_BODY} bytes in one piece.")

    # --- one chunk ---

    def _frame(self, data: bytes, events: list[Event]) -> None:
        if self._done:
            return
        if data.strip() == b"[DONE]":
            self._done = self.tail = True
            return
        try:
            chunk = read(data, shapes.CHUNK)
        except UNREADABLE as fault:
            raise UpstreamProtocol(f"The OpenAI upstream sent a chunk that cannot be read: {fault}.") from None
        if error := _error(chunk):
            raise error
        if not self._begun:
            self._begun = True
            events.append(Begin())
        self._answer_id = self._answer_id or chunk.id or ""
        for choice in chunk.choices or ():
            # One answer is asked for.
            if choice.index == 0:
                self._choice(choice, events)
        if chunk.usage is not None and (usage := _usage(chunk.usage)) is not None:
            events.append(usage)

    def _choice(self, choice: shapes.Choice, events: list[Event]) -> None:
        delta = choice.delta or choice.message
        if delta is not None:
            self._delta(delta, events)
        if choice.finish_reason == "error":
            raise classify(Said())
        if choice.finish_reason:
            self._reason, self.tail = choice.finish_reason, True
            self._stopped_by = choice.stop_reason if choice.stop_reason in self._stop else None
            self._blocks.close(events)

    def _delta(self, delta: shapes.Delta, events: list[Event]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        if thought and isinstance(thought, str) and (text := _joined(self._thought, thought)):
            self._blocks.say(Thought(text), events)
        content = delta.content
        if content and (text := _joined(self._text, content if isinstance(content, str) else _text_of(content))):
            self._blocks.say(Text(text), events)
        if delta.refusal:
            # There is no other place for its words; the finish reason says what they are.
            self._refused = True
            self._blocks.say(Text(_joined(self._text, delta.refusal)), events)
        for call in delta.tool_calls or ():
            self._blocks.call(call, events)

    def _made_id(self, number: int) -> str:
        named = f"{self._turns}:{self._answer_id}:{number}"
        return "call_" + hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()[:24]

    # --- the end ---

    def _end(self, events: list[Event]) -> None:
        if not self._begun:
            raise self._nothing()
        if not self.tail:
            raise UpstreamTruncated("The OpenAI upstream's answer was cut off.")
        if self._reason in _BROKEN:
            raise UpstreamTruncated(f"The OpenAI upstream's answer ended with the reason {self._reason!r}.")
        for pieces, kind in ((self._thought, Thought), (self._text, Text)):
            if rest := pieces.rest():
                self._blocks.say(kind(rest), events)
        self._blocks.close(events)
        events.append(End(self._finish_reason(), self._stopped_by))

    def _nothing(self) -> ProxyError:
        if self._undecided or self._done:
            return EmptyUpstreamResponse("The OpenAI upstream sent an empty answer.")
        return UpstreamProtocol("The OpenAI upstream's answer is no event stream: is openai_base_url right?")

    def _finish_reason(self) -> FinishReason:
        """With calls it is never "stop", which some servers say all the same: a client would not look for them."""
        if self._refused:
            return "content_filter"
        reason = _FINISH.get(self._reason or "", "stop")
        return "tool_calls" if self._blocks.called and reason == "stop" else reason


def _joined(pieces: Pieces, text: str) -> str:
    return pieces.join(text) if pieces.half or not text.isascii() else text


def _text_of(content: Any) -> str:
    """Content in parts, as some servers have it: the text of those that are text."""
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def _error(chunk: shapes.Chunk) -> ProxyError | None:
    """`{"error": …}`, or the error itself where others have a chunk."""
    if chunk.error:
        return classify(said_of({"error": chunk.error}))
    if chunk.choices is None and chunk.usage is None and (chunk.message or chunk.object == "error"):
        return classify(said_of({"message": chunk.message, "type": chunk.type, "code": chunk.code}))
    return None


def _usage(said: Any) -> Usage | None:
    """The server's prompt counts what it read from its cache as well; ours does not."""
    try:
        tokens = msgspec.convert(said, shapes.Usage)
    except msgspec.ValidationError:
        return None
    if tokens.prompt_tokens is None:
        return Usage(output_tokens=tokens.completion_tokens)
    cached = tokens.prompt_tokens_details.cached_tokens if tokens.prompt_tokens_details else None
    cached = None if cached is None else min(cached, tokens.prompt_tokens)
    return Usage(tokens.prompt_tokens - (cached or 0), tokens.completion_tokens, cached)
