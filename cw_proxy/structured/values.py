"""JSON as every reader reads it alike, and values that are cheap to speak about.

In: text. Out: values whose repr is short and whose size is known. Refuses to know schemas.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


class Unfit(Exception):
    """A sentence: the value, the schema or the work it takes is not acceptable."""


class _Text(str):
    """Text, arrays and objects whose repr is short: jsonschema writes it for each error, also those nobody reads."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self[:60]) if len(self) <= 60 else f"{self[:60]!r}…"


class _Array(list[Any]):
    __slots__ = ("size",)
    size: int

    def __repr__(self) -> str:
        return f"[{listed(map(brief, self[:10]), len(self))}]"


class _Object(dict[str, Any]):
    __slots__ = ("size",)
    size: int

    def __repr__(self) -> str:
        first = [name for name, _ in zip(self, range(10), strict=False)]
        return f"{{{listed((f'{name!r}: {brief(self[name])}' for name in first), len(self))}}}"


def listed(shown: Iterable[str], number: int) -> str:
    return ", ".join(shown) + (", …" if number > 10 else "")


def brief(value: Any) -> str:
    if isinstance(value, dict | list) and value:
        return "{…}" if isinstance(value, dict) else "[…]"
    return repr(value)


def tree(value: Any) -> Any:
    """A copy of such parts, each with the number of values in it."""
    if isinstance(value, str):
        return _Text(value)
    if isinstance(value, list):
        array = _Array(map(tree, value))
        array.size = sum(map(size_of, array), 1)
        return array
    if isinstance(value, dict):
        members = _Object((_Text(name), tree(inner)) for name, inner in value.items())
        members.size = sum(map(size_of, members.values()), 1 + len(members))
        return members
    return value


def size_of(value: Any) -> int:
    if isinstance(value, _Array | _Object):
        return value.size
    return 1 + len(value) // 256 if isinstance(value, str) else 1


def parsed(text: str) -> Any:
    """RFC 8259, and what every reader reads alike: no name twice, no number beyond a double. Raises Unfit."""
    try:
        value = json.loads(
            text, parse_constant=_constant, parse_float=_float, parse_int=_int, object_pairs_hook=_members_once
        )
    except json.JSONDecodeError as fault:
        where = f"line {fault.lineno}, column {fault.colno}"
        raise Unfit(f"The answer is not one JSON value: {fault.msg} ({where}).") from None
    return tree(value)


def _constant(name: str) -> Any:
    raise Unfit(f"The answer is not JSON: {name} is no JSON value.")


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise Unfit(f"The number {clipped(digits, 40)} is too large.")
    return value


def _int(digits: str) -> int:
    # Python reads no integer of thousands of digits, and divides none that no double holds.
    if len(digits) > 300:
        raise Unfit(f"The number {clipped(digits, 40)} is too large.")
    return int(digits)


def _members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise Unfit(f"The answer has an object with the name {_Text(name)!r} twice.")
        members[name] = value
    return members


def clipped(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
