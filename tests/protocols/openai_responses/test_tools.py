"""Tools offered and chosen go in; what the model is offered comes out, and the way back."""

from __future__ import annotations

from typing import Any

import pytest
from responses import ask

from cw_proxy import errors
from cw_proxy.model import Tool
from cw_proxy.protocols.openai_responses.tools import Called, flat_name

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "name": "weather", "description": "w", "parameters": SCHEMA, "strict": False}
PATCH = {"type": "custom", "name": "patch", "description": "p"}
INPUT = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}
CRM = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [WEATHER, {**PATCH, "name": "b"}]}
SEARCH = {"type": "web_search", "external_web_access": True}


def test_functions_and_custom_tools() -> None:
    asked = ask(tools=[WEATHER, PATCH, {"type": "function", "name": "now"}, WEATHER])
    assert asked.request.tools == (Tool("weather", "w", SCHEMA), Tool("patch", "p", INPUT), Tool("now", "", {}))
    assert asked.wanted.called == {
        "weather": Called("function", "weather"),
        "patch": Called("custom", "patch"),
        "now": Called("function", "now"),
    }


def test_a_grammar_is_told_in_words() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
    [tool] = ask(tools=[{**PATCH, "format": grammar}]).request.tools
    assert tool.description == "p\n\nThe input must follow this lark grammar:\nstart: X"
    [tool] = ask(tools=[{**PATCH, "format": {"type": "text"}}]).request.tools
    assert tool.description == "p"


def test_tools_of_a_namespace_have_its_name_before_their_own() -> None:
    asked = ask(tools=[CRM, WEATHER])
    assert asked.request.tools == (
        Tool("crm__weather", "w\n\n(crm: Customers.)", SCHEMA),
        Tool("crm__b", "p", INPUT),
        Tool("weather", "w", SCHEMA),
    )
    assert asked.wanted.called["crm__weather"] == Called("function", "weather", "crm")
    assert asked.wanted.called["crm__b"] == Called("custom", "b", "crm")


@pytest.mark.parametrize(
    ("name", "namespace", "flat"),
    [("a", None, "a"), ("a", "", "a"), ("a", "b", "b__a"), ("a", "mcp__b__", "mcp__b__a")],
)
def test_flat_names(name: str, namespace: str | None, flat: str) -> None:
    assert flat_name(name, namespace) == flat


def test_what_only_openai_runs_is_left_out_and_named() -> None:
    asked = ask(tools=[SEARCH, WEATHER, {"type": "web_search_preview_2025_03_11"}, {"type": "image_generation"}])
    assert [tool.name for tool in asked.request.tools] == ["weather"]
    assert set(asked.request.options) == {"tools[web_search]", "tools[web_search_preview]", "tools[image_generation]"}
    assert [tool["name"] for tool in asked.wanted.shown["tools"]] == ["weather"]


def test_tools_are_repeated_with_all_their_members() -> None:
    shown = ask(tools=[{"type": "function", "name": "now"}, CRM]).wanted.shown["tools"]
    assert shown[0] == {"type": "function", "name": "now", "description": None, "parameters": None, "strict": None}


@pytest.mark.parametrize(
    ("said", "mode", "names"),
    [
        (None, "auto", ["weather", "patch", "crm__weather", "crm__b"]),
        ("none", "none", ["weather", "patch", "crm__weather", "crm__b"]),
        ("required", "required", ["weather", "patch", "crm__weather", "crm__b"]),
        ({"type": "function", "name": "weather"}, "required", ["weather"]),
        ({"type": "function", "function": {"name": "weather"}}, "required", ["weather"]),
        ({"type": "function", "name": "weather", "namespace": "crm"}, "required", ["crm__weather"]),
        ({"type": "custom", "name": "patch"}, "required", ["patch"]),
        ({"type": "any"}, "required", ["weather", "patch", "crm__weather", "crm__b"]),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "patch"}, SEARCH]},
            "auto",
            ["patch"],
        ),
    ],
)
def test_choices(said: Any, mode: str, names: list[str]) -> None:
    request = ask(tools=[WEATHER, PATCH, CRM, SEARCH], tool_choice=said).request
    assert (request.tool_choice, [tool.name for tool in request.tools]) == (mode, names)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (None, "auto"),
        ("any", "required"),
        ({"type": "function", "function": {"name": "weather"}}, {"type": "function", "name": "weather"}),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
        ),
    ],
)
def test_the_choice_is_repeated_in_this_api_s_spelling(said: Any, shown: Any) -> None:
    assert ask(tools=[WEATHER], tool_choice=said).wanted.shown["tool_choice"] == shown


REFUSED = [
    ({"tools": [{"type": "file_search"}]}, errors.UnsupportedParameter, "tools[0].type"),
    ({"tools": [WEATHER, {"type": "mcp"}]}, errors.UnsupportedParameter, "tools[1].type"),
    ({"tools": [{"type": "function"}]}, errors.InvalidValue, "tools[0].name"),
    ({"tools": [{"name": "a"}]}, errors.InvalidValue, "tools[0]"),
    ({"tools": [{**CRM, "tools": [{"type": "mcp"}]}]}, errors.UnsupportedParameter, "tools[0].tools[0].type"),
    ({"tools": [{"type": "namespace", "tools": []}]}, errors.InvalidValue, "tools[0].name"),
    ({"tools": [{**WEATHER, "parameters": {"type": "string"}}]}, errors.InvalidValue, "tools[0].parameters.type"),
    ({"tools": [WEATHER, {**WEATHER, "description": "x"}]}, errors.InvalidValue, "tools[1].name"),
    ({"tools": [WEATHER, {**PATCH, "name": "weather"}]}, errors.InvalidValue, "tools[1].name"),
    ({"tools": [WEATHER], "tool_choice": "sometimes"}, errors.InvalidValue, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}}, errors.InvalidValue, "tool_choice"),
    ({"tools": [WEATHER], "tool_choice": {"type": "function"}}, errors.InvalidValue, "tool_choice.name"),
    ({"tools": [], "tool_choice": "required"}, errors.InvalidValue, "tool_choice"),
    ({"tools": [SEARCH], "tool_choice": "required"}, errors.UnsupportedParameter, "tool_choice"),
    ({"tools": [SEARCH], "tool_choice": {"type": "web_search"}}, errors.UnsupportedParameter, "tool_choice.type"),
]


@pytest.mark.parametrize(("members", "error", "param"), REFUSED)
def test_what_is_refused_names_its_place(members: dict[str, Any], error: type[errors.ProxyError], param: str) -> None:
    with pytest.raises(error) as raised:
        ask(**members)
    assert (type(raised.value), raised.value.param) == (error, param)
