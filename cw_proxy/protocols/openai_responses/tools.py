"""Tools as a Responses body has them: functions, custom tools, namespaces of both; offered, chosen, named in a call.

In: the lists of the body. Out: Tools under names without namespaces, a choice, and the way back from a name to the
tool. Refuses to know what the service makes of names and schemas.

A custom tool takes a text; upstream it is a function with that text as its one property. A tool of a namespace has the
namespace's name before its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from cw_proxy.errors import InvalidValue, UnsupportedParameter
from cw_proxy.model import Tool, ToolChoice
from cw_proxy.protocols.openai_responses import shapes

# The text of a custom tool's call.
INPUT = "input"
# What runs at OpenAI, and what clients announce without need: the answer is as good as it can be without it.
ANNOUNCED = ("web_search", "web_search_preview", "image_generation", "tool_search")
# "any" is what other vendors call it.
_CHOICES: dict[str, ToolChoice] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_NAMED = ("function", "custom")
_tool = msgspec.json.Decoder(shapes.Tool)


class Called(msgspec.Struct, frozen=True):
    """A tool as its client knows it."""

    kind: Literal["function", "custom"]
    name: str
    namespace: str | None = None


class Toolbox(msgspec.Struct, frozen=True):
    """What is offered, by its name upstream; `left_out` are the types that nobody here can run."""

    tools: tuple[Tool, ...] = ()
    called: dict[str, Called] = {}
    left_out: tuple[str, ...] = ()


class Choice(msgspec.Struct, frozen=True):
    mode: ToolChoice
    tools: tuple[Tool, ...]


def flat_name(name: str, namespace: str | None) -> str:
    """The same whatever else is offered, so that the history's calls keep their names."""
    if not namespace:
        return name
    return namespace + name if namespace.endswith("_") else f"{namespace}__{name}"


def read_tools(said: Sequence[msgspec.Raw]) -> Toolbox:
    """Raises InvalidValue and UnsupportedParameter with the tool's path."""
    tools: dict[str, Tool] = {}
    called: dict[str, Called] = {}
    left_out: dict[str, None] = {}
    for offered, namespace, path in _flattened(said):
        if offered.type not in _NAMED:
            left_out[_announced(offered.type, path)] = None
            continue
        origin = Called("custom" if offered.type == "custom" else "function", _name(offered, path), namespace)
        tool = _offered(offered, flat_name(origin.name, namespace), path)
        # The same tool twice is harmless; which of two different ones a call would mean, nobody knows.
        if (tools.setdefault(tool.name, tool), called.setdefault(tool.name, origin)) != (tool, origin):
            raise InvalidValue(f"Another tool has the name {tool.name[:80]!r}.", param=f"{path}.name")
    return Toolbox(tuple(tools.values()), called, tuple(left_out))


def _flattened(said: Sequence[msgspec.Raw]) -> Iterator[tuple[shapes.Tool, str | None, str]]:
    for at, raw in enumerate(said):
        offered = shapes.read(raw, _tool, f"tools[{at}]")
        if offered.type != "namespace":
            yield offered, None, f"tools[{at}]"
            continue
        namespace = _name(offered, f"tools[{at}]")
        for inner, member in enumerate(offered.tools):
            path = f"tools[{at}].tools[{inner}]"
            tool = shapes.read(member, _tool, path)
            if inner == 0 and offered.description:
                # A namespace has no place upstream; what it says about its tools stands with the first.
                tool.description = f"{tool.description or ''}\n\n({namespace}: {offered.description})".strip()
            yield tool, namespace, path


def _announced(kind: str, path: str) -> str:
    for name in ANNOUNCED:
        # Dated: web_search_preview_2025_03_11.
        if kind == name or kind.startswith(f"{name}_20"):
            return name
    raise UnsupportedParameter(f"Tools of type {kind[:40]!r} are not supported here.", param=f"{path}.type")


def _name(said: shapes.Tool, path: str) -> str:
    if not said.name:
        raise InvalidValue("The tool has no name.", param=f"{path}.name")
    return said.name


def _offered(said: shapes.Tool, name: str, path: str) -> Tool:
    if said.type == "custom":
        return Tool(name, _custom_description(said), _custom_schema())
    schema = said.parameters or {}
    if schema.get("type") not in (None, "object") and "object" not in _alternatives(schema["type"]):
        raise InvalidValue("The arguments of a function are an object.", param=f"{path}.parameters.type")
    return Tool(name, said.description or "", schema)


