"""A message request's body → what is asked: parameters and turns.

In: a Body. Out: a Request. Refuses to know how it will be asked of the service and how the answer is written.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from cw_proxy.errors import InvalidValue, UnsupportedParameter
from cw_proxy.filters.stop import read_sequences
from cw_proxy.model import JsonAnswer, Message, Request, Role
from cw_proxy.protocols.anthropic_messages import shapes
from cw_proxy.protocols.anthropic_messages.content import read_content
from cw_proxy.protocols.anthropic_messages.thinking import read_effort
from cw_proxy.protocols.anthropic_messages.tools import is_search, read_choice, read_tools

# Far beyond any chat; what a body of the legal size could hold would keep the server busy for seconds.
MAX_MESSAGES = 10_000
MAX_STOP_SEQUENCES = 16
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
# Claude Code's older way to name its session; the newer one is JSON.
_SESSION = re.compile(r"_session_([0-9a-zA-Z-]{8,64})$")


class _User(msgspec.Struct):
    session_id: str


_user = msgspec.json.Decoder(_User)


def read_request(said: shapes.Body) -> Request:
    """Raises InvalidValue or UnsupportedParameter, with the JSON path."""
    if said.mcp_servers:
        raise UnsupportedParameter("Servers of tools are not asked from here.", param="mcp_servers")
    tool_choice, tools = read_choice(said.tool_choice, read_tools(said.tools or []))
    thread = _session(said.metadata)
    return Request(
        model=said.model,
        messages=_messages(said),
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=not (said.tool_choice and said.tool_choice.disable_parallel_tool_use),
        json_answer=_json_answer(said),
        stop=read_sequences(said.stop_sequences, param="stop_sequences", most=MAX_STOP_SEQUENCES),
        max_tokens=_max_tokens(said.max_tokens),
        reasoning_effort=read_effort(said.thinking, said.output_config),
        thread=thread,
        options=_options(said, thread),
    )


def require_max_tokens(said: shapes.Body) -> None:
    if said.max_tokens is None:
        raise InvalidValue("This is required: the most tokens that the answer may have.", param="max_tokens")


def _max_tokens(said: int | None) -> int | None:
    if said is not None and said < 1:
        raise InvalidValue("An answer has at least one token.", param="max_tokens")
    return said


# --- turns ------------------------------------------------------------------------------------------------


def _messages(said: shapes.Body) -> tuple[Message, ...]:
    if not said.messages:
        raise InvalidValue("There must be at least one message.", param="messages")
    if len(said.messages) > MAX_MESSAGES:
        raise InvalidValue(f"There are more than {MAX_MESSAGES} messages.", param="messages")
    system = (Message("system", read_content(said.system, "system", "system")),) if said.system else ()
    return (*system, *(_message(message, f"messages[{at}]") for at, message in enumerate(said.messages)))


def _message(said: shapes.Message, path: str) -> Message:
    role = _ROLES.get(said.role)
    if role is None:
        known = ", ".join(_ROLES)
        raise InvalidValue(f"{said.role[:40]!r} is not supported here; roles are {known}.", param=f"{path}.role")
    if said.content is None:
        raise InvalidValue("The message has no content.", param=f"{path}.content")
    return Message(role, read_content(said.content, f"{path}.content", role))


# --- parameters -------------------------------------------------------------------------------------------


def _json_answer(said: shapes.Body) -> JsonAnswer | None:
    """The newer name outranks the older one."""
    named = {
        "output_config.format": said.output_config.format if said.output_config else None,
        "output_format": said.output_format,
    }
    for path, wanted in named.items():
        if wanted is None:
            continue
        if wanted.type != "json_schema":
            raise InvalidValue(f"{wanted.type[:40]!r} is no format: there is 'json_schema'.", param=f"{path}.type")
        if wanted.schema is None:
            raise InvalidValue("The format has no schema.", param=f"{path}.schema")
        return JsonAnswer(wanted.schema, strict=True, param=f"{path}.schema")
    return None


def _session(said: shapes.Metadata | None) -> str | None:
    """The chat's name, which Claude Code puts into the name of its user."""
    if said is None or not said.user_id:
        return None
    if found := _SESSION.search(said.user_id):
        return found[1]
    try:
        return _user.decode(said.user_id).session_id or None
    except (msgspec.DecodeError, RecursionError):
        return None


def _options(said: shapes.Body, thread: str | None) -> dict[str, Any]:
    options = {name: value for name in shapes.OPTIONS if (value := getattr(said, name)) is not None}
    if said.metadata is not None and thread is None:
        options["metadata"] = msgspec.to_builtins(said.metadata)
    inside = {
        "tools[].tool_search": any(map(is_search, said.tools or [])),
        "tools[].strict": any(tool.strict for tool in said.tools or []),
        "messages[].citations": any(map(_wants_citations, said.messages)),
    }
    return options | {name: True for name, asked in inside.items() if asked}


def _wants_citations(message: shapes.Message) -> bool:
    """A document's member is a switch; a text's are citations that were made."""
    blocks = message.content if isinstance(message.content, list) else []
    return any(isinstance(block.citations, dict) and block.citations.get("enabled") is True for block in blocks)
