"""Tools as a chat's body has them: offered, chosen, called.

In: the lists of the body. Out: Tools, a choice, ToolUseParts. Refuses to know what the service makes of names and
schemas: any name goes, and any schema of an object.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cw_proxy import body
from cw_proxy.errors import InvalidValue, ProxyError, UnsupportedParameter
from cw_proxy.model import Tool, ToolChoice, ToolUsePart
from cw_proxy.protocols.openai_chat import shapes

# "any" is what other vendors call it.
_CHOICES: dict[str, ToolChoice] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_arguments = msgspec.json.Decoder(dict[str, Any])


def read_tools(said: list[shapes.OfferedTool]) -> tuple[Tool, ...]:
    tools: dict[str, Tool] = {}
    for at, offered in enumerate(said):
        tool = _tool(offered, f"tools[{at}]")
        # The same tool twice is harmless; which of two different ones a call would mean, nobody knows.
        if tools.setdefault(tool.name, tool) != tool:
            raise InvalidValue(f"Another tool has the name {tool.name[:80]!r}.", param=f"tools[{at}].function.name")
    return tuple(tools.values())


def _tool(said: shapes.OfferedTool, path: str) -> Tool:
    if said.type not in (None, "function"):
        raise UnsupportedParameter(f"Tools of type {said.type[:40]!r} are not supported here.", param=f"{path}.type")
    if said.function is None:
        raise InvalidValue("The tool has no function.", param=f"{path}.function")
    schema = said.function.parameters or {}
    if schema.get("type") not in (None, "object") and "object" not in _alternatives(schema["type"]):
        raise InvalidValue("The arguments of a function are an object.", param=f"{path}.function.parameters.type")
    return Tool(said.function.name, said.function.description or "", schema)


def _alternatives(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


def read_choice(said: str | shapes.ToolChoice | None, tools: tuple[Tool, ...]) -> tuple[ToolChoice, tuple[Tool, ...]]:
    """What is to be done with which tools. Raises InvalidValue."""
    mode, names = _chosen(said)
    if mode not in _CHOICES:
        known = ", ".join(map(repr, ("auto", "none", "required")))
        raise InvalidValue(f"{mode[:40]!r} is no choice: choices are {known} and a tool.", param="tool_choice")
    offered = {tool.name for tool in tools}
    if missing := [name for name in names or () if name not in offered]:
        raise InvalidValue(f"There is no tool {missing[0][:80]!r} in 'tools'.", param="tool_choice")
    allowed = tools if names is None else tuple(tool for tool in tools if tool.name in names)
    if _CHOICES[mode] == "required" and not allowed:
        raise InvalidValue("A tool must be called, but there is none in 'tools'.", param="tool_choice")
    return _CHOICES[mode], allowed


def _chosen(said: str | shapes.ToolChoice | None) -> tuple[str, list[str] | None]:
    """The mode, and the names of the tools it is about; None for all."""
    if said is None or isinstance(said, str):
        return said or "auto", None
    if said.type == "function" and said.function is not None:
        return "required", [said.function.name]
    if said.type == "allowed_tools" and said.allowed_tools is not None:
        return said.allowed_tools.mode or "auto", [
            tool.function.name for tool in said.allowed_tools.tools if tool.function
        ]
    return said.type, None


def read_calls(said: list[shapes.Call], path: str) -> tuple[ToolUsePart, ...]:
    return tuple(_call(call, f"{path}.tool_calls[{at}]") for at, call in enumerate(said))


def _call(said: shapes.Call, path: str) -> ToolUsePart:
    if said.type not in (None, "function"):
        raise UnsupportedParameter(f"Calls of type {said.type[:40]!r} are not supported here.", param=f"{path}.type")
    if said.function is None:
        raise InvalidValue("The call has no function.", param=f"{path}.function")
    arguments = _object(said.function.arguments, f"{path}.function.arguments")
    return ToolUsePart(said.id, said.function.name, arguments)


def _object(said: str | dict[str, Any] | None, path: str) -> dict[str, Any]:
    """Rule 14: an object, or an error that says where; no arguments at all are an empty one."""
    if not isinstance(said, str):
        return said or {}
    if not said.strip():
        return {}
    try:
        return body.parse(said.encode(), _arguments)
    except ProxyError as error:
        raise InvalidValue(f"The arguments of a call are a JSON object. {error.message}", param=path) from None
