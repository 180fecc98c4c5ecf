"""Schemas of clients become schemas the service takes: a plain object at the root."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values

from cw_proxy.backends.codewhisperer.names import hashed
from cw_proxy.backends.codewhisperer.schema import property_names, repaired

TEXT = {"type": "string"}
NUMBER = {"type": "number"}
A, B = {"properties": {"a": TEXT}, "required": ["a"]}, {"properties": {"b": NUMBER}, "required": ["b"]}
BOTH = {"a": TEXT, "b": NUMBER}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {"type": "object", "properties": {}}),
    "nulls": (
        {"type": None, "properties": None, "required": None, "description": None},
        {"type": "object", "properties": {}},
    ),
    "nulls inside": (
        {
            "type": "object",
            "properties": {"a": None, "b": {"type": None, "default": None, "required": None}, "c": True},
        },
        {"type": "object", "properties": {"a": {}, "b": {"default": None}, "c": {}}},
    ),
    "types that are none": (
        {"type": ["object", "null"], "properties": {"a": {"type": 1}}, "required": "a"},
        {"type": "object", "properties": {"a": {}}},
    ),
    "an empty required": ({"required": []}, {"type": "object", "properties": {}}),
    "anyOf at the root": (
        {"anyOf": [A, B]},
        {
            "type": "object",
            "properties": BOTH,
            "description": "Give one of these sets of properties: a; or b.",
        },
    ),
    "oneOf that only demands": (
        {"properties": BOTH, "required": ["c"], "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {
            "type": "object",
            "properties": BOTH,
            "required": ["c"],
            "description": "Give one of these sets of properties: a; or b.",
        },
    ),
    "an object or nothing": ({"anyOf": [A, {"type": "null"}]}, {"type": "object", **A}),
    "allOf at the root": (
        {"allOf": [A, B], "description": "d"},
        {"type": "object", "properties": BOTH, "required": ["a", "b"], "description": "d"},
    ),
    "a property that two describe": (
        {"allOf": [A, {"properties": {"a": NUMBER}}]},
        {"type": "object", "properties": {"a": {"allOf": [TEXT, NUMBER]}}, "required": ["a"]},
    ),
    "a reference at the root": (
        {"$ref": "#/$defs/x", "$defs": {"x": A}},
        {"type": "object", "$defs": {"x": A}, **A},
    ),
    "a reference to itself": (
        {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}},
        {"type": "object", "$defs": {"x": {"$ref": "#/$defs/x"}}, "properties": {}},
    ),
    "a reference to nowhere": ({"$ref": "https://example.org/x"}, {"type": "object", "properties": {}}),
    "a reference into a branch": (
        {"anyOf": [A, {"properties": {"c": {"$ref": "#/anyOf/0/properties/a"}}}]},
        {
            "type": "object",
            "properties": {"a": TEXT, "c": {"$ref": "#/$defs/anyOf_0/properties/a"}},
            "description": "Give one of these sets of properties: a; or c.",
            "$defs": {"anyOf_0": A},
        },
    ),
    "alternatives below the root stay": (
        {"properties": {"a": {"anyOf": [TEXT, {"$ref": "#/$defs/x"}]}}, "$defs": {"x": NUMBER}},
        {
            "type": "object",
            "properties": {"a": {"anyOf": [TEXT, {"$ref": "#/$defs/x"}]}},
            "$defs": {"x": NUMBER},
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_repairs(case: str) -> None:
    given_schema, wanted = CASES[case]
    before = copy.deepcopy(given_schema)
    assert repaired(given_schema, {}) == wanted
    assert given_schema == before


@pytest.mark.parametrize("case", CASES)
def test_what_is_repaired_stays_as_it_is(case: str) -> None:
    once = repaired(CASES[case][0], {})
    assert repaired(once, {}) == once


def test_strange_names_are_found_and_replaced_wherever_they_stand() -> None:
    long = "x" * 65
    schema = {
        "properties": {long: TEXT, "a": {"items": {"properties": {"$b": {"$ref": f"#/properties/{long}"}}}}},
        "required": [long, "a"],
        "dependentRequired": {long: ["a"]},
        "default": {long: 1},
    }
    names = property_names(schema)
    assert names == {long: hashed(long), "$b": hashed("$b")}
    short = hashed(long)
    assert repaired(schema, names) == {
        "type": "object",
        "properties": {short: TEXT, "a": {"items": {"properties": {hashed("$b"): {"$ref": f"#/properties/{short}"}}}}},
        "required": [short, "a"],
        "dependentRequired": {short: ["a"]},
        "default": {long: 1},
    }


WORDS = ["type", "properties", "required", "anyOf", "oneOf", "allOf", "$ref", "$defs", "items", "not", "description"]
schemas = st.recursive(
    json_values | st.sampled_from(["object", "#", "#/$defs/a", "#/anyOf/0", "#/properties/a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WORDS, "a", "$b"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(WORDS), schemas, max_size=5))
def test_whatever_comes_the_root_is_a_plain_object(schema: dict[str, Any]) -> None:
    seen = repaired(schema, property_names(schema))
    assert seen["type"] == "object"
    assert isinstance(seen["properties"], dict)
    assert not {"oneOf", "anyOf", "allOf", "$ref"} & seen.keys()
    assert all(isinstance(name, str) for name in seen.get("required", []))


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


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"a": {"anyOf": [wide("a")]}}, "allOf": [{"$ref": "#/$defs/a"}] * 20_000},
        {"allOf": [wide(f"{at}-") for at in range(40)]},
        {"anyOf": [wide(f"{at}-") for at in range(40)]},
    ],
)
def test_merging_much_is_bounded_work(schema: dict[str, Any]) -> None:
    """Quadratic work would take minutes."""
    assert repaired(schema, {})["type"] == "object"
