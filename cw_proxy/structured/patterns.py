"""Regular expressions of people nobody knows: small when compiled, stopped when they run for long.

In: patterns, texts. Out: whether they match. Refuses to know where they stand. The library `regex` knows a time-out,
and lets other threads run; `re` knows neither.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from cw_proxy.structured.values import Unfit, clipped

_SEARCH_COST, _SEARCH_SECONDS = 40, 0.0002
_LONG_SEARCH_COST, _LONG_SEARCH_SECONDS = 20_000, 0.05
_MAX_PATTERN = 2_000
_MAX_WORK = 200_000  # characters, after fixed repetitions are written out

# After an escape or by itself: a group with a question mark, or a fixed repetition.
_TOKENS = re.compile(r"\\.|(\(\?(?![:=!]|<[=!]|P?<\w|P=|[aims]+[:)]))|\{(\d+)", re.DOTALL)


def compiled_patterns(nodes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    compiled: dict[str, Any] = {}
    left = _MAX_WORK
    for node in nodes:
        for pattern in [*node.get("patternProperties", ()), *([node["pattern"]] if "pattern" in node else ())]:
            if pattern not in compiled:
                left -= _pattern_work(pattern)
                if left < 0:
                    raise Unfit("Its regular expressions are too large.")
                compiled[pattern] = _compiled(pattern)
    return compiled


def _pattern_work(pattern: str) -> int:
    """How long it may become, at most: the library writes fixed repetitions out."""
    if len(pattern) > _MAX_PATTERN:
        raise Unfit(f"A regular expression has more than {_MAX_PATTERN} characters.")
    longest = nested = 1
    for token in _TOKENS.finditer(pattern):
        if token[1]:
            # Recursion, fuzzy matching and the like: no JSON Schema means them.
            raise Unfit(f"The regular expression {pattern!r} has a group of an unknown kind.")
        count = max(1, int(token[2] or 1)) if len(token[2] or "") < 7 else _MAX_WORK
        if pattern[token.start() - 1 : token.start()] in (")", "}", "?", "*", "+"):
            nested = min(nested * count, _MAX_WORK)
        else:
            longest = max(longest, count)
    return len(pattern) * longest * nested


def _compiled(pattern: str) -> Any:
    import regex

    try:
        return regex.compile(pattern, cache_pattern=False)
    except (regex.error, RecursionError, ValueError, OverflowError):
        raise Unfit(f"The regular expression {pattern!r} does not compile.") from None


def found(pattern: Any, text: str, spend: Callable[[int], None]) -> bool:
    """Raises Unfit when it takes too long, and what `spend` does."""
    spend(_SEARCH_COST)
    try:
        return pattern.search(text, timeout=_SEARCH_SECONDS, concurrent=True) is not None
    except TimeoutError:
        # Few may take long, so that many cannot.
        spend(_LONG_SEARCH_COST)
    try:
        return pattern.search(text, timeout=_LONG_SEARCH_SECONDS, concurrent=True) is not None
    except TimeoutError:
        # The end of the whole check: within a `not`, an error would be a success.
        shown = clipped(pattern.pattern, 100)
        raise Unfit(f"$: matching {text!r} against the pattern {shown!r} takes too long") from None
