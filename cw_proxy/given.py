"""What all settings have in common, wherever they are given: names that exist, values of their types, keys.

In: names and values, the place they stand in. Out: a struct, or ConfigError naming the setting, never its value: it may
be a key. Refuses to know files, and what settings do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from cw_proxy.errors import ConfigError
from cw_proxy.secret import Secret

Settings = TypeVar("Settings", bound=msgspec.Struct)

_NAME = re.compile(r"[A-Za-z][a-z_-]{0,30}")  # no digits: most keys have some


def check_names(found: Iterable[object], known: Collection[str], where: str, prefix: str = "") -> None:
    """`prefix` is what the names stand in, with its dot. Raises ConfigError."""
    for name in found:
        if name not in known:
            # It may be a key that slipped into the place of a name.
            shown = repr(f"{prefix}{name}") if _NAME.fullmatch(str(name)) else "A name"
            raise ConfigError(f"{shown} {where} is not a setting.{nearest(str(name), known, prefix)}")


def nearest(name: str, known: Collection[str], prefix: str = "") -> str:
    """A sentence, or nothing."""
    near = get_close_matches(name, sorted(known), n=1)
    return f" Did you mean {prefix + near[0]!r}?" if near else ""


def converted(settings: Mapping[str, Any], type_: type[Settings], where: str) -> Settings:
    """Raises ConfigError."""
    try:
        return msgspec.convert(settings, type_, dec_hook=secret)
    except msgspec.ValidationError as fault:
        # The message tells types and the setting's name only.
        raise ConfigError(f"A setting {where} is wrong: {fault}.") from None


def secret(type_: type, value: object) -> Secret:
    """For msgspec: a Secret from a text that fits into a header. Raises ValueError, TypeError."""
    if not isinstance(value, str):
        raise TypeError("Expected a string")
    # A line break at the end is how files and command substitutions end.
    text = value.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("Expected printable ASCII without spaces, not an empty text")
    return Secret(text)
