"""Arguments that fit a schema."""

from __future__ import annotations

from typing import Any

import pytest

from cw_proxy.emulator.arguments import COMMAND_KEYS, PATH_KEYS, fill, put, resolve
from cw_proxy.emulator.conversation import Tool

TEXT = {"type": "string"}


def a_tool(required: list[str] | None = None, **properties: Any) -> Tool:
    return Tool("t", {"type": "object", "properties": properties, "required": required or []})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TEXT, "emulated"),
        ({"type": "integer"}, 1),
        ({"type": "number", "minimum": 4}, 4),
        ({"type": ["boolean", "null"]}, False),
        ({"enum": ["b", "c"]}, "b"),
        ({"const": 7}, 7),
        ({"default": None}, None),
        ({"type": "array"}, []),
        ({"type": "array", "minItems": 1, "items": {"type": "integer"}}, [1]),
        ({"type": "object", "properties": {"x": TEXT}, "required": ["x"]}, {"x": "emulated"}),
        ({"anyOf": [{"type": "boolean"}, TEXT]}, False),
    ],
)
def test_required_properties_are_filled_neutrally(schema: dict[str, Any], value: object) -> None:
    tool = a_tool(["p"], p=schema, optional=TEXT)
    assert fill(tool, {}) == {"p": value}


def test_what_is_given_stays() -> None:
    assert fill(a_tool(["p"], p=TEXT), {"p": "x", "q": 1}) == {"p": "x", "q": 1}


def test_the_first_name_of_the_list_wins() -> None:
    assert put(a_tool(file=TEXT, path=TEXT), PATH_KEYS, "x") == {"path": "x"}
    assert put(a_tool(other=TEXT), PATH_KEYS, "x") is None


def test_arrays_are_wrapped() -> None:
    assert put(a_tool(paths={"type": "array", "items": TEXT}), PATH_KEYS, "x") == {"paths": ["x"]}
    item = {"type": "object", "properties": {"cmd": TEXT, "n": {"type": "integer"}}, "required": ["n"]}
    wrapped = put(a_tool(commands={"type": "array", "items": item}), COMMAND_KEYS, "ls")
    assert wrapped == {"commands": [{"cmd": "ls", "n": 1}]}


def test_references_are_followed_and_circles_end() -> None:
    tool = Tool("t", {"$defs": {"A": TEXT, "B": {"$ref": "#/$defs/B"}}})
    assert resolve(tool, {"$ref": "#/$defs/A"}) == TEXT
    assert resolve(tool, {"$ref": "#/$defs/B"}) == {}
    assert resolve(tool, {"$ref": "#/nowhere"}) == {}