def _alternatives(said: Any) -> list[Any]:
    return said if isinstance(said, list) else []


def _custom_description(said: shapes.Tool) -> str:
    description = said.description or ""
    if said.format is None or not said.format.definition:
        return description
    grammar = f"The input must follow this {said.format.syntax} grammar:\n{said.format.definition}"
    return f"{description}\n\n{grammar}".strip()


def _custom_schema() -> dict[str, Any]:
    text = {"type": "string", "description": "The whole input, as plain text."}
    return {"type": "object", "properties": {INPUT: text}, "required": [INPUT], "additionalProperties": False}


# --- the choice -------------------------------------------------------------------------------------------


def read_choice(said: str | shapes.ToolChoice | None, box: Toolbox) -> Choice:
    """What is to be done with which tools. Raises InvalidValue and UnsupportedParameter."""
    mode, names = _chosen(said)
    if mode not in _CHOICES:
        known = ", ".join(map(repr, ("auto", "none", "required")))
        raise InvalidValue(f"{mode[:40]!r} is no choice: choices are {known} and a tool.", param="tool_choice")
    if missing := [name for name in names or () if name not in box.called]:
        raise InvalidValue(f"There is no tool {missing[0][:80]!r} in 'tools'.", param="tool_choice")
    allowed = box.tools if names is None else tuple(tool for tool in box.tools if tool.name in names)
    if _CHOICES[mode] == "required" and not allowed:
        raise _nothing_to_call(box)
    return Choice(_CHOICES[mode], allowed)


def _nothing_to_call(box: Toolbox) -> InvalidValue | UnsupportedParameter:
    if box.left_out:
        return UnsupportedParameter("None of the tools offered can be run here.", param="tool_choice")
    return InvalidValue("A tool must be called, but there is none in 'tools'.", param="tool_choice")


def _chosen(said: str | shapes.ToolChoice | None) -> tuple[str, list[str] | None]:
    """The mode, and the names of the tools it is about; None for all."""
    if said is None or isinstance(said, str):
        return said or "auto", None
    if said.type in _NAMED:
        one = shapes.NamedTool(said.type, said.name, said.namespace, said.function)
        return "required", [_named(one, "tool_choice")]
    if said.type == "allowed_tools":
        # What nobody here can run may be allowed all the same.
        tools = [(at, tool) for at, tool in enumerate(said.tools) if tool.type in (None, *_NAMED)]
        return said.mode or "auto", [_named(tool, f"tool_choice.tools[{at}]") for at, tool in tools]
    if said.type in _CHOICES:
        return said.type, None
    raise UnsupportedParameter(f"Tools of type {said.type[:40]!r} are not run here.", param="tool_choice.type")


def _named(said: shapes.NamedTool, path: str) -> str:
    name = said.name or (said.function.name if said.function else None)
    if not name:
        raise InvalidValue("The tool has no name.", param=f"{path}.name")
    return flat_name(name, said.namespace)


def choice_shown(said: str | shapes.ToolChoice | None) -> Any:
    """The choice as the response repeats it: in this API's spelling, whatever the client's was."""
    if said is None or isinstance(said, str):
        return _CHOICES.get(said or "auto", said)
    if said.type in _NAMED:
        return {"type": said.type, "name": said.name or (said.function.name if said.function else None)}
    if said.type == "allowed_tools":
        tools = [{name: value for name, value in msgspec.to_builtins(tool).items() if value} for tool in said.tools]
        return {"type": said.type, "mode": said.mode or "auto", "tools": tools}
    return _CHOICES.get(said.type, said.type)


def tools_shown(said: Sequence[msgspec.Raw]) -> list[Any]:
    """The tools that may be called, as the response repeats them: functions with all members, null where absent."""
    shown: list[Any] = []
    for at, raw in enumerate(said):
        tool = shapes.read(raw, _tool, f"tools[{at}]")
        if tool.type == "function":
            members = ("type", "name", "description", "parameters", "strict")
            shown.append({name: getattr(tool, name) for name in members})
        elif tool.type in ("custom", "namespace"):
            shown.append(raw)
    return shown
