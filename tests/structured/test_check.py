"""Schemas and answers go in; nothing or one sentence comes out, whatever hostile people wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.errors import InvalidValue
from cw_proxy.structured import JsonCheck, unwrapped
from cw_proxy.structured.check import MAX_FAULT

Schema = dict[str, Any]

DRAFT_4, DRAFT_7 = "http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-07/schema#"
DRAFT_2019 = "https://json-schema.org/draft/2019-09/schema"
PEOPLE: Schema = {
    "type": "object",
    "properties": {"people": {"type": "array", "items": {"$ref": "#/$defs/person"}}},
    "required": ["people"],
    "additionalProperties": False,
    "$defs": {"person": {"type": "object", "properties": {"age": {"type": "integer"}}}},
}
PAIR: list[Schema] = [{"type": "string"}, {"type": "integer"}]


def fault(schema: Schema | None, text: str) -> str | None:
    return JsonCheck(schema, "response_format").fault(text)


VERDICTS: list[tuple[Schema | None, str, str | None]] = [
    (None, "{}", None),
    (None, ' \r\n{"a": [1]}\t', None),
    (None, "[1]", "$: [1] is not of type 'object'"),
    (None, "{} {}", "The answer is not one JSON value: Extra data (line 1, column 4)."),
    (None, "", "The answer is not one JSON value: Expecting value (line 1, column 1)."),
    (PEOPLE, '{"people": [{"age": 1}]}', None),
    (PEOPLE, '{"people": [{"age": "x"}]}', "$.people[0].age: 'x' is not of type 'integer'"),
    (PEOPLE, "{}", "$: 'people' is a required property"),
    (PEOPLE, '{"people": [], "x": 1}', "$: additional properties are not allowed (unexpected: 'x')"),
    ({"properties": {"a b": {"type": "null"}}}, '{"a b": 1}', "$['a b']: 1 is not of type 'null'"),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "null", None),
    ({"patternProperties": {"^a": {"type": "null"}}, "additionalProperties": False}, '{"ab": null}', None),
    ({"patternProperties": {"^a": {"type": "null"}}}, '{"ab": 1}', "$.ab: 1 is not of type 'null'"),
    ({"additionalProperties": {"type": "null"}}, '{"ab": 1}', "$.ab: 1 is not of type 'null'"),
    ({"format": "date"}, '"no date"', None),
    ({"$schema": "of my own", "type": "null"}, "null", None),
    ({"$schema": DRAFT_7, "items": PAIR}, '["a", 1]', None),
    ({"$schema": DRAFT_7.replace("http:", "https:"), "items": PAIR}, '["a", 1]', None),
    ({"$schema": DRAFT_2019, "items": PAIR}, '["a", "b"]', "$[1]: 'b' is not of type 'integer'"),
    ({"prefixItems": PAIR}, '["a", "b"]', "$[1]: 'b' is not of type 'integer'"),
    ({"$schema": DRAFT_4, "maximum": 3, "exclusiveMaximum": True}, "3", "$: 3 is greater than or equal to the"),
    ({"$schema": DRAFT_7, "$ref": "#/definitions/a", "type": "null", "definitions": {"a": {}}}, "1", None),
    ({"$id": "http://example.com/x", "$ref": "x#/$defs/a", "$defs": {"a": {"type": "null"}}}, "null", None),
    ({"$ref": "#here", "$defs": {"a": {"$anchor": "here", "type": "null"}}}, "null", None),
    ({"$ref": "#/components/a", "components": {"a": {"type": "null"}}}, "null", None),
    ({"$dynamicRef": "#x", "$defs": {"a": {"$dynamicAnchor": "x", "type": "null"}}}, "null", None),
    ({"const": {"$ref": "http://nowhere/"}}, '{"$ref": "http://nowhere/"}', None),
    ({"examples": [{"pattern": "*.py"}]}, "1", None),
    ({"pattern": r"^\(?\d{3}\)? \d{4}$"}, '"(123) 4567"', None),
]


@pytest.mark.parametrize(("schema", "text", "wanted"), VERDICTS)
def test_verdicts(schema: Schema | None, text: str, wanted: str | None) -> None:
    found = fault(schema, text)
    assert found is None if wanted is None else (found or "").startswith(wanted)


REFUSED: dict[str, Schema] = {
    "not of a type": {"type": "strin"},
    "not of a type, in a place that a reference makes a schema": {"$ref": "#/x", "x": {"type": "strin"}},
    "what is no schema": {"$ref": "#/required", "required": ["a"]},
    "a reference to nothing": {"$ref": "#/$defs/x"},
    "a reference in a reference to nothing": {"$ref": "#/x", "x": {"items": {"$ref": "#/y"}}},
    "a reference that is no text": {"$schema": DRAFT_4, "$ref": 1},
    "a reference into a list": {"$ref": "#/allOf/x", "allOf": [{}]},
    "a reference abroad": {"$ref": "http://127.0.0.1:9/schema"},
    "a file": {"$ref": "file:///etc/passwd"},
    "a metaschema": {"$ref": DRAFT_2019},
    "an address of its own inside": {"items": {"$id": "x"}},
    "a draft of its own inside": {"items": {"$schema": DRAFT_7, "pattern": "(a|aa)+$"}},
    "a pattern that does not compile": {"pattern": "("},
    "the same as a name": {"patternProperties": {"(": {}}},
    "a pattern that becomes huge": {"pattern": "(?:a{1000}){1000}"},
    "unevaluated": {"unevaluatedProperties": False},
    "too many values": {"enum": list(range(20_000))},
    "too much to check": {"allOf": [{"title": "x"}] * 9000},
}


@pytest.mark.parametrize("schema", REFUSED.values(), ids=REFUSED)
def test_schemas_that_are_refused(schema: Schema) -> None:
    with pytest.raises(InvalidValue) as refusal:
        JsonCheck(schema, "text.format.schema")
    assert refusal.value.param == "text.format.schema"
    assert "out of the ordinary" not in refusal.value.message
    assert len(refusal.value.message) <= MAX_FAULT


def test_a_schema_may_not_be_too_deep() -> None:
    schema: Schema = {}
    for _ in range(5000):
        schema = {"not": schema}
    with pytest.raises(InvalidValue):
        JsonCheck(schema, "response_format")


def doubling(word: str) -> Schema:
    steps: Schema = {f"a{at}": {word: [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(40)}
    return {"$ref": "#/$defs/a0", "$defs": {**steps, "a40": {"type": "integer"}}}


SLOW = "(a|aa)+$"
TOO_LONG, TOO_MUCH, ENDLESS = "takes too long", "too much work", "without end"
ATTACKS: dict[str, tuple[Schema, str, str]] = {
    "pattern": ({"pattern": SLOW}, json.dumps("a" * 60 + "b"), TOO_LONG),
    "pattern that must not match": ({"not": {"pattern": SLOW}}, json.dumps("a" * 60 + "b"), TOO_LONG),
    "pattern of names": ({"patternProperties": {SLOW: {}}}, json.dumps({"a" * 60 + "b": 1}), TOO_LONG),
    "pattern of other names": (
        {"patternProperties": {SLOW: False}, "additionalProperties": False},
        json.dumps({"a" * 60 + "b": 1}),
        TOO_LONG,
    ),
    "many slow patterns": ({"items": {"not": {"pattern": SLOW}}}, json.dumps(["a" * 20 + "b"] * 30_000), TOO_MUCH),
    "doubling anyOf": (doubling("anyOf"), '"x"', TOO_MUCH),
    "doubling oneOf": (doubling("oneOf"), '"x"', TOO_MUCH),
    "doubling allOf": (doubling("allOf"), "1", TOO_MUCH),
    "itself": ({"$ref": "#"}, "1", ENDLESS),
    "itself by its address": ({"$id": "http://a/b", "$ref": "http://a/b"}, "1", ENDLESS),
    "itself, dynamically": ({"$dynamicRef": "#"}, "1", ENDLESS),
    "itself, recursively": ({"$schema": DRAFT_2019, "$recursiveRef": "#"}, "1", ENDLESS),
    "each other": (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        "1",
        ENDLESS,
    ),
    "itself twice": ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "1", ENDLESS),
    "a deep answer": ({"items": {"$ref": "#"}}, "[" * 400 + "]" * 400, "too deeply"),
    "a very deep answer": ({}, "[" * 100_000 + "]" * 100_000, "too deeply"),
    "many items with hashes that collide": (
        {"uniqueItems": True},
        json.dumps([at * (2**61 - 1) for at in range(30_000)] + [0]),
        "there twice",
    ),
    "very many items": ({"uniqueItems": True}, json.dumps([[at] for at in range(100_000)]), TOO_MUCH),
    "beyond a double": ({"multipleOf": 0.1}, "1e400", "too large"),
    "thousands of digits": ({"type": "integer"}, "1" * 5000, "too large"),
    "a divisor beyond a double": ({"multipleOf": 10**400}, "1.5", "cannot be checked"),
    "large by small": ({"multipleOf": 1e-300}, "1e308", "is not a multiple"),
    "no number": ({}, "NaN", "NaN is no JSON value"),
    "endless": ({}, "-Infinity", "-Infinity is no JSON value"),
    "a name twice": ({}, '{"a": 1, "b": {"a": 2, "a": 3}}', "'a' twice"),
    "wide nodes that say nothing": (
        {"items": {f"x{at}": 1 for at in range(9000)}},
        json.dumps([1] * 100_000),
        TOO_MUCH,
    ),
    "a long text, often shown": ({"anyOf": [{"type": "null"}] * 1000}, json.dumps("x" * 1_000_000), TOO_MUCH),
    "long lists of values": ({"items": {"enum": list(range(9000))}}, json.dumps([0] * 100_000), TOO_MUCH),
    "tried with every item": (
        {"$schema": DRAFT_7, "items": {"contains": False}},
        json.dumps([[1] * 1000] * 1000),
        "are valid under",
    ),
    "a huge path": ({"additionalProperties": {"type": "null"}}, json.dumps({"x" * 100_000: 1}), "is not of type"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_end_in_a_fault(attack: str) -> None:
    schema, text, wanted = ATTACKS[attack]
    found = fault(schema, text)
    assert found is not None
    assert wanted in found
    assert len(found) <= MAX_FAULT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -2.0]) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)
kinds = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
small = st.integers(0, 3)
keywords = st.one_of(
    st.builds(lambda kind: {"type": kind}, kinds | st.lists(kinds, min_size=1, max_size=3, unique=True)),
    st.builds(lambda values: {"enum": values}, st.lists(json_values, min_size=1, max_size=3)),
    st.builds(lambda value: {"const": value}, json_values),
    st.builds(lambda word, limit: {word: limit}, st.sampled_from(["minimum", "maxLength", "minItems"]), small),
    st.builds(lambda unique: {"uniqueItems": unique}, st.booleans()),
    st.builds(lambda number: {"multipleOf": number}, st.sampled_from([1, 2, 0.5])),
    st.builds(lambda pattern: {"pattern": pattern}, st.sampled_from(["a", "^b", "a$", "^(a|b)*$", "a{2}"])),
    st.builds(lambda names: {"required": names}, st.lists(st.text("ab", max_size=2), max_size=2, unique=True)),
)


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(st.text("ab", max_size=2), inner, max_size=2)
    words = st.sampled_from(["items", "additionalProperties", "not", "contains", "propertyNames", "if", "then"])
    single = st.builds(lambda word, schema: {word: schema}, words, inner)
    lists = st.builds(
        lambda word, schemas: {word: schemas},
        st.sampled_from(["allOf", "anyOf", "oneOf", "prefixItems"]),
        st.lists(inner, min_size=1, max_size=2),
    )
    maps = st.builds(lambda word, schemas: {word: schemas}, st.sampled_from(["properties", "dependentSchemas"]), named)
    patterns = st.builds(lambda schema: {"patternProperties": {"^a": schema}}, inner)
    parts = single | lists | maps | patterns | keywords
    return st.lists(parts, max_size=3).map(
        lambda several: {word: part for one in several for word, part in one.items()}
    )


schemas = larger(st.recursive(st.booleans() | keywords, larger, max_leaves=4))


@given(schemas, json_values)
def test_the_verdict_is_the_one_of_jsonschema(schema: Schema, value: Any) -> None:
    plain = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (fault(schema, json.dumps(value)) is None) == plain


@given(st.dictionaries(st.sampled_from(["type", "items", "required", "enum", "pattern", "not"]), json_values))
def test_what_is_a_schema_is_what_jsonschema_says(schema: Schema) -> None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError:
        with pytest.raises(InvalidValue):
            JsonCheck(schema, "x")
    else:
        JsonCheck(schema, "x")


FENCES: list[tuple[str, str | None]] = [
    ("```json\n{}\n```", "{}\n"),
    (" \n```\n1\n``` \n", "1\n"),
    ("```JSON \r\n{}\r\n```", "{}\r\n"),
    ("```\n```", ""),
    ("```\n1\n  ```", "1\n"),
    ('```json\n"\u2028```"\n```', '"\u2028```"\n'),
    ("{}", None),
    ("Here:\n```\n1\n```", None),
    ("```\n1\n```\nThere.", None),
    ("```json\n1", None),
    ("```json\n1```", None),
    ("```python\n1\n```", None),
    ("```\n1\n```\n```\n2\n```", None),
    ("```", None),
    ("``````", None),
]


@pytest.mark.parametrize(("text", "wanted"), FENCES)
def test_fences(text: str, wanted: str | None) -> None:
    assert unwrapped(text) == wanted


def test_only_a_schema_loads_the_libraries() -> None:
    probe = (
        "import sys; from cw_proxy.structured import JsonCheck; JsonCheck(None, 'x').fault('{}');"
        "print(*{'jsonschema', 'referencing', 'regex'} & set(sys.modules))"
    )
    assert not subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.strip()
