"""What is read of a body: extra members never matter, null counts as absent."""

from __future__ import annotations

from pathlib import Path

import msgspec
from messages import ask

from cw_proxy.protocols.anthropic_messages.shapes import OPTIONS, Body

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "messages.md"


def test_what_is_not_known_is_skipped_and_null_is_absent() -> None:
    optional = [field.name for field in msgspec.structs.fields(Body) if not field.required]
    nulls = {name: None for name in optional if name != "max_tokens"}
    assert ask(**nulls, unknown={"a": [1]}, cache_control={"type": "ephemeral"}).request == ask().request
    block = {"type": "text", "text": "hello", "cache_control": {"type": "ephemeral", "ttl": "1h"}, "citations": None}
    assert ask(messages=[{"role": "user", "content": [block], "id": "x"}]).request == ask().request


def test_what_is_ignored_is_a_member() -> None:
    assert {*OPTIONS} <= {field.name for field in msgspec.structs.fields(Body)}


def test_every_member_is_documented() -> None:
    text = PAGE.read_text()
    assert [field.name for field in msgspec.structs.fields(Body) if f"`{field.name}" not in text] == []
