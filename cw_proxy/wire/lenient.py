"""JSON as services send it: read by types, and where a strict reader refuses, as leniently as Python reads.

In: bytes of JSON. Out: typed values, or one of UNREADABLE; whether a text is a JSON object. Refuses to know what is
said. Text cut inside a surrogate pair comes out in halves: surrogates.py joins them.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

# Whatever reading hostile JSON may raise: UnicodeDecodeError and JSONDecodeError are ValueErrors.
UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
Shape = TypeVar("Shape")


def read(payload: bytes, decoder: msgspec.json.Decoder[Shape]) -> Shape:
    """Text cut inside a surrogate pair is refused by a strict reader; Python's own takes it, halves and all."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.convert(json.loads(payload), decoder.type)


def is_object(text: str) -> bool:
    try:
        # Only the shape counts: numbers stay text, however long they are.
        return isinstance(json.loads(text, parse_int=str, parse_float=str, parse_constant=_not_json), dict)
    except (ValueError, RecursionError):
        return False


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def text_of(value: dict[str, Any] | None) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
