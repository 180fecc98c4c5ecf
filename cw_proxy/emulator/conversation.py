"""The conversation as it stands in a request body: all that the emulated model may look at.

In: the JSON body of GenerateAssistantResponse or SendMessage. Out: turns, oldest first, and the offered tools.
Refuses to know whether the body is legal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from cw_proxy.emulator.loose import Object, as_list, as_object, as_text


@dataclass(frozen=True, slots=True)
class Image:
    """`digest`: the first 12 hex digits of the SHA-256 of the bytes."""

    format: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Turn:
    role: Literal["user", "assistant"]
    text: str
    images: tuple[Image, ...] = ()
    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    schema: Object

    @property
    def properties(self) -> Object:
        return as_object(self.schema.get("properties"))


@dataclass(frozen=True, slots=True)
class Conversation:
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...]

    @property
    def size(self) -> int:
        """Characters of everything the model would have to read."""
        schemas = sum(len(tool.name) + len(json.dumps(tool.schema)) for tool in self.tools)
        return schemas + sum(len(turn.text) + sum(map(len, turn.results)) for turn in self.turns)


def read_conversation(body: object) -> Conversation:
    state = as_object(as_object(body).get("conversationState"))
    current = as_object(state.get("currentMessage"))
    entries = [*map(as_object, as_list(state.get("history"))), current]
    turns = tuple(turn for entry in entries for turn in _turns(entry))
    context = as_object(as_object(current.get("userInputMessage")).get("userInputMessageContext"))
    return Conversation(turns, tuple(_tools(as_list(context.get("tools")))))


def _turns(entry: Object) -> Iterator[Turn]:
    assistant, user = as_object(entry.get("assistantResponseMessage")), as_object(entry.get("userInputMessage"))
    if assistant:
        yield Turn("assistant", as_text(assistant.get("content")))
    elif user:
        context = as_object(user.get("userInputMessageContext"))
        results = (flatten(as_object(result).get("content")) for result in as_list(context.get("toolResults")))
        images = (_image(as_object(image)) for image in as_list(user.get("images")))
        yield Turn("user", as_text(user.get("content")), tuple(images), tuple(results))


def _tools(offered: list[Any]) -> Iterator[Tool]:
    for specification in (as_object(as_object(tool).get("toolSpecification")) for tool in offered):
        if specification:
            schema = as_object(as_object(specification.get("inputSchema")).get("json"))
            yield Tool(as_text(specification.get("name")), schema)


def flatten(content: object) -> str:
    """The text of a tool result: its text blocks, and its JSON blocks as JSON, one per line."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(text for text in map(flatten, content) if text)
    block = as_object(content)
    if isinstance(block.get("text"), str):
        return as_text(block["text"])
    return json.dumps(block["json"]) if "json" in block else ""


def _image(image: Object) -> Image:
    try:
        raw = base64.b64decode(as_text(as_object(image.get("source")).get("bytes")))
    except (binascii.Error, ValueError):
        raw = b""
    kind = as_text(image.get("format")).rpartition("/")[2].lower().replace("jpg", "jpeg")
    return Image(kind, len(raw), hashlib.sha256(raw).hexdigest()[:12])
