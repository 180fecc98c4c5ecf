"""Schemas of clients become schemas the service takes: a plain object at the root."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from strategies import json_values
from tool_schemas import schemas_with_arguments

from cw_proxy.backends.codewhisperer.names import hashed, is_property, renamed
from cw_proxy.backends.codewhisperer.schema import property_names, repaired
from cw_proxy.backends.codewhisperer.schema_nodes import target

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
        "default": {short: 1},
    }


# --- whatever names a property ---

S = "$s"
NEW = hashed(S)
NAMED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "required below": ({"items": {"required": [S]}}, {"items": {"required": [NEW]}}),
    "dependentRequired": (
        {"dependentRequired": {S: ["a", S], "a": [S], "b": None}},
        {"dependentRequired": {NEW: ["a", NEW], "a": [NEW], "b": []}},
    ),
    "dependentSchemas": (
        {"dependentSchemas": {S: {"required": [S]}, "a": True}},
        {"dependentSchemas": {NEW: {"required": [NEW]}, "a": {}}},
    ),
    "dependencies": (
        {"dependencies": {S: ["a"], "a": [S], "b": {"properties": {S: None}}}},
        {"dependencies": {NEW: ["a"], "a": [NEW], "b": {"properties": {NEW: {}}}}},
    ),
    "propertyNames": (
        {"propertyNames": {"enum": [S, "a"]}, "items": {"propertyNames": {"const": S}}},
        {"propertyNames": {"enum": [NEW, "a"]}, "items": {"propertyNames": {"const": NEW}}},
    ),
    "values": (
        {"properties": {S: {}}, "default": {S: S}, "const": [{S: None}], "enum": [S, {S: 1}], "examples": [{S: 1}]},
        {
            **{"properties": {NEW: {}}, "default": {NEW: S}, "const": [{NEW: None}], "enum": [S, {NEW: 1}]},
            "examples": [{NEW: 1}],
        },
    ),
    "a definition of the same name": (
        {"properties": {S: {"$ref": f"#/$defs/{S}"}}, "$defs": {S: TEXT}},
        {"properties": {NEW: {"$ref": f"#/$defs/{S}"}}, "$defs": {S: TEXT}},
    ),
    "a reference through properties": (
        {"properties": {S: {}, "a": {"$ref": "#/$defs/x/properties/%24s"}}, "$defs": {"x": {"properties": {S: TEXT}}}},
        {
            "properties": {NEW: {}, "a": {"$ref": f"#/$defs/x/properties/{NEW}"}},
            "$defs": {"x": {"properties": {NEW: TEXT}}},
        },
    ),
    "a definition called properties": (
        {"properties": {S: {"$ref": f"#/$defs/properties/{S}"}}, "$defs": {"properties": {S: TEXT}}},
        {"properties": {NEW: {"$ref": f"#/$defs/properties/{S}"}}, "$defs": {"properties": {S: TEXT}}},
    ),
    "a reference to where no schema belongs": (
        {"properties": {"a": {"$ref": "#/x-y/My%20Type"}}, "x-y": {"My Type": {"properties": {S: None}}, S: S}},
        {"properties": {"a": {"$ref": "#/x-y/My%20Type"}}, "x-y": {"My Type": {"properties": {NEW: {}}}, S: S}},
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_every_word_that_names_a_property(case: str) -> None:
    schema, wanted = NAMED[case]
    assert repaired(schema, property_names(schema)) == {"type": "object", "properties": {}, **wanted}


def test_a_new_name_is_no_other_propertys() -> None:
    names = property_names({"properties": {S: {}, NEW: {}}})
    assert names.keys() == {S}
    assert names[S] != NEW


@pytest.mark.parametrize("written", ["My Type", "My%20Type"])
@pytest.mark.parametrize("of", ["$defs", "definitions", "x-y"])
def test_a_definition_is_found_however_its_name_is_written(written: str, of: str) -> None:
    schema = {"$ref": f"#/{of}/{written}", of: {"My Type": {**A, "properties": {"a": TEXT, "My Type": TEXT}}}}
    assert repaired(schema, property_names(schema))["properties"] == {"a": TEXT, hashed("My Type"): TEXT}


# --- any schema, and any arguments that conform to it ---


def visible(node: Any) -> Iterator[str]:
    """Every name of a property, by a reading of its own."""
    if isinstance(node, list):
        for inner in node:
            yield from visible(inner)
    if not isinstance(node, dict):
        return
    yield from node.get("required", [])
    for word in ("properties", "dependentRequired", "dependentSchemas", "dependencies"):
        yield from node.get(word, {})
    for word in ("dependentRequired", "dependencies"):
        for needed in node.get(word, {}).values():
            yield from needed if isinstance(needed, list) else ()
    for word, value in node.items():
        if word in ("properties", "dependentSchemas", "dependencies", "$defs", "definitions", "x-types", "schemas"):
            yield from visible([inner for inner in value.values() if isinstance(inner, dict)])
        elif word in ("items", "anyOf", "allOf", "oneOf", "components"):
            yield from visible(value)


def all_refer(schema: Any, root: dict[str, Any]) -> bool:
    if isinstance(schema, list):
        return all(all_refer(inner, root) for inner in schema)
    if not isinstance(schema, dict):
        return True
    reference = schema.get("$ref")
    found = not isinstance(reference, str) or target(reference, root) is not None
    return found and all(all_refer(inner, root) for inner in schema.values())


@given(schemas_with_arguments())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_names_go_there_and_come_back(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    schema, arguments = pair
    Draft202012Validator(schema).validate(arguments)
    names = property_names(schema)
    upstream = repaired(schema, names)
    assert all(is_property(name) for name in visible(upstream))
    assert all_refer(upstream, upstream)
    sent = renamed(arguments, names)
    assert renamed(sent, {new: old for old, new in names.items()}) == arguments
    if not {"anyOf", "oneOf"} & schema.keys():
        Draft202012Validator(upstream).validate(sent)


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
