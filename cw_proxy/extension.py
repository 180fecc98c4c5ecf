"""What OpenAI's answers carry beside the text, in every protocol of its family alike: `usage` and `x_cw`.

In: token counts, numbers, notes. Out: members of a JSON body. Refuses to know which body.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cw_proxy.events import Note, Usage
from cw_proxy.usage import TokenCount


def usage_of(tokens: TokenCount) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.total,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "cw_usage_source": tokens.source,
    }


def extension_of(usage: Usage, notes: Sequence[Note]) -> dict[str, Any]:
    """`x_cw`: what this backend says beside the text and OpenAI has no place for; empty when it says nothing."""
    extension: dict[str, Any] = {}
    if usage.context_percent is not None:
        extension["context_percent"] = usage.context_percent
    if usage.credits is not None:
        extension["credits"] = usage.credits
    for note in notes:
        noted = note.data if isinstance(note.data, list) else [note.data]
        extension.setdefault(note.kind, []).extend(noted)
    return extension
