"""Tools: specifications, uses, results."""

from __future__ import annotations

from typing import Any

import pytest

from cw_proxy.emulator.checks_tools import (
    check_results,
    check_tool_names_known,
    check_tool_results,
    check_tool_uses,
    check_tools,
)
from cw_proxy.emulator.refusal import Refusal

OBJECT = {"type": "object", "properties": {}}


def tool(name: Any = "n", schema: Any = OBJECT, **more: Any) -> dict[str, Any]:
    return {"toolSpecification": {"name": name, "inputSchema": {"json": schema}, **more}}


def test_legal_tools_pass() -> None:
    check_tools(
        [tool(), tool("a-B_9" * 12), {"cachePoint": {"type": "default"}}, tool("d", description="x" * 10_240)], "p"
    )


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ([{}], None),
        ([tool("")], None),
        ([tool("x" * 65)], None),
        ([tool("a.b")], None),
        ([tool(None)], None),
        ([tool(description="")], None),
        ([tool(description="x" * 10_241)], None),
        ([tool(), tool()], "TOOL_DUPLICATE"),
        ([{"toolSpecification": {"name": "n"}}], None),
        ([tool(schema="{}")], "TOOL_SCHEMA_INVALID"),
        ([tool(schema={"type": "string"})], "TOOL_SCHEMA_INVALID"),
        ([tool(schema={"type": None})], "TOOL_SCHEMA_INVALID"),
        ([tool(schema={"anyOf": [OBJECT]})], "TOOL_SCHEMA_INVALID"),
        ([tool(schema={"properties": None})], "TOOL_SCHEMA_INVALID"),
        ([tool(schema={"properties": {"x" * 65: {}}})], "TOOL_SCHEMA_INVALID"),
        ([tool(schema={"required": None})], "TOOL_SCHEMA_INVALID"),
    ],
)
def test_illegal_tools(tools: list[Any], reason: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        check_tools(tools, "p")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "use",
    [
        {},
        {"toolUseId": "t", "name": "n"},
        {"toolUseId": "t", "name": "n", "input": "{}"},
        {"toolUseId": "a b", "name": "n", "input": {}},
    ],
)
def test_illegal_uses(use: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        check_tool_uses([use], "p")


@pytest.mark.parametrize(
    "changes",
    [
        {"toolUseId": "x" * 65},
        {"status": "ok"},
        {"content": None},
        {"content": "text"},
        {"content": [{}]},
        {"content": [{"text": "a", "json": {}}]},
        {"content": [{"text": 1}]},
    ],
)
def test_illegal_results(changes: dict[str, Any]) -> None:
    legal = {"toolUseId": "t", "content": [{"text": ""}, {"json": None}], "status": "error"}
    check_tool_results([legal], "p")
    with pytest.raises(Refusal):
        check_tool_results([{**legal, **changes}], "p")


def ids(*names: str) -> list[dict[str, str]]:
    return [{"toolUseId": name} for name in names]


def test_results_match_uses() -> None:
    check_results(ids("a", "b"), ids("b", "a"), "p")
    for uses, results in ((ids("a"), []), ([], ids("a")), (ids("a"), ids("a", "a")), (ids("a", "a"), ids("a", "a"))):
        with pytest.raises(Refusal) as caught:
            check_results(uses, results, "p")
        assert caught.value.reason == "TOOL_USE_RESULT_MISMATCH"


def test_tools_of_the_history_must_be_offered() -> None:
    history = [{}, {"assistantResponseMessage": {"toolUses": [{"name": "n"}]}}]
    check_tool_names_known(history, {"userInputMessage": {"userInputMessageContext": {"tools": [tool()]}}}, "p")
    for tools, reason in (([tool("N")], None), ([], "TOOL_CONFIG_MISSING")):
        with pytest.raises(Refusal) as caught:
            check_tool_names_known(history, {"userInputMessage": {"userInputMessageContext": {"tools": tools}}}, "p")
        assert caught.value.reason == reason
