"""Input items → turns of a chat: messages, calls, what tools gave back.

In: items as JSON, each with its path. Out: Messages, and which kinds were left out. Refuses to know tools that are
offered, and where items were kept.

A kind that is not in the table is left out and named: what OpenAI's own tools did has no place upstream, and reasoning
is taken back by nobody here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from cw_proxy import body
from cw_proxy.errors import InvalidValue, ProxyError, UnsupportedParameter
from cw_proxy.model import Message, Role, TextPart, ToolResultPart, ToolUsePart
from cw_proxy.protocols.openai_responses import shapes
from cw_proxy.protocols.openai_responses.content import read_content
from cw_proxy.protocols.openai_responses.tools import INPUT, flat_name

# Far beyond any chat; what a body of the legal size could hold would keep the server busy for seconds.
MAX_ITEMS = 10_000
# Kinds that are left out by their name; others, which clients may call as they like, together.
LEFT_OUT = (
    "reasoning",
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "computer_call",
    "computer_call_output",
    "tool_search_call",
    "tool_search_output",
    "mcp_call",
    "mcp_list_tools",
    "mcp_approval_request",
    "mcp_approval_response",
    "compaction",
)
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
_kind = msgspec.json.Decoder(shapes.Kind)
_message_shape = msgspec.json.Decoder(shapes.Message)
_function_call_shape = msgspec.json.Decoder(shapes.FunctionCall)
_custom_call_shape = msgspec.json.Decoder(shapes.CustomCall)
_output_shape = msgspec.json.Decoder(shapes.CallOutput)
_any_item = msgspec.json.Decoder(dict[str, Any])
_arguments = msgspec.json.Decoder(dict[str, Any])


class Chat(msgspec.Struct, frozen=True):
    messages: tuple[Message, ...]
    left_out: tuple[str, ...]


def items_of(said: str | list[msgspec.Raw] | None) -> tuple[bytes, ...]:
    """The items of an `input`, each as it came: a text is one message of the user's."""
    if said is None:
        return ()
    if isinstance(said, str):
        content = [{"type": "input_text", "text": said}]
        return (msgspec.json.encode({"type": "message", "role": "user", "content": content}),)
    if len(said) > MAX_ITEMS:
        raise InvalidValue(f"There are more than {MAX_ITEMS} items.", param="input")
    return tuple(map(bytes, said))


def kind_of(raw: bytes, path: str) -> tuple[str, shapes.Kind]:
    """Items come without a type from some clients; then their members tell."""
    item = shapes.read(raw, _kind, path)
    if item.type is not None:
        return item.type, item
    if item.role is not None:
        return "message", item
    if item.output is not None:
        return "function_call_output", item
    if item.arguments is not None:
        return "function_call", item
    if item.id is not None:
        return "item_reference", item
    raise InvalidValue("The item has no type.", param=f"{path}.type")


def read_items(items: Iterable[tuple[bytes, str]]) -> Chat:
    """Raises InvalidValue and UnsupportedParameter with the JSON path."""
    messages: list[Message] = []
    left_out: dict[str, None] = {}
    calls: set[str] = set()
    for raw, path in items:
        kind, item = kind_of(raw, path)
        identity = item.call_id or item.id or ""
        if kind.endswith("_call"):
            calls.add(identity)
        if kind in _ANSWERS and identity not in calls:
            raise _unasked(identity, path)
        if (reader := _READERS.get(kind)) is not None:
            messages.append(reader(raw, path))
        else:
            left_out[f"input[{kind}]" if kind in LEFT_OUT else "input[]"] = None
    return Chat(tuple(messages), tuple(left_out))


def _unasked(call_id: str, path: str) -> ProxyError:
    return InvalidValue(
        f"There is no tool call with the call_id {call_id[:80]!r} before this output.", param=f"{path}.call_id"
    )


def _message(raw: bytes, path: str) -> Message:
    said = shapes.read(raw, _message_shape, path)
    role = _ROLES.get(said.role)
    if role is None:
        known = ", ".join(_ROLES)
        raise InvalidValue(f"{said.role[:40]!r} is not supported here; roles are {known}.", param=f"{path}.role")
    # Assistant turns may be empty; anyone else has to say something.
    if said.content is None and role != "assistant":
        raise InvalidValue("The message has no content.", param=f"{path}.content")
    return Message(role, read_content(said.content, f"{path}.content", files=role == "user"))


def _function_call(raw: bytes, path: str) -> Message:
    said = shapes.read(raw, _function_call_shape, path)
    arguments = _object(said.arguments, f"{path}.arguments")
    return Message("assistant", (ToolUsePart(said.call_id, flat_name(said.name, said.namespace), arguments),))


def _custom_call(raw: bytes, path: str) -> Message:
    said = shapes.read(raw, _custom_call_shape, path)
    name = flat_name(said.name, said.namespace)
    return Message("assistant", (ToolUsePart(said.call_id, name, {INPUT: said.input}),))


def _output(raw: bytes, path: str) -> Message:
    """A tool's result, and what it holds beside text, which the service takes in the user's turn only."""
    said = shapes.read(raw, _output_shape, path)
    if isinstance(said.output, dict):
        return Message("user", (ToolResultPart(said.call_id, msgspec.json.encode(said.output).decode()),))
    parts = read_content(said.output, f"{path}.output", files=True)
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    # Rule 17: texts are joined, never glued.
    result = ToolResultPart(said.call_id, "\n\n".join(texts))
    return Message("user", (result, *(part for part in parts if not isinstance(part, TextPart))))


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


# --- tools that OpenAI names and the client runs ----------------------------------------------------------

_ENVELOPE = ("type", "id", "call_id", "status")


def _clients_call(raw: bytes, path: str) -> Message:
    """`local_shell_call` is a call of `local_shell`: what it holds is what it was called with."""
    said = shapes.read(raw, _any_item, path)
    given = {name: value for name, value in said.items() if name not in _ENVELOPE}
    name = str(said["type"]).removesuffix("_call")
    return Message("assistant", (ToolUsePart(_identity(said, path), name, given),))


def _clients_output(raw: bytes, path: str) -> Message:
    said = shapes.read(raw, _any_item, path)
    output = said.get("output")
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    return Message("user", (ToolResultPart(_identity(said, path), text),))


def _identity(said: dict[str, Any], path: str) -> str:
    identity = said.get("call_id") or said.get("id")
    if not isinstance(identity, str):
        raise InvalidValue("The item names no call.", param=f"{path}.call_id")
    return identity


def _reference(raw: bytes, path: str) -> Message:
    raise UnsupportedParameter("This item refers to another, which is not kept here.", param=path)


_READERS: dict[str, Callable[[bytes, str], Message]] = {
    "message": _message,
    "function_call": _function_call,
    "custom_tool_call": _custom_call,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "item_reference": _reference,
    **dict.fromkeys(("local_shell_call", "shell_call", "apply_patch_call"), _clients_call),
    **dict.fromkeys(("local_shell_call_output", "shell_call_output", "apply_patch_call_output"), _clients_output),
}
_ANSWERS = frozenset(kind for kind in _READERS if kind.endswith("_output"))
