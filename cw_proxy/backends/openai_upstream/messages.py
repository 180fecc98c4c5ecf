"""A chat's turns → the `messages` of a chat completion.

In: Messages. Out: JSON values. Refuses to know parameters and tools that are offered.

Content that is text only is one string, since servers differ in what roles they take lists for. Tool results stand
right behind the calls they answer, also where pictures came between them: those follow in a user's message.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from cw_proxy.model import (
    DocumentPart,
    ImageLink,
    ImagePart,
    Message,
    Part,
    TextPart,
    ToolResultPart,
    ToolUsePart,
)

# The chat API has no member for it.
FAILED = "The tool failed."
_MEDIA_TYPES = {
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "html": "text/html",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
Object = dict[str, Any]


def chat_messages(messages: Sequence[Message]) -> list[Object]:
    made: list[Object] = []
    for role, turns in itertools.groupby(messages, key=lambda message: message.role):
        match role:
            case "user":
                made += _of_user(list(turns))
            case "assistant":
                made += _of_assistants(list(turns))
            case _:
                made += ({"role": "system", "content": turn.text} for turn in turns)
    return made


def _of_user(turns: list[Message]) -> Iterator[Object]:
    """Turns in a row: first all results among them, then the rest, turn by turn."""
    yield from map(_of_tool, (part for turn in turns for part in turn.parts if isinstance(part, ToolResultPart)))
    for turn in turns:
        rest = [part for part in turn.parts if not isinstance(part, ToolResultPart)]
        if rest or not turn.parts:
            yield {"role": "user", "content": _content(rest)}


def _of_tool(result: ToolResultPart) -> Object:
    text = "\n\n".join(filter(None, [FAILED, result.text])) if result.is_error else result.text
    return {"role": "tool", "tool_call_id": result.tool_use_id, "content": text}


def _of_assistants(turns: list[Message]) -> Iterator[Object]:
    """Turns in a row with calls among them are one: the results of all come right behind it."""
    parts = tuple(part for turn in turns for part in turn.parts)
    whole = [Message("assistant", parts)] if any(isinstance(part, ToolUsePart) for part in parts) else turns
    yield from map(_of_assistant, whole)


def _of_assistant(turn: Message) -> Object:
    calls = [_call(part) for part in turn.parts if isinstance(part, ToolUsePart)]
    if not calls:
        return {"role": "assistant", "content": turn.text}
    return {"role": "assistant", "content": turn.text or None, "tool_calls": calls}


def _call(use: ToolUsePart) -> Object:
    function = {"name": use.name, "arguments": msgspec.json.encode(use.input).decode()}
    return {"id": use.id, "type": "function", "function": function}


def _content(parts: Iterable[Part]) -> str | list[Object]:
    listed = [part for part in parts if not isinstance(part, (ToolUsePart, ToolResultPart))]
    if all(isinstance(part, TextPart) for part in listed):
        return Message("user", tuple(listed)).text
    return [_part(part) for part in listed]


def _part(part: TextPart | ImagePart | ImageLink | DocumentPart) -> Object:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            return {"type": "image_url", "image_url": {"url": _data_url(f"image/{part.format}", part.data)}}
        case ImageLink():
            return {"type": "image_url", "image_url": {"url": part.url}}
        case DocumentPart():
            media_type = _MEDIA_TYPES.get(part.format, "application/octet-stream")
            return {"type": "file", "file": {"filename": part.name, "file_data": _data_url(media_type, part.data)}}


def _data_url(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
