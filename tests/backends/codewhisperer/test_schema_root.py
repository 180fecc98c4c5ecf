"""The root of a schema: alternatives merged, references kept, never much work."""

from __future__ import annotations

from typing import Any

import pytest

from cw_proxy.backends.codewhisperer.schema import repaired

TEXT = {"type": "string"}
NUMBER = {"type": "number"}


def test_a_moved_branch_takes_no_definitions_place() -> None:
    branch = {"properties": {"c": {"$ref": "#/anyOf/0"}, "d": {"$ref": "#/$defs/anyOf_0"}}}
    seen = repaired({"anyOf": [branch], "$defs": {"anyOf_0": NUMBER}}, {})
    assert seen["$defs"]["anyOf_0"] == NUMBER
    assert seen["properties"]["d"] == {"$ref": "#/$defs/anyOf_0"}
    assert seen["properties"]["c"] == {"$ref": "#/$defs/anyOf_0_"}
    assert seen["$defs"]["anyOf_0_"] == seen["$defs"]["anyOf_0_"] | {"properties": seen["properties"]}


def test_a_reference_into_a_property_that_is_merged() -> None:
    inner = {"properties": {"x": TEXT}}
    schema = {
        "properties": {"a": inner, "b": {"$ref": "#/properties/a/properties/x"}},
        "allOf": [{"properties": {"a": {"required": ["x"]}}}],
    }
    assert repaired(schema, {}) == {
        "type": "object",
        "properties": {
            "a": {"allOf": [{"$ref": "#/$defs/properties_a"}, {"required": ["x"]}]},
            "b": {"$ref": "#/$defs/properties_a/properties/x"},
        },
        "$defs": {"properties_a": inner},
    }


def test_patterns_of_all_branches_are_kept() -> None:
    one, two = {"patternProperties": {"^x": TEXT}}, {"patternProperties": {"^y": {}}, "additionalProperties": False}
    assert repaired({"allOf": [one, two]}, {})["patternProperties"] == {"^x": TEXT, "^y": {}}
    assert "additionalProperties" not in repaired({"anyOf": [two, two]}, {})


def test_references_that_multiply_are_cut_off() -> None:
    """Thirty definitions that mean a billion branches."""
    twice = {
        f"d{at}": {"allOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2, "properties": {"a": {"const": at}}}
        for at in range(30)
    }
    for word in ("allOf", "anyOf"):
        seen = repaired({word: [{"$ref": "#/$defs/d0"}], "$defs": twice}, {})
        assert seen["type"] == "object"
        assert len(str(seen["properties"])) < 100_000


def test_many_branches_with_references_into_them() -> None:
    branches = [{"properties": {f"p{at}": {"$ref": f"#/anyOf/{at}/properties/p{at}"}}} for at in range(3000)]
    seen = repaired({"anyOf": branches}, {})
    assert len(seen["$defs"]) == 3000


NO_SCHEMAS = [
    {"$ref": "#/x-y", "x-y": {"properties": 5, "required": "abc", "$defs": 3, "allOf": 7}},
    {"$ref": "#/default", "default": {"properties": None, "required": [1, ["a"], "b"], "allOf": None, "type": [None]}},
    {"$ref": "#/default", "default": {"$ref": ["x"], "description": 5}},
    {"$ref": "#/const", "const": [1]},
]


@pytest.mark.parametrize("schema", NO_SCHEMAS)
def test_a_reference_to_what_is_no_schema_is_a_reference_to_anything(schema: dict[str, Any]) -> None:
    root = repaired(schema, {})
    assert (root["type"], root["properties"]) == ("object", {})


def wide(prefix: str) -> dict[str, Any]:
    return {"type": "object", "properties": {f"{prefix}{at}": {} for at in range(4000)}}


MANY = [{"$ref": "#/$defs/a"}] * 20_000


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a": {"anyOf": [wide("a")]}}, "allOf": [{"$ref": "#/$defs/a"}] * 20_000},
        {"allOf": [wide(f"{at}-") for at in range(40)]},
        {"anyOf": [wide(f"{at}-") for at in range(40)]},
        {"$defs": {"a": {"patternProperties": {f"{at}": {} for at in range(9000)}}}, "allOf": MANY},
        {"$defs": {"a": {"$defs": {f"{at}": {} for at in range(9000)}}}, "allOf": MANY},
        {"$defs": {"a": {"required": [f"{at}" for at in range(9000)]}}, "allOf": MANY},
        {"$defs": {"a": {"description": "x" * 1_000_000}}, "allOf": MANY},
        {"anyOf": [{"required": [f"{at}" for at in range(1000)]} for _ in range(1000)]},
    ],
)
def test_merging_much_is_bounded_work(schema: dict[str, Any]) -> None:
    """Quadratic work would take minutes."""
    assert repaired(schema, {})["type"] == "object"


def test_a_long_chain_of_references_is_cut_off() -> None:
    chain = {f"d{at}": {"$ref": f"#/$defs/d{at + 1}", "properties": {f"p{at}": {}}} for at in range(20_000)}
    assert len(repaired({"$ref": "#/$defs/d0", "$defs": chain}, {})["properties"]) == 100
