"""The tools of a request as the service wants them offered (rules 5 to 9).

In: a Request. Out: specifications, what the system text must say of them, and how the service's names and the
client's belong together. Refuses to know turns and payloads.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cw_proxy.backends.codewhisperer.names import ToolNames, renamed
from cw_proxy.backends.codewhisperer.schema import property_names, repaired
from cw_proxy.model import Request, Tool, ToolUsePart

# Rule 8, in characters.
MOST_DESCRIPTION = 10_240
# Rules 5 and 6: the history is truthful only if the tools it names exist.
STUB = "This tool was used earlier in the conversation. It is not available now: do not call it."
SHORTENED = "[The whole description is in the instructions, under this tool's name.]"


class Naming(msgspec.Struct, frozen=True):
    """`properties`: by the service's name of a tool, the properties that are called otherwise upstream."""

    tools: ToolNames
    properties: dict[str, dict[str, str]]
    # Nothing is offered, or nothing may be called: what the service calls all the same has no reader.
    silent: bool

    def use(self, part: ToolUsePart) -> dict[str, Any]:
        name = self.tools.upstream(part.name)
        names = self.properties.get(name)
        return {"toolUseId": part.id, "name": name, "input": renamed(part.input, names) if names else part.input}


class Offer(msgspec.Struct, frozen=True):
    specifications: list[dict[str, Any]]
    instructions: list[str]


def naming(request: Request) -> Naming:
    offered = _offered(request)
    used = [part.name for message in request.messages for part in message.parts if isinstance(part, ToolUsePart)]
    tools = ToolNames([tool.name for tool in offered], used)
    properties = {tools.upstream(tool.name): names for tool in offered if (names := property_names(tool.schema))}
    silent = not offered and (request.tool_choice == "none" or bool(tools.unoffered))
    return Naming(tools, properties, silent)


def offer(request: Request, names: Naming) -> Offer:
    specifications = [_specification(tool, names) for tool in _offered(request)]
    specifications += [_stub(names.tools.upstream(name)) for name in names.tools.unoffered]
    long = [tool for tool in _offered(request) if len(tool.description) > MOST_DESCRIPTION]
    return Offer(specifications, [f"# Tool {names.tools.upstream(tool.name)}\n\n{tool.description}" for tool in long])


def _offered(request: Request) -> tuple[Tool, ...]:
    return () if request.tool_choice == "none" else request.tools


def _specification(tool: Tool, names: Naming) -> dict[str, Any]:
    name = names.tools.upstream(tool.name)
    return _entry(name, _description(tool), repaired(tool.schema, names.properties.get(name, {})))


def _description(tool: Tool) -> str:
    if not tool.description.strip():
        return f"The tool {tool.name[: MOST_DESCRIPTION // 2]}."
    if len(tool.description) <= MOST_DESCRIPTION:
        return tool.description
    return f"{tool.description[: MOST_DESCRIPTION - len(SHORTENED) - 2]}\n\n{SHORTENED}"


def _stub(name: str) -> dict[str, Any]:
    return _entry(name, STUB, {"type": "object", "properties": {}})


def _entry(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"toolSpecification": {"name": name, "description": description, "inputSchema": {"json": schema}}}
