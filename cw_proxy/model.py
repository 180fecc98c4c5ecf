"""What is asked, whatever language it was asked in.

In: nothing; these are values. Out: a Request, built by a protocol, read by a backend. Refuses to know JSON shapes
of either side. All text is str; binary parts are raw bytes, never base64.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant"]
ToolChoice = Literal["auto", "none"]


class TextPart(msgspec.Struct, frozen=True):
    text: str


class ImagePart(msgspec.Struct, frozen=True):
    """`format` is png, jpeg, gif or webp, told from the bytes."""

    format: str
    data: bytes


class DocumentPart(msgspec.Struct, frozen=True):
    name: str
    format: str
    data: bytes


class ToolUsePart(msgspec.Struct, frozen=True):
    """A call the model made in an earlier turn; `input` is the parsed JSON object."""

    id: str
    name: str
    input: dict[str, Any]


class ToolResultPart(msgspec.Struct, frozen=True):
    """What a tool gave back. Images among it stand beside it, in the same turn."""

    tool_use_id: str
    text: str
    is_error: bool = False


Part = TextPart | ImagePart | DocumentPart | ToolUsePart | ToolResultPart


class Message(msgspec.Struct, frozen=True):
    """One turn. Tool results stand in user turns; developer messages are system messages."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        return "\n\n".join(part.text for part in self.parts if isinstance(part, TextPart))


class Tool(msgspec.Struct, frozen=True):
    name: str
    description: str
    schema: dict[str, Any]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a model.

    `model` is the name the client used, aliases unresolved. `thread` is the client's own name for the chat, if it
    gives one in the body. With `tool_choice` none, no tool call may come out, whatever is offered. `stop` holds at
    most 4 texts. `ignored` names accepted parameters that change nothing.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    stop: tuple[str, ...] = ()
    thread: str | None = None
    ignored: tuple[str, ...] = ()
