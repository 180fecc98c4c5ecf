"""How many tokens an exchange took, and how we know.

In: the service's own numbers where it sent some, and the lengths of the texts. Out: a TokenCount with its
provenance: `exact` (the service counted) or `estimated` (characters / 4, as the service's own command line does).
Refuses to know protocols and prices.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from cw_proxy.events import Reply, Usage
from cw_proxy.model import Request

Source = Literal["exact", "estimated"]
CHARACTERS_PER_TOKEN = 4


class TokenCount(msgspec.Struct, frozen=True):
    input: int
    output: int
    cached: int
    source: Source

    @property
    def total(self) -> int:
        return self.input + self.output


def estimate(characters: int) -> int:
    """At least 1: clients divide by these numbers."""
    return max(1, -(-characters // CHARACTERS_PER_TOKEN))


def prompt_characters(request: Request) -> int:
    return sum(len(message.text) for message in request.messages)


def reply_characters(reply: Reply) -> int:
    calls = sum(len(call.name) + len(call.arguments) for call in reply.tool_calls)
    return len(reply.text) + calls + sum(len(thought.text) for thought in reply.thoughts)


def count(request: Request, usage: Usage, output_characters: int) -> TokenCount:
    if usage.input_tokens is not None and usage.output_tokens is not None:
        cached = usage.cache_read_tokens or 0
        # The service's input number leaves out what was read from and written to its cache.
        prompt = usage.input_tokens + cached + (usage.cache_write_tokens or 0)
        return TokenCount(prompt, usage.output_tokens, cached, "exact")
    return TokenCount(estimate(prompt_characters(request)), estimate(output_characters), 0, "estimated")
