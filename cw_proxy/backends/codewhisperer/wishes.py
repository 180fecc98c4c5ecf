"""What the service has no parameter for and the model is asked in words: to call a tool, to answer with JSON.

In: a Request, the service's names of its tools. Out: texts that end the current turn. Refuses to know payloads.

They stand in the current turn and in no later one's history: what comes before stays the same from turn to turn, so
that a cache of prefixes can work.
"""

from __future__ import annotations

import msgspec

from cw_proxy.backends.codewhisperer.offer import Naming
from cw_proxy.model import JsonAnswer, Request

CALL_ONE = "Answer by calling the tool {tools}."
CALL_ANY = "Answer by calling at least one of these tools: {tools}."
JSON_OBJECT = "Answer with one JSON object and nothing else: no other text, no code fence."
JSON_SCHEMA = (
    "Answer with one JSON value that conforms to the JSON Schema below, and nothing else: no other text, no code fence."
)


def wishes(request: Request, names: Naming) -> list[str]:
    if request.tool_choice == "required":
        tools = [names.tools.upstream(tool.name) for tool in request.tools]
        return [(CALL_ONE if len(tools) == 1 else CALL_ANY).format(tools=", ".join(tools))]
    return [_json_wish(request.json_answer)] if request.json_answer else []


def _json_wish(asked: JsonAnswer) -> str:
    if asked.schema is None:
        return JSON_OBJECT
    about = f" ({asked.description})" if asked.description else ""
    named = f"\n\nSchema {asked.name}{about}:" if asked.name else ""
    return f"{JSON_SCHEMA}{named}\n\n{msgspec.json.encode(asked.schema).decode()}"
