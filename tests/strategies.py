"""What tests draw at random: legal answers, the service's frames for them, cuts of bytes, chats."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import strategies as st

from cw_proxy.events import (
    ORDER,
    Begin,
    End,
    Event,
    Fail,
    Note,
    State,
    Text,
    Thought,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
)
from cw_proxy.model import Message, Request, TextPart
from cw_proxy.wire.eventstream import encode_frame

# Texts that look like what carries them.
TRICKY = [
    "[DONE]",
    "data: [DONE]\n\n",
    'data: {"error":{"message":"no"}}\n\n',
    '{"content":"}{"}',
    "</think>",
    "<think>",
    "\\u0041\\n\\",
    "\u2028\u2029\x85\x0b\x0c\x1c",
    "\r\n\r\n: ping\n\n",
    "\0\x7f",
    "👩‍👩‍👧‍👦 é 漢字 ￿",
    ":event-type\x07\0\x16assistantResponseEvent",
    "\ufeff",
    " ",
]
texts = st.one_of(st.sampled_from(TRICKY), st.text(min_size=1, max_size=12))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=5,
)
json_objects = st.dictionaries(st.text(max_size=4), json_values, max_size=3)

# --- bytes, cut anywhere ---

cuts = st.lists(st.floats(0, 1, exclude_max=True), max_size=8)


def cut(data: bytes, fractions: list[float]) -> list[bytes]:
    borders = [0, *sorted(int(fraction * len(data)) for fraction in fractions), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(borders)]


def cut_text(text: str, fractions: list[float]) -> list[str]:
    borders = [0, *sorted(int(fraction * len(text)) for fraction in fractions), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(borders) if start < end]


# --- answers ---

_counts = st.integers(0, 10**6)
usages = st.one_of(
    st.builds(
        Usage,
        input_tokens=_counts,
        output_tokens=_counts,
        cache_read_tokens=st.none() | _counts,
        context_percent=st.none() | st.floats(0, 100),
    ),
    st.builds(Usage, credits=st.floats(0, 10)),
    st.builds(Usage, context_percent=st.floats(0, 100)),
)
thoughts = st.one_of(
    st.builds(Thought, text=texts), st.builds(Thought, signature=texts), st.builds(Thought, redacted=texts)
)
notes = st.one_of(
    st.builds(Note, st.sampled_from(["references", "web_links"]), st.lists(json_objects, min_size=1, max_size=2)),
    st.builds(Note, st.sampled_from(["followup", "citation", "document_citation"]), json_objects),
)
finish_reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter"])
tool_ids = st.integers(0, 999).map(lambda number: f"tooluse_{number:03}")
tool_names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,10}", fullmatch=True)


@st.composite
def answers(draw: st.DrawFn, *, max_events: int = 12) -> list[Event]:
    """A random walk over ORDER, from Begin to End. Calls have different ids and fragments that make an object."""
    events: list[Event] = [Begin(draw(st.none() | st.just("conversation-1")))]
    used: set[str] = set()
    state = State.OPEN
    while state is not State.DONE:
        legal = [kind for kind in ORDER[state] if kind not in (End, Fail)]
        kind = End if len(events) > draw(st.integers(0, max_events)) else draw(st.sampled_from(legal))
        if kind is End and state is State.TOOL:
            kind = ToolClose
        made = _call(draw, used) if kind is ToolOpen else [draw(_STRATEGIES[kind])]
        if kind is ToolInput:  # stands in the call that was drawn as a whole
            continue
        for event in made:
            state = ORDER[state][type(event)]
            events.append(event)
    return events


_STRATEGIES: dict[type[Event], st.SearchStrategy[Event]] = {
    Text: st.builds(Text, texts),
    Thought: thoughts,
    Note: notes,
    Usage: usages,
    ToolInput: st.just(ToolInput("")),
    ToolClose: st.just(ToolClose()),
    End: st.builds(End, finish_reasons),
}


def _call(draw: st.DrawFn, used: set[str]) -> list[Event]:
    """A call up to its close, which the walk draws: numbers may come between its fragments."""
    identity = draw(tool_ids.filter(lambda drawn: drawn not in used))
    used.add(identity)
    arguments = draw(st.just("") | json_objects.map(lambda value: json.dumps(value, ensure_ascii=False)))
    events: list[Event] = [ToolOpen(identity, draw(tool_names))]
    for fragment in cut_text(arguments, draw(cuts)):
        events.append(ToolInput(fragment))
        if draw(st.booleans()):
            events.append(draw(usages))
    return events


# --- the service's frames ---

EVENT_OF_NOTE = {
    "references": ("codeReferenceEvent", "references"),
    "web_links": ("supplementaryWebLinksEvent", "supplementaryWebLinks"),
    "followup": ("followupPromptEvent", "followupPrompt"),
    "citation": ("citationEvent", None),
    "document_citation": ("documentCitationEvent", None),
}
STOP_REASONS = {
    "stop": "END_TURN",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_USE",
    "content_filter": "CONTENT_FILTERED",
}
spellings = st.tuples(st.booleans(), st.booleans(), st.booleans())  # ASCII escapes, keys backwards, blanks


def frame(kind: str, payload: Any, spelling: tuple[bool, bool, bool] = (False, False, False)) -> bytes:
    """An event's frame; bytes are a payload as it is."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_frame(headers, payload if isinstance(payload, bytes) else spelled(payload, spelling))


