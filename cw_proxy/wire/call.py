"""One HTTP call and the head of its answer, as values: what a backend builds and a sender sends.

In: nothing. Out: values. Refuses to know how they travel. Headers may hold a bearer token and bodies hold
people's prompts, so neither is shown in a repr.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpCall:
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class HttpReply:
    """`headers` by lower-case name; `chunks` are the body's bytes as the network brought them."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes] = field(repr=False)
