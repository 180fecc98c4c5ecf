"""A chunk of an answer as types, and a whole answer, which is one chunk with messages for deltas.

In: nothing; these are shapes. Out: decoders for wire/lenient.py. Refuses to know what follows from a member. Unknown
members are skipped, since servers send their own; null counts as absent.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

# Absurd numbers are as good as none: clients in strict languages cannot even read them.
Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class Function(msgspec.Struct):
    name: str | None = None
    # Documented as text; an object has been seen, and means its text.
    arguments: str | dict[str, Any] | None = None


class Call(msgspec.Struct):
    """`index` says which call goes on; some servers leave it out, or the id."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Delta(msgspec.Struct):
    """`reasoning_content` and `reasoning` are two servers' names for the same thing."""

    content: Any = None
    reasoning_content: str | None = None
    reasoning: Any = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None


class Choice(msgspec.Struct):
    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    # Which stop text ended the answer, where servers tell: OpenAI does not.
    stop_reason: Any = None


class PromptDetails(msgspec.Struct):
    cached_tokens: Tokens | None = None


class Usage(msgspec.Struct):
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    prompt_tokens_details: PromptDetails | None = None


class Chunk(msgspec.Struct):
    id: str | None = None
    choices: list[Choice] | None = None
    # Read by itself: numbers that cannot be read are no reason to lose the answer they are about.
    usage: Any = None
    error: Any = None
    object: Any = None
    message: Any = None
    type: Any = None
    code: Any = None


CHUNK = msgspec.json.Decoder(Chunk)
