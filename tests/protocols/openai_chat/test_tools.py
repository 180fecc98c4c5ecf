"""Tools of a body: offered, chosen, called, answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chat import ask

from cw_proxy import errors
from cw_proxy.model import Message, Tool, ToolResultPart, ToolUsePart

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "d", "parameters": SCHEMA}}


def call(arguments: Any, **members: Any) -> dict[str, Any]:
    return {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": arguments}, **members}


def calling(*calls: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": list(calls)}]


def test_offered() -> None:
    strict = {**WEATHER["function"], "name": "b", "strict": True}
    bare = {"type": "function", "function": {"name": "c"}}
    empty = {"function": {"name": "d", "description": None, "parameters": None}}
    tools = ask(tools=[WEATHER, {"type": "function", "function": strict}, bare, empty]).request.tools
    assert tools == (Tool("weather", "d", SCHEMA), Tool("b", "d", SCHEMA), Tool("c", "", {}), Tool("d", "", {}))
    assert ask(tools=[]).request.tools == ask(tools=None).request.tools == ()


def test_the_same_tool_twice_is_one_and_two_of_a_name_are_refused() -> None:
    assert len(ask(tools=[WEATHER, WEATHER]).request.tools) == 1
    with pytest.raises(errors.InvalidValue) as raised:
        ask(tools=[WEATHER, {"type": "function", "function": {"name": "weather"}}])
    assert raised.value.param == "tools[1].function.name"


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named(name) for name in names]}}


OTHER = {"type": "function", "function": {"name": "other"}}


@pytest.mark.parametrize(
    ("said", "choice", "names"),
    [
        (None, "auto", ["weather", "other"]),
        ("auto", "auto", ["weather", "other"]),
        ({"type": "auto"}, "auto", ["weather", "other"]),
        ("none", "none", ["weather", "other"]),
        ("required", "required", ["weather", "other"]),
        ("any", "required", ["weather", "other"]),
        (named("other"), "required", ["other"]),
        (allowed("auto", "weather"), "auto", ["weather"]),
        (allowed("required", "other", "weather"), "required", ["weather", "other"]),
    ],
)
def test_choice(said: Any, choice: str, names: list[str]) -> None:
    asked = ask(tools=[WEATHER, OTHER], tool_choice=said).request
    assert asked.tool_choice == choice
    assert [tool.name for tool in asked.tools] == names


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ('{"city":"Oslo"}', {"city": "Oslo"}),
        (' {"a": [1, 2.5, null, {"b": "é"}]} ', {"a": [1, 2.5, None, {"b": "é"}]}),
        ('{"half":"\\ud83d"}', {"half": "\ufffd"}),
        ("", {}),
        (None, {}),
        ({"city": "Oslo"}, {"city": "Oslo"}),
    ],
)
def test_calls(arguments: Any, meant: dict[str, Any]) -> None:
    _, message = ask(messages=calling(call(arguments))).request.messages
    assert message == Message("assistant", (ToolUsePart("call_1", "weather", meant),))


@pytest.mark.parametrize("arguments", ["[1]", '"a"', "{", '{"a":NaN}', "no", "null", "[" * 200, '{"a":1}{"b":2}'])
def test_arguments_that_are_no_object_are_refused_with_their_path(arguments: str) -> None:
    with pytest.raises(errors.InvalidValue) as raised:
        ask(messages=calling(call("{}"), call(arguments)))
    assert raised.value.param == "messages[1].tool_calls[1].function.arguments"


@pytest.mark.parametrize(
    ("message", "result"),
    [
        ({"content": "sunny"}, ToolResultPart("call_1", "sunny")),
        ({"content": "sunny", "name": "weather"}, ToolResultPart("call_1", "sunny")),
        ({"content": ""}, ToolResultPart("call_1", "")),
        ({"content": None}, ToolResultPart("call_1", "")),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ToolResultPart("call_1", "a\n\nb"),
        ),
        ({"content": "no", "is_error": True}, ToolResultPart("call_1", "no", is_error=True)),
        ({"content": [{"type": "error", "text": "no"}]}, ToolResultPart("call_1", "no", is_error=True)),
    ],
)
def test_results(message: dict[str, Any], result: ToolResultPart) -> None:
    *_, last = ask(
        messages=[*calling(call("{}")), {"role": "tool", "tool_call_id": "call_1", **message}]
    ).request.messages
    assert last == Message("user", (result,))


REFUSED = [
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, errors.UnsupportedParameter, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, errors.InvalidValue, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {}}]}, errors.InvalidValue, "tools[0].function"),
    (
        {"tools": [{"function": {"name": "a", "parameters": {"type": "string"}}}]},
        errors.InvalidValue,
        "tools[0].function.parameters.type",
    ),
    ({"tools": [{"function": {"name": "a", "parameters": []}}]}, errors.InvalidValue, "tools[0].function.parameters"),
    ({"tool_choice": "required"}, errors.InvalidValue, "tool_choice"),
    ({"tool_choice": "sometimes"}, errors.InvalidValue, "tool_choice"),
    ({"tool_choice": {"type": "function"}}, errors.InvalidValue, "tool_choice"),
    ({"tool_choice": named("weather")}, errors.InvalidValue, "tool_choice"),
    ({"tool_choice": allowed("required"), "tools": [WEATHER]}, errors.InvalidValue, "tool_choice"),
    ({"tool_choice": allowed("auto", "other"), "tools": [WEATHER]}, errors.InvalidValue, "tool_choice"),
    ({"tool_choice": named("a" * 1000), "tools": [WEATHER]}, errors.InvalidValue, "tool_choice"),
    ({"functions": [{"name": "a"}]}, errors.UnsupportedParameter, "functions"),
    ({"function_call": "auto"}, errors.UnsupportedParameter, "function_call"),
    (
        {"messages": [{"role": "assistant", "function_call": {"name": "a", "arguments": "{}"}}]},
        errors.UnsupportedParameter,
        "messages[0].function_call",
    ),
    ({"messages": [{"role": "function", "name": "a", "content": "b"}]}, errors.InvalidValue, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "b"}]}, errors.InvalidValue, "messages[0].tool_call_id"),
    (
        {"messages": [{"role": "user", "content": "b", "tool_calls": [call("{}")]}]},
        errors.InvalidValue,
        "messages[0].tool_calls",
    ),
    ({"messages": calling(call("{}", type="custom"))}, errors.UnsupportedParameter, "messages[1].tool_calls[0].type"),
    ({"messages": calling({"id": "a"})}, errors.InvalidValue, "messages[1].tool_calls[0].function"),
]


@pytest.mark.parametrize(("members", "error", "param"), REFUSED, ids=lambda value: json.dumps(value, default=str)[:40])
def test_what_is_refused_names_its_place(members: dict[str, Any], error: type[errors.ProxyError], param: str) -> None:
    with pytest.raises(error) as raised:
        ask(**members)
    assert (type(raised.value), raised.value.status, raised.value.param) == (error, 400, param)
