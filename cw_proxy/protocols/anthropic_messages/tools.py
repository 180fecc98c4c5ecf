"""Tools as a message request has them: offered and chosen.

In: the body's `tools` and `tool_choice`. Out: Tools, a choice. Refuses to know what the service makes of names and
schemas: any name goes, and any schema of an object.

A tool that Anthropic's servers would run cannot be run here, and an answer that pretends otherwise would be worse than
none: it is refused. Searching among tools is the exception: all of them are offered, so that nothing is left to find.
"""

from __future__ import annotations

from cw_proxy.errors import InvalidValue, UnsupportedParameter
from cw_proxy.model import Tool, ToolChoice
from cw_proxy.protocols.anthropic_messages import shapes
from cw_proxy.protocols.anthropic_messages.client_tools import client_tool

_CHOICES: dict[str, ToolChoice] = {"auto": "auto", "none": "none", "any": "required", "tool": "required"}
_SEARCH = "tool_search_tool_"


def read_tools(said: list[shapes.OfferedTool]) -> tuple[Tool, ...]:
    """Raises InvalidValue or UnsupportedParameter, with the JSON path."""
    tools: dict[str, Tool] = {}
    for at, offered in enumerate(said):
        if is_search(offered):
            continue
        tool = _tool(offered, f"tools[{at}]")
        # The same tool twice is harmless; which of two different ones a call would mean, nobody knows.
        if tools.setdefault(tool.name, tool) != tool:
            raise InvalidValue(f"Another tool has the name {tool.name[:80]!r}.", param=f"tools[{at}].name")
    return tuple(tools.values())


def is_search(said: shapes.OfferedTool) -> bool:
    return (said.type or "").startswith(_SEARCH)


def _tool(said: shapes.OfferedTool, path: str) -> Tool:
    if said.type not in (None, "custom"):
        if known := client_tool(said):
            return known
        raise UnsupportedParameter(
            f"Tools of type {said.type[:40]!r} are not supported here: Anthropic's own servers run them.",
            param=f"{path}.type",
        )
    if not said.name:
        raise InvalidValue("The tool has no name.", param=f"{path}.name")
    schema = said.input_schema or {}
    kinds = schema.get("type")
    if kinds not in (None, "object") and not (isinstance(kinds, list) and "object" in kinds):
        raise InvalidValue("A tool's input is an object.", param=f"{path}.input_schema.type")
    return Tool(said.name, said.description or "", schema)


def read_choice(said: shapes.ToolChoice | None, tools: tuple[Tool, ...]) -> tuple[ToolChoice, tuple[Tool, ...]]:
    """What is to be done with which tools. Raises InvalidValue."""
    if said is None:
        return "auto", tools
    choice = _CHOICES.get(said.type)
    if choice is None:
        known = ", ".join(map(repr, _CHOICES))
        raise InvalidValue(f"{said.type[:40]!r} is no choice: choices are {known}.", param="tool_choice.type")
    if said.type == "tool":
        tools = tuple(tool for tool in tools if tool.name == said.name)
        if not tools:
            raise InvalidValue(f"There is no tool {(said.name or '')[:80]!r} in 'tools'.", param="tool_choice.name")
    if choice == "required" and not tools:
        raise InvalidValue("A tool must be called, but there is none in 'tools'.", param="tool_choice")
    return choice, tools
