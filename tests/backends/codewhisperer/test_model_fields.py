"""Wishes and a model's schema go in; what the model takes comes out, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from strategies import request

from cw_proxy.backends.codewhisperer.model_fields import carried, model_fields


def properties(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members}


LENGTH = properties(max_tokens={"type": "integer", "minimum": 1, "maximum": 64_000})
EFFORT = {"output_config": properties(effort={"enum": ["low", "medium", "high", "max"]})}
THINKING = {"thinking": properties(type={"enum": ["adaptive", "disabled"]})}
BOTH = properties(**EFFORT, **THINKING)
ADAPTIVE = {"thinking": {"type": "adaptive"}}

CASES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, LENGTH, {}),
    ({"max_tokens": 5}, LENGTH, {"max_tokens": 5}),
    ({"max_tokens": 10**9}, LENGTH, {"max_tokens": 64_000}),
    ({"max_tokens": 5}, properties(max_tokens={"minimum": 16}), {}),
    ({"max_tokens": 5}, properties(max_tokens={"type": "integer"}), {"max_tokens": 5}),
    ({"max_tokens": 5}, BOTH, {}),
    ({"max_tokens": 5}, {}, {}),
    ({"reasoning_effort": "low"}, BOTH, {**ADAPTIVE, "output_config": {"effort": "low"}}),
    ({"reasoning_effort": "minimal"}, BOTH, {**ADAPTIVE, "output_config": {"effort": "low"}}),
    ({"reasoning_effort": "xhigh"}, BOTH, {**ADAPTIVE, "output_config": {"effort": "max"}}),
    ({"reasoning_effort": "none"}, BOTH, {"thinking": {"type": "disabled"}}),
    ({"reasoning_effort": "none"}, properties(**EFFORT), {}),
    ({"reasoning_effort": "high"}, properties(**EFFORT), {"output_config": {"effort": "high"}}),
    (
        {"reasoning_effort": "high"},
        properties(reasoning=properties(effort={"enum": ["low"]})),
        {"reasoning": {"effort": "low"}},
    ),
    ({"reasoning_effort": "strange"}, BOTH, {}),
    ({"reasoning_effort": "high"}, LENGTH, {}),
    ({"reasoning_effort": "high"}, properties(output_config=properties(effort={"enum": ["own"]})), {}),
]


@pytest.mark.parametrize(("wish", "schema", "fields"), CASES)
def test_fields(wish: dict[str, Any], schema: dict[str, Any], fields: dict[str, Any]) -> None:
    assert model_fields(request(**wish), schema) == fields
    assert carried(request(**wish), schema) == (frozenset(wish) if fields else frozenset())


@pytest.mark.parametrize("odd", [None, [], 5, "x", {"properties": None}, {"properties": []}, {"enum": 5}])
def test_a_schema_of_another_shape_offers_nothing(odd: Any) -> None:
    wish = request(max_tokens=5, reasoning_effort="low")
    assert model_fields(wish, {"properties": {"output_config": odd, "reasoning": odd, "thinking": odd}}) == {}
