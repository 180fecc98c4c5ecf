"""Fields that only some models take."""

from __future__ import annotations

from typing import Any

import pytest

from cw_proxy.emulator.model_fields import SCHEMAS, Wishes, check_model_fields, read_wishes
from cw_proxy.emulator.refusal import Refusal

LEGAL: dict[str, Any] = {"max_tokens": 5, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}
ILLEGAL: list[dict[str, Any]] = [
    {"max_tokens": 0},
    {"max_tokens": "5"},
    {"thinking": {"type": "always"}},
    {"output_config": {"effort": "none"}},
    {"temperature": 1},
]


def test_legal_fields() -> None:
    check_model_fields("claude-opus-4.5", LEGAL)
    check_model_fields("claude-sonnet-4", {})
    assert read_wishes({"additionalModelRequestFields": LEGAL}) == Wishes(5, True)
    assert read_wishes({}) == Wishes()


@pytest.mark.parametrize("fields", ILLEGAL)
def test_illegal_fields(fields: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        check_model_fields("claude-opus-4.5", fields)


def test_the_shown_schema_names_what_is_taken() -> None:
    schema = SCHEMAS["claude-opus-4.5"]
    assert (set(schema["properties"]), schema["additionalProperties"]) == (set(LEGAL), False)


def test_other_models_take_none() -> None:
    for model_id in ("claude-sonnet-4", ""):
        with pytest.raises(Refusal):
            check_model_fields(model_id, LEGAL)
