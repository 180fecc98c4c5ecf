"""A string that must not be seen: tokens, client secrets, client keys.

In: a plain string. Out: itself, only through `reveal()`. Refuses to show itself in repr, str, format,
JSON, pickles and tracebacks with locals.
"""

from __future__ import annotations

import hashlib
from hmac import compare_digest
from typing import NoReturn


class Secret:
    """A masked string; `reveal()` is the only way to its value, so every use can be found by name."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(digest(self._value), digest(other._value))

    def __hash__(self) -> int:
        return hash(digest(self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


def digest(value: str) -> bytes:
    """SHA-256 of a secret: what may be kept, compared and used as a key instead of it."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
