"""What the frames' payloads hold (upstream.md §1.4), and how they are read: JSON → typed values.

In: payload bytes. Out: values, or one of UNREADABLE. Refuses to know the order of frames and what follows from them.
Members that are null count as absent; unknown members are skipped.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec

from cw_proxy.wire.surrogates import whole


class Content(msgspec.Struct, gc=False):
    content: str | None = None


class ToolUse(msgspec.Struct, rename="camel"):
    tool_use_id: str
    name: str | None = None
    # Documented as a string of JSON text; an object has been seen, and means its text.
    input: str | dict[str, Any] | None = None
    stop: bool | None = None


class Reasoning(msgspec.Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class MessageMetadata(msgspec.Struct, rename="camel"):
    conversation_id: str | None = None


# Absurd numbers are as good as none: clients in strict languages cannot even read them.
Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class TokenUsage(msgspec.Struct, rename="camel"):
    uncached_input_tokens: Tokens | None = None
    output_tokens: Tokens | None = None
    cache_read_input_tokens: Tokens | None = None
    cache_write_input_tokens: Tokens | None = None
    context_usage_percentage: float | None = None


class Measures(msgspec.Struct, rename="camel"):
    """contextUsageEvent and meteringEvent: per cent of the window, credits."""

    context_usage_percentage: float | None = None
    usage: float | None = None


class Metadata(msgspec.Struct, rename="camel"):
    token_usage: TokenUsage | None = None
    stop_reason: str | None = None


CONTENT = msgspec.json.Decoder(Content)
TOOL_USE = msgspec.json.Decoder(ToolUse)
REASONING = msgspec.json.Decoder(Reasoning)
MESSAGE_METADATA = msgspec.json.Decoder(MessageMetadata)
MEASURES = msgspec.json.Decoder(Measures)
METADATA = msgspec.json.Decoder(Metadata)
_ANYTHING = msgspec.json.Decoder(dict[str, Any])
# What is passed on must not be too deep for the one who writes it.
_MAX_DEPTH = 100


def read_object(payload: bytes) -> dict[str, Any]:
    """A payload that is passed on as it is, but for lone surrogates, which no JSON writer takes."""
    try:
        said = _ANYTHING.decode(payload)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _ANYTHING.decode(whole(json.dumps(json.loads(payload), ensure_ascii=False)))
    if not _is_shallow(said, _MAX_DEPTH):
        raise ValueError("it is nested too deeply")
    return said


def _is_shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in inner)