def spelled(payload: Any, spelling: tuple[bool, bool, bool]) -> bytes:
    ascii_only, backwards, blanks = spelling
    if backwards and isinstance(payload, dict):
        payload = dict(reversed(payload.items()))
    separators = (" ,\n", " : ") if blanks else (",", ":")
    return json.dumps(payload, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "surrogatepass")


def exception(kind: str, message: str = "It broke.", reason: str | None = None) -> bytes:
    body = {"message": message} | ({"reason": reason} if reason else {})
    return encode_frame({":message-type": "exception", ":exception-type": kind}, json.dumps(body).encode())


def frames_of(events: list[Event], spelling: tuple[bool, bool, bool] = (False, False, False)) -> list[bytes]:
    """The service's frames that mean these events."""
    made: list[bytes] = []
    tool = ToolOpen("", "")
    for event in events:
        tool = event if isinstance(event, ToolOpen) else tool
        made.append(frame(*_payload(event, tool), spelling))
    return made


def broken_answers() -> list[bytes]:
    """An answer's bytes that end too early, at many places: all inside a frame but the first, which is nothing."""
    events = [Begin(), Text("a"), ToolOpen("t1", "ls"), ToolInput("{}"), ToolClose(), Text("b")]
    frames = frames_of(events)
    whole, borders = b"".join(frames), {*itertools.accumulate(map(len, frames))}
    return [whole[:end] for end in range(0, len(whole), 6) if end not in borders]


def _payload(event: Event, tool: ToolOpen) -> tuple[str, dict[str, Any]]:
    call = {"toolUseId": tool.id, "name": tool.name}
    match event:
        case Begin():
            identity = {"conversationId": event.conversation_id} if event.conversation_id else {}
            return "messageMetadataEvent", {**identity, "utteranceId": "utterance"}
        case Text():
            return "assistantResponseEvent", {"content": event.text, "modelId": "auto"}
        case Thought():
            members = {"text": event.text, "signature": event.signature, "redactedContent": event.redacted}
            return "reasoningContentEvent", {name: value for name, value in members.items() if value}
        case ToolOpen():
            return "toolUseEvent", call
        case ToolInput():
            return "toolUseEvent", {**call, "input": event.fragment}
        case ToolClose():
            return "toolUseEvent", {**call, "stop": True}
        case Note():
            kind, member = EVENT_OF_NOTE[event.kind]
            return kind, {member: event.data} if member else event.data
        case Usage():
            return _measure(event)
        case End():
            return "metadataEvent", {"stopReason": STOP_REASONS[event.finish_reason]}
    raise AssertionError(f"no frame means {event}")


def _measure(usage: Usage) -> tuple[str, dict[str, Any]]:
    if usage.credits is not None:
        return "meteringEvent", {"usage": usage.credits, "unit": "credit", "unitPlural": "credits"}
    if usage.input_tokens is None:
        return "contextUsageEvent", {"contextUsagePercentage": usage.context_percent}
    members = {
        "uncachedInputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": 1,
        "cacheReadInputTokens": usage.cache_read_tokens,
        "contextUsagePercentage": usage.context_percent,
    }
    return "metadataEvent", {"tokenUsage": {name: value for name, value in members.items() if value is not None}}


# --- questions ---

said = st.sampled_from(["", " ", "\n\t", "hello", "a\n\nb", "(no text)"]) | texts
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant"]),
    st.lists(st.builds(TextPart, said), max_size=3).map(tuple),
)
chats = st.lists(messages, min_size=1, max_size=8).map(lambda chat: request(*chat))


def request(*chat: Message, model: str = "auto", **settings: Any) -> Request:
    return Request(model=model, messages=chat, **settings)


def say(role: str, *parts: str) -> Message:
    return Message(role, tuple(map(TextPart, parts)))
