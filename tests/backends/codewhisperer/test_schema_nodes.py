"""Where references lead, and what is a schema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values

from cw_proxy.backends.codewhisperer.schema_nodes import escaped, nodes, route, target

TEXT = {"type": "string"}
# a key → how clients write it in a reference
WRITTEN = [
    *[("a/b", "a~1b"), ("a/b", "a%2Fb"), ("~", "~0"), ("~", "~"), ("~1", "~01"), ("~1", "%7E01"), ("ü", "%C3%BC")],
    *[("ü", "ü"), ("My Type", "My%20Type"), ("My Type", "My Type"), ("a%20b", "a%2520b"), ("a%20b", "a%20b"), ("", "")],
]


@pytest.mark.parametrize(("key", "step"), WRITTEN)
def test_steps_with_escapes(key: str, step: str) -> None:
    assert target(f"#/$defs/{step}", {"$defs": {key: TEXT}}) is TEXT


@given(st.text(max_size=5))
def test_what_is_escaped_is_found(key: str) -> None:
    assert route(f"#/{escaped(key)}", {key: TEXT}) == [(key, TEXT)]


NOWHERE = [
    "",
    "#",
    "#a",
    "a",
    "https://example.org/#/a",
    "#/b",
    "#/a/1",
    "#/a/x",
    "#/a/0/b",
    "#/a/²",
    "#/a/-1",
    None,
    1,
]


@pytest.mark.parametrize("reference", NOWHERE)
def test_references_to_nowhere(reference: Any) -> None:
    assert target(reference, {"a": [1], "": {}}) is None
    assert target("#/a/0", {"a": [1]}) == 1


def test_schemas_stand_where_schemas_belong_and_where_references_lead() -> None:
    schemas = {name: {"description": name} for name in "abcdef"}
    value = {"description": "no schema"}
    root = {
        "properties": {"properties": schemas["a"]},
        "items": [schemas["b"], {"$ref": "#/x-y/f"}],
        "anyOf": [schemas["c"]],
        "dependencies": {"a": ["b"], "b": schemas["d"]},
        "not": schemas["e"],
        "x-y": {"f": schemas["f"], "g": value},
        "default": value,
    }
    found = nodes(root)
    assert all(id(schema) in found for schema in [root, *schemas.values()])
    assert id(value) not in found
    assert len(found) == 8


@given(st.dictionaries(st.sampled_from(["properties", "items", "$ref", "anyOf"]), json_values))
def test_any_json_can_be_walked(root: dict[str, Any]) -> None:
    assert id(root) in nodes(root)
