"""One field at a time: is it there, of the right type, of the right length?

In: a JSON object, a field's name, the path of the object. Out: the value, or a Refusal that names the path. Refuses to
know what the field means.
"""

from __future__ import annotations

import re
from typing import Any

from cw_proxy.emulator.loose import Object
from cw_proxy.emulator.refusal import improper

__all__ = [
    "Object",
    "at",
    "length",
    "matching",
    "one_of",
    "optional_list",
    "optional_object",
    "optional_text",
    "required_object",
    "required_text",
]


def at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def optional_text(owner: Object, name: str, path: str) -> str | None:
    value = owner.get(name)
    if value is not None and not isinstance(value, str):
        raise improper(f"{at(path, name)} is not a string")
    return value


def required_text(owner: Object, name: str, path: str) -> str:
    value = optional_text(owner, name, path)
    if value is None:
        raise improper(f"{at(path, name)} is missing")
    return value


def optional_object(owner: Object, name: str, path: str) -> Object | None:
    value = owner.get(name)
    if value is not None and not isinstance(value, dict):
        raise improper(f"{at(path, name)} is not an object")
    return value


def required_object(owner: Object, name: str, path: str) -> Object:
    value = optional_object(owner, name, path)
    if value is None:
        raise improper(f"{at(path, name)} is missing")
    return value


def optional_list(owner: Object, name: str, path: str, most: int | None = None) -> list[Any]:
    value = owner.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise improper(f"{at(path, name)} is not a list")
    if most is not None and len(value) > most:
        raise improper(f"{at(path, name)} has {len(value)} entries, at most {most} are allowed")
    return value


def length(value: str, least: int, most: int, path: str) -> None:
    if not least <= len(value) <= most:
        raise improper(f"{path} has {len(value)} characters, not {least} to {most}")


def matching(owner: Object, name: str, pattern: str, path: str, most: int = 1024) -> None:
    """The whole of an optional string."""
    value = optional_text(owner, name, path)
    if value is not None and (len(value) > most or not re.fullmatch(pattern, value)):
        raise improper(f"{at(path, name)} does not match {pattern}")


def one_of(owner: Object, name: str, allowed: frozenset[str], path: str, reason: str | None = None) -> None:
    """An optional string of an enumeration."""
    value = optional_text(owner, name, path)
    if value is not None and value not in allowed:
        raise improper(f"{at(path, name)} is {value!r}", reason)
