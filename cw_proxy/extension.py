"""What OpenAI's answers carry beside the text, in every protocol of its family alike: `usage` and `x_cw`.

In: token counts, numbers, notes. Out: members of a JSON body. Refuses to know which body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cw_proxy.events import Note, Usage
from cw_proxy.usage import TokenCount

# What the proxy itself did to an answer is said once; what the service notes comes in lists.
_SINGLE = ("rounds", "tool_calls_left_out", "text_beside_calls", "unwrapped")


def usage_of(tokens: TokenCount) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.total,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "cw_usage_source": tokens.source,
    }


def extension_of(usages: Sequence[Usage], notes: Sequence[Note]) -> dict[str, Any]:
    """`x_cw`: what this backend says beside the text and OpenAI has no place for; empty when it says nothing.

    Of several answers and rounds, credits add up, and the fullest context counts.
    """
    extension: dict[str, Any] = {}
    percents = [usage.context_percent for usage in usages if usage.context_percent is not None]
    credits = [usage.credits for usage in usages if usage.credits is not None]
    credits += [usage.earlier.credits for usage in usages if usage.earlier and usage.earlier.credits is not None]
    if percents:
        extension["context_percent"] = max(percents)
    if credits:
        extension["credits"] = sum(credits)
    for note in notes:
        if note.kind in _SINGLE:
            extension[note.kind] = note.data
            continue
        noted = note.data if isinstance(note.data, list) else [note.data]
        extension.setdefault(note.kind, []).extend(noted)
    return extension
