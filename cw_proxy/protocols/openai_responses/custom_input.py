r"""A custom tool's call: pieces of a JSON object with one string → pieces of that string.

In: fragments of JSON text, cut anywhere. Out: text, as soon as it is known; a whole escape and a whole surrogate pair
are the least. Refuses to know tools. What is no such object is given back at the end, as it is.
"""

from __future__ import annotations

import json
import re

from cw_proxy.protocols.openai_responses.tools import INPUT

_OPENING = re.compile(rf'\s*\{{\s*"{INPUT}"\s*:\s*"')
_HIGH, _LOW = r"[dD][89abAB][0-9a-fA-F]{2}", r"[dD][c-fC-F][0-9a-fA-F]{2}"
# What can be read without knowing what follows; half a pair only once it is known that its other half does not.
_UNITS = re.compile(
    rf'(?:[^"\\]|\\["\\/bfnrt]|\\u{_HIGH}\\u{_LOW}|\\u(?!{_HIGH})[0-9a-fA-F]{{4}}'
    rf"|\\u{_HIGH}(?=[^\\]|\\[^u]|\\u[^dD]|\\u[dD][^c-fC-F]))*"
)


# Characters within which the string must begin.
_HEAD = 256


class CustomInput:
    """One call's."""

    def __init__(self) -> None:
        self._begun: list[str] = []  # all there is, until the string begins
        self._length = 0
        self._inside = False
        self._waiting = ""

    def feed(self, fragment: str) -> str:
        if self._inside:
            return self._more(fragment)
        self._begun.append(fragment)
        if self._length > _HEAD:
            return ""
        self._length += len(fragment)
        head = "".join(self._begun)
        opening = _OPENING.match(head)
        if opening is None:
            return ""
        self._inside = True
        self._begun.clear()
        return self._more(head[opening.end() :])

    def _more(self, fragment: str) -> str:
        text = self._waiting + fragment
        known = _UNITS.match(text)
        end = known.end() if known else 0
        # From the closing quote on nothing can be read, and nothing needs to be.
        self._waiting = text[end : end + 12]
        return _read(text[:end])

    def rest(self) -> str:
        """What is still missing once the call is whole."""
        return "" if self._inside else _given("".join(self._begun))


def _read(escaped: str) -> str:
    text: str = json.loads(f'"{escaped}"', strict=False)
    return _mended(text)


def _given(arguments: str) -> str:
    """The text where the object has other members before it; else the arguments themselves."""
    try:
        said = json.loads(arguments or "{}")
    except ValueError:
        return arguments
    if not said:
        return ""
    text = said.get(INPUT) if isinstance(said, dict) else None
    return _mended(text) if isinstance(text, str) else arguments


def _mended(text: str) -> str:
    """Half a surrogate pair is no character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
