"""A schema is one by the metaschema of its draft, in one piece; nothing is fetched."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from cw_proxy.structured.schema import Schema, sentence
from cw_proxy.structured.values import Unfit, tree

DRAFTS = {
    "http://json-schema.org/draft-04/schema#": jsonschema.Draft4Validator,
    "http://json-schema.org/draft-06/schema#": jsonschema.Draft6Validator,
    "http://json-schema.org/draft-07/schema#": jsonschema.Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema.Draft201909Validator,
    "https://json-schema.org/draft/2020-12/schema": jsonschema.Draft202012Validator,
}
PARTS: list[dict[str, Any]] = [
    {"type": ["string", "null"]},
    {"type": []},
    {"type": ["string", "string"]},
    {"properties": {"a": {"minLength": -1}}},
    {"items": [{"type": "string"}]},
    {"items": {"items": {"items": 1}}},
    {"prefixItems": []},
    {"exclusiveMinimum": True, "minimum": 1},
    {"exclusiveMinimum": 1},
    {"required": []},
    {"required": ["a", "a"]},
    {"required": True},
    {"enum": []},
    {"enum": [1, 1]},
    {"const": None},
    {"multipleOf": 0},
    {"dependencies": {"a": ["b"], "c": {"type": "x"}}},
    {"dependentRequired": {"a": "b"}},
    {"dependentSchemas": {"a": {"not": []}}},
    {"$defs": {"a": {"if": 1}}},
    {"definitions": {"a": {"type": 1}}},
    {"contentSchema": {"type": 1}},
    {"title": 1},
    {"anyOf": [{}, {"oneOf": [{"type": "no"}]}]},
    {"additionalProperties": 1},
    {"propertyNames": {"maxLength": 1.5}},
    {"$anchor": "1a"},
    {"$comment": 1},
    {"format": 1},
]


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("part", PARTS, ids=str)
def test_what_is_a_schema_in_which_draft(draft: str, part: dict[str, Any]) -> None:
    schema = {"$schema": draft, **part}
    try:
        DRAFTS[draft].check_schema(schema)
    except jsonschema.SchemaError:
        with pytest.raises(Unfit):
            Schema(schema)
    else:
        Schema(schema)


def test_a_schema_is_not_changed_and_may_be_asked_again() -> None:
    given = {"$schema": "http://json-schema.org/draft-07/schema#", "type": "null"}
    schema = Schema(given)
    assert [schema.best_error(value) is None for value in (None, 1, None)] == [True, False, True]
    assert given == {"$schema": "http://json-schema.org/draft-07/schema#", "type": "null"}


def test_a_thousand_properties_are_a_schema() -> None:
    Schema({"properties": {f"p{at}": {"type": "string", "description": "x"} for at in range(1000)}})


def test_the_sentence_names_the_place() -> None:
    schema = Schema({"items": {"properties": {"it's": {"type": "null"}}}})
    error = schema.best_error(tree([{}, {"it's": "x" * 1000}]))
    assert sentence(error) == f"""$[1]["it's"]: '{"x" * 60}'… is not of type 'null'"""
