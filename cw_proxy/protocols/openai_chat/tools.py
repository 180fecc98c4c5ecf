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


def read_choice(said: str | dict[str, Any] | None) -> ToolChoice:
    if said is None or said == "auto":
        return "auto"
    if said == "none":
        return "none"
    raise UnsupportedParameter("Only 'auto' and 'none' are supported here.", param="tool_choice")


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
