"""The service's messages as event-stream frames, and the usual runs of them: text, tool use, tail.

In: event names and payloads. Out: frames as bytes. Refuses to know when they are sent. (upstream.md §1.4, §2)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from cw_proxy.wire.eventstream import encode_frame

JSON_TYPE = "application/json"
AWS_JSON_TYPE = "application/x-amz-json-1.0"
Event = tuple[str, Mapping[str, Any]]


def event_frame(name: str, payload: bytes, content_type: str | None = JSON_TYPE) -> bytes:
    headers = {":event-type": name, ":content-type": content_type, ":message-type": "event"}
    return encode_frame({key: value for key, value in headers.items() if value is not None}, payload)


def exception_frame(name: str, payload: bytes) -> bytes:
    return encode_frame({":exception-type": name, ":content-type": JSON_TYPE, ":message-type": "exception"}, payload)


def error_frame(code: str, message: str) -> bytes:
    return encode_frame({":error-code": code, ":error-message": message, ":message-type": "error"}, b"")


def initial_response_frame(payload: Mapping[str, Any]) -> bytes:
    """Only for awsJson1.0: on restJson1 the real npm client crashes on it (upstream.md §0.2)."""
    return event_frame("initial-response", msgspec.json.encode(payload), AWS_JSON_TYPE)


def pieces(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def text_events(text: str, size: int, model_id: str | None = None) -> Iterator[Event]:
    extra = {"modelId": model_id} if model_id else {}
    return (("assistantResponseEvent", {"content": piece, **extra}) for piece in pieces(text, size))


def tool_events(tool_use_id: str, name: str, fragments: Iterable[str], stop: bool = True) -> Iterator[Event]:
    """First frame without input, then the fragments, then `stop`; id and name repeat in each (§1.4)."""
    head = {"toolUseId": tool_use_id, "name": name}
    yield "toolUseEvent", head
    for fragment in fragments:
        yield "toolUseEvent", {**head, "input": fragment}
    if stop:
        yield "toolUseEvent", {**head, "stop": True}


def tail_events(percentage: float, credits: float) -> Sequence[Event]:
    return (
        ("contextUsageEvent", {"contextUsagePercentage": percentage}),
        ("meteringEvent", {"usage": credits, "unit": "credit", "unitPlural": "credits"}),
    )


def encode(event: Event) -> bytes:
    return event_frame(event[0], msgspec.json.encode(event[1]))
