"""A request's demands go in; the one to check comes out, but not what the upstream sees to."""

from __future__ import annotations

from typing import Any

import pytest
from strategies import request

from cw_proxy.demands import demand_of
from cw_proxy.demands.json_answer import JsonDemand
from cw_proxy.demands.tool_call import ToolDemand
from cw_proxy.errors import InvalidValue
from cw_proxy.model import JsonAnswer


@pytest.mark.parametrize(
    ("said", "carried", "kind"),
    [
        ({}, set(), None),
        ({"tool_choice": "none"}, set(), None),
        ({"tool_choice": "required"}, set(), ToolDemand),
        ({"tool_choice": "required"}, {"tool_choice"}, None),
        ({"json_answer": JsonAnswer()}, set(), JsonDemand),
        ({"json_answer": JsonAnswer()}, {"json_answer"}, None),
        # What calls a tool says nothing that could be JSON; the schema is looked at all the same.
        ({"json_answer": JsonAnswer(), "tool_choice": "required"}, set(), ToolDemand),
    ],
)
def test_demands(said: dict[str, Any], carried: set[str], kind: type | None) -> None:
    make = demand_of(request(**said), frozenset(carried))
    assert (None if make is None else type(make())) == kind


def test_each_round_has_a_check_of_its_own() -> None:
    make = demand_of(request(json_answer=JsonAnswer()), frozenset())
    assert make is not None
    assert make() is not make()


def test_a_schema_that_is_none_is_refused_also_beside_a_tool() -> None:
    asked = request(json_answer=JsonAnswer({"type": "nothing"}), tool_choice="required")
    with pytest.raises(InvalidValue):
        demand_of(asked, frozenset())
