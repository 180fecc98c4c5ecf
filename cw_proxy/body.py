"""A client's JSON body → a typed value, or the error that says which path is wrong.

In: bytes, and a msgspec type. Out: the value. Refuses to know what the fields mean. All protocols use it, so that
bad input is answered alike everywhere: invalid_json, or invalid_value with `param` = the JSON path.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from cw_proxy.errors import InvalidJson, InvalidValue

MAX_DEPTH = 100
MAX_BRACKETS = 200_000
Shape = TypeVar("Shape")

_PATH = re.compile(r" - at `\$\.?([^`]*)`$")
# The closing quote may be missing: a try from every quote in turn would be quadratic.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
# A pair of surrogate escapes, a lone one, or any other escape.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def parse(body: bytes, decoder: msgspec.json.Decoder[Shape]) -> Shape:
    """Raises InvalidJson or InvalidValue; never shows the body's own words."""
    _check_depth(body)
    try:
        return _decode(body, decoder)
    except msgspec.ValidationError as fault:
        message, path = _located(str(fault))
        raise InvalidValue(f"Invalid value: {message}", param=path) from None
    except UnicodeDecodeError:
        raise InvalidJson("The body is not UTF-8.") from None
    except msgspec.DecodeError as fault:
        raise InvalidJson(f"The body is not valid JSON: {fault}") from None
    except RecursionError:
        raise _too_deep() from None


def _decode(body: bytes, decoder: msgspec.json.Decoder[Shape]) -> Shape:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # JavaScript clients that cut text in the middle of an emoji send half a surrogate pair.
        mended = _ESCAPES.sub(lambda found: b"\\ufffd" if found[1] else found[0], body)
        if mended == body:
            raise
        return decoder.decode(mended)


def _located(message: str) -> tuple[str, str | None]:
    found = _PATH.search(message)
    if found is None:
        return message, None
    return message[: found.start()], found[1] or None


def _check_depth(body: bytes) -> None:
    # Most bodies have fewer brackets than the limit, and need no look.
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRINGS.sub(b"", body).translate(_ONE_KIND, _NO_BRACKETS)
    if brackets.count(b"[") > MAX_BRACKETS:
        raise InvalidJson(f"The body has more than {MAX_BRACKETS} arrays and objects.")
    # Each pass closes the innermost ones: no Python for each of a million brackets.
    for _ in range(MAX_DEPTH):
        shallower = brackets.replace(b"[]", b"")
        if len(shallower) == len(brackets):
            break
        brackets = shallower
    if brackets.count(b"[") > (0 if b"[]" in brackets else MAX_DEPTH):
        raise _too_deep()


def _too_deep() -> InvalidJson:
    return InvalidJson(f"The body is nested more than {MAX_DEPTH} levels deep.")
