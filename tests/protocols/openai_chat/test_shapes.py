"""What is read of a body: extra members never matter, null counts as absent."""

from __future__ import annotations

import msgspec
from chat import ask

from cw_proxy.protocols.openai_chat.shapes import OPTIONS, Body


def test_what_is_not_known_is_skipped_and_null_is_absent() -> None:
    nulls = {field.name: None for field in msgspec.structs.fields(Body) if not field.required}
    assert ask(**nulls, unknown={"a": [1]}).request == ask().request
    message = {"role": "user", "content": "hello", "annotations": [], "provider_specific_fields": {"a": 1}}
    assert ask(messages=[message]).request == ask().request


def test_what_is_ignored_is_a_member() -> None:
    assert {*OPTIONS} <= {field.name for field in msgspec.structs.fields(Body)}
