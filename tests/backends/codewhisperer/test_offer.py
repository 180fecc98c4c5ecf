"""Tools as the service wants them: descriptions, stubs, names."""

from __future__ import annotations

from typing import Any

from strategies import request, say

from cw_proxy.backends.codewhisperer.names import hashed
from cw_proxy.backends.codewhisperer.offer import MOST_DESCRIPTION, STUB, naming, offer
from cw_proxy.model import Message, Request, Tool, ToolUsePart

SCHEMA = {"type": "object", "properties": {}}
CALLED = Message("assistant", (ToolUsePart("1", "ls", {}),))


def offered(asked: Request) -> list[dict[str, Any]]:
    return [entry["toolSpecification"] for entry in offer(asked, naming(asked)).specifications]


def a_tool(name: str = "ls", description: str = "Lists.", **schema: Any) -> Tool:
    return Tool(name, description, schema)


def test_a_description_is_never_empty() -> None:
    [one, two] = offered(request(tools=(a_tool(description=""), a_tool("b", " \n"))))
    assert (one["description"], two["description"]) == ("The tool ls.", "The tool b.")


def test_a_long_description_keeps_its_head_and_moves_whole_into_the_system_text() -> None:
    whole = "x" * MOST_DESCRIPTION
    asked = request(tools=(a_tool(description=whole), a_tool("b", whole + "end")))
    one, two = offered(asked)
    assert one["description"] == whole
    assert len(two["description"]) == MOST_DESCRIPTION
    assert two["description"].startswith("x" * 10_000)
    assert offer(asked, naming(asked)).instructions == [f"# Tool b\n\n{whole}end"]


def test_tools_that_only_the_history_names_get_stubs() -> None:
    stub = {"name": "ls", "description": STUB, "inputSchema": {"json": SCHEMA}}
    assert offered(request(say("user", "q"), CALLED)) == [stub]
    assert [one["name"] for one in offered(request(CALLED, tools=(a_tool("b"),)))] == ["b", "ls"]
    assert [one["name"] for one in offered(request(CALLED, tools=(a_tool("LS"),)))] == ["LS"]


def test_the_choice_none_offers_nothing() -> None:
    asked = request(say("user", "q"), tools=(a_tool(),), tool_choice="none")
    assert offered(asked) == []
    assert naming(asked).silent
    assert offered(request(CALLED, tools=(a_tool("LS"),), tool_choice="none"))[0]["description"] == STUB


def test_when_calls_have_no_reader() -> None:
    assert not naming(request(say("user", "q"))).silent
    assert not naming(request(CALLED, tools=(a_tool("b"),))).silent
    assert naming(request(CALLED)).silent


def test_properties_with_long_names_are_renamed_in_schema_and_history() -> None:
    long = "p" * 70
    use = ToolUsePart("1", "ls", {long: 1, "b": {long: 2}})
    asked = request(Message("assistant", (use,)), tools=(a_tool(properties={long: {}}, required=[long]),))
    names = naming(asked)
    schema = offered(asked)[0]["inputSchema"]["json"]
    [short] = schema["properties"]
    assert len(short) <= 64
    assert schema["required"] == [short]
    assert names.use(use) == {"toolUseId": "1", "name": "ls", "input": {short: 1, "b": {short: 2}}}


def test_a_use_in_another_spelling_has_the_same_properties() -> None:
    use = ToolUsePart("1", "LS", {"$a": 1})
    asked = request(Message("assistant", (use,)), tools=(a_tool("ls", properties={"$a": {}}),))
    assert naming(asked).use(use) == {"toolUseId": "1", "name": "ls", "input": {hashed("$a"): 1}}
