"""What is asked, whatever language it was asked in.

In: nothing; these are values. Out: a Request, built by a protocol, read by a backend. Refuses to know JSON shapes
of either side. All text is str; binary parts are raw bytes, never base64.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Role = Literal["system", "user", "assistant"]
ToolChoice = Literal["auto", "none", "required"]


class TextPart(msgspec.Struct, frozen=True):
    text: str


class ImagePart(msgspec.Struct, frozen=True):
    """`format` is png, jpeg, gif or webp, told from the bytes."""

    format: str
    data: bytes


class ImageLink(msgspec.Struct, frozen=True):
    """An image somewhere else; `param` is its place in the client's body."""

    url: str
    param: str


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


Part = TextPart | ImagePart | ImageLink | DocumentPart | ToolUsePart | ToolResultPart


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


class JsonAnswer(msgspec.Struct, frozen=True):
    """The answer is to be one JSON object; with a schema, a value that conforms to it. `param` is the schema's place
    in the client's body."""

    schema: dict[str, Any] | None = None
    name: str = ""
    description: str = ""
    strict: bool = False
    param: str = ""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One question to a model.

    `model` is the name the client used, aliases unresolved. `thread` is the client's own name for the chat, if it
    gives one in the body. With `tool_choice` none, no tool call may come out, whatever is offered; with required, at
    least one must. `stop` holds a few texts. `max_tokens` bounds the answer, thoughts included. `choices` is how
    many answers are wanted. `options` are accepted parameters that no backend has to understand, by the client's name
    for them: a backend may pass them on.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    json_answer: JsonAnswer | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    reasoning_effort: str | None = None
    choices: int = 1
    thread: str | None = None
    options: dict[str, Any] = {}

    def continued(self, answer: str, text: str) -> Request:
        """The same question, after this answer and what the user says to it."""
        said = [Message("assistant", (TextPart(answer),))] if answer.strip() else []
        messages = (*self.messages, *said, Message("user", (TextPart(text),)))
        return msgspec.structs.replace(self, messages=messages)


def weight(request: Request) -> int:
    """About how many characters it is, written as JSON."""
    return sum(map(message_weight, request.messages)) + sum(map(tool_weight, request.tools))


def message_weight(message: Message) -> int:
    return sum(map(_part_weight, message.parts))


def tool_weight(tool: Tool) -> int:
    return len(tool.description) + len(msgspec.json.encode(tool.schema))


def _part_weight(part: Part) -> int:
    match part:
        case TextPart() | ToolResultPart():
            return len(part.text)
        case ImagePart() | DocumentPart():
            return -(-len(part.data) // 3) * 4  # as base64
        case ImageLink():
            return len(part.url)
        case ToolUsePart():
            return len(msgspec.json.encode(part.input))
