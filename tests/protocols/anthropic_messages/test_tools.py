"""Tools, offered and chosen."""

from __future__ import annotations

from typing import Any

import pytest
from messages import ask

from cw_proxy import errors
from cw_proxy.model import Tool

CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "description": "w", "input_schema": CITY}
TIME = {"name": "time", "input_schema": {}, "type": "custom", "cache_control": {"type": "ephemeral"}, "strict": True}


def test_offers() -> None:
    request = ask(tools=[WEATHER, TIME, {"name": "bare"}, WEATHER]).request
    assert request.tools == (Tool("weather", "w", CITY), Tool("time", "", {}), Tool("bare", "", {}))
    assert request.options == {"tools[].strict": True}
    assert ask(tools=[]).request == ask().request


def test_deferred_tools_are_offered_and_searching_for_them_is_named_as_ignored() -> None:
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    request = ask(tools=[search, {**WEATHER, "defer_loading": True}]).request
    assert request.tools == (Tool("weather", "w", CITY),)
    assert request.options == {"tools[].tool_search": True}


CHOICES: list[tuple[Any, str, list[str], bool]] = [
    (None, "auto", ["weather", "time"], True),
    ({"type": "auto"}, "auto", ["weather", "time"], True),
    ({"type": "auto", "disable_parallel_tool_use": True}, "auto", ["weather", "time"], False),
    ({"type": "any"}, "required", ["weather", "time"], True),
    ({"type": "any", "disable_parallel_tool_use": False}, "required", ["weather", "time"], True),
    ({"type": "tool", "name": "time"}, "required", ["time"], True),
    ({"type": "none"}, "none", ["weather", "time"], True),
]


@pytest.mark.parametrize(("said", "choice", "names", "parallel"), CHOICES)
def test_choices(said: Any, choice: str, names: list[str], parallel: bool) -> None:
    request = ask(tools=[WEATHER, TIME], tool_choice=said).request
    assert (request.tool_choice, [tool.name for tool in request.tools]) == (choice, names)
    assert request.parallel_tool_calls == parallel


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{"input_schema": CITY}]}, "tools[0].name"),
    ({"tools": [WEATHER, {**WEATHER, "description": "other"}]}, "tools[1].name"),
    ({"tools": [{"name": "a", "input_schema": {"type": "string"}}]}, "tools[0].input_schema.type"),
    ({"tools": [WEATHER, {"type": "web_search_20250305", "name": "web_search"}]}, "tools[1].type"),
    ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, "tools[0].type"),
    ({"tools": [{"type": "computer_toolset_20260801"}]}, "tools[0].type"),
    ({"tools": [WEATHER], "tool_choice": {"type": "maybe"}}, "tool_choice.type"),
    ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "time"}}, "tool_choice.name"),
    ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": "auto"}, "tool_choice"),
]


@pytest.mark.parametrize(("members", "param"), REFUSED)
def test_what_is_refused_names_its_place(members: dict[str, Any], param: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        ask(**members)
    assert (raised.value.status, raised.value.param) == (400, param)
