"""`additionalModelRequestFields`: which model takes which, and what the emulated model makes of them.

In: a model's id and the fields of a request. Out: the schema that the model list shows, complaints, wishes. Refuses to
know how a wish is carried out. Only one of the listed models takes any, so that both kinds can be tried; the service is
reported to be strict about them. (upstream.md §1.3)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cw_proxy.emulator.loose import Object, as_object
from cw_proxy.emulator.refusal import improper

_EFFORTS = ("low", "medium", "high", "max")
_THINKING = ("adaptive", "disabled")
_MOST_TOKENS = 64_000
_FIELDS: Object = {
    "type": "object",
    "properties": {
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": _MOST_TOKENS},
        "thinking": {"type": "object", "properties": {"type": {"type": "string", "enum": list(_THINKING)}}},
        "output_config": {"type": "object", "properties": {"effort": {"type": "string", "enum": list(_EFFORTS)}}},
    },
    "additionalProperties": False,
}
SCHEMAS = {"claude-opus-4.5": _FIELDS}


@dataclass(frozen=True, slots=True)
class Wishes:
    max_tokens: int | None = None
    thinking: bool = False


def check_model_fields(model_id: str, fields: Object) -> None:
    known = as_object(as_object(SCHEMAS.get(model_id)).get("properties"))
    for name, value in fields.items():
        if name not in known or not _legal(name, value):
            raise improper(f"additionalModelRequestFields.{name} {value!r} is not for the model {model_id!r}")


def _legal(name: str, value: Any) -> bool:
    match name:
        case "max_tokens":
            return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_TOKENS
        case "thinking":
            return isinstance(value, dict) and value.get("type") in _THINKING
        case _:
            return isinstance(value, dict) and value.get("effort") in _EFFORTS


def read_wishes(body: Object) -> Wishes:
    fields = as_object(body.get("additionalModelRequestFields"))
    most = fields.get("max_tokens")
    thinking = as_object(fields.get("thinking")).get("type") == "adaptive"
    return Wishes(most if isinstance(most, int) else None, thinking)
