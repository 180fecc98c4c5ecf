"""Every keyword has its price, and our own say what jsonschema's say."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from cw_proxy.structured import keywords
from cw_proxy.structured.schema import Schema
from cw_proxy.structured.values import tree

CASES: list[tuple[dict[str, Any], Any]] = [
    ({"uniqueItems": True}, [1, 1.0]),
    ({"uniqueItems": True}, [1, True]),
    ({"uniqueItems": True}, [0, -0.0]),
    ({"uniqueItems": True}, ["1", 1]),
    ({"uniqueItems": True}, [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}]),
    ({"uniqueItems": True}, [2**53, float(2**53)]),
    ({"uniqueItems": False}, [1, 1]),
    ({"uniqueItems": True}, "aa"),
    ({"pattern": "b"}, "abc"),
    ({"pattern": "^b"}, "abc"),
    ({"pattern": "b"}, 1),
    ({"additionalProperties": True}, {"a": 1}),
    ({"additionalProperties": False, "properties": {"a": {}}}, {"a": 1}),
    ({"additionalProperties": False, "patternProperties": {"^a": {}, "b$": {}}}, {"ax": 1, "xb": 1}),
    ({"additionalProperties": False, "patternProperties": {"^a": {}}}, {"ax": 1, "xb": 1}),
    ({"additionalProperties": {"type": "null"}}, {"a": 1}),
    ({"additionalProperties": False}, [1]),
    ({"patternProperties": {"^a": False}}, {"a": 1}),
    ({"patternProperties": {"^a": False}}, {"b": 1}),
]


@pytest.mark.parametrize(("schema", "value"), CASES)
def test_our_own_keywords_judge_as_jsonschema_does(schema: dict[str, Any], value: Any) -> None:
    plain = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (Schema(schema).best_error(tree(value)) is None) == plain


def test_the_first_faults_survive_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Schema({"items": {"type": "null"}})
    monkeypatch.setattr(keywords, "_BUDGET", 2000)
    error = schema.best_error(tree([1] + [None] * 900))
    assert error is not None
    assert list(error.absolute_path) == [0]
