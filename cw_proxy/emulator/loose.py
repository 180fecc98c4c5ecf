"""Reading JSON that has promised nothing: the wrong type reads as empty.

In: any decoded JSON value. Out: the wanted type, perhaps empty. Refuses to complain: checks.py does that.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def as_object(value: object) -> Object:
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""
