"""The conversation as it stands in a chat completion's body: all that the emulated model may look at.

In: the JSON body. Out: turns, oldest first, and the offered tools. Refuses to know whether the body is legal.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

from cw_proxy.emulator.conversation import Conversation, Image, Tool, Turn
from cw_proxy.emulator.loose import Object, as_list, as_object, as_text


def read_conversation(body: Object) -> Conversation:
    messages = [as_object(message) for message in as_list(body.get("messages"))]
    tools = tuple(_tools(as_list(body.get("tools")))) if body.get("tool_choice") != "none" else ()
    return Conversation(tuple(_turns(messages)), tools)


def _turns(messages: list[Object]) -> Iterator[Turn]:
    """All results of one round of calls are one turn, as the other service has it."""
    for is_tool, group in itertools.groupby(messages, lambda message: message.get("role") == "tool"):
        if is_tool:
            yield Turn("user", "", results=tuple(text_of(message.get("content")) for message in group))
        else:
            yield from map(_turn, group)


def _turn(message: Object) -> Turn:
    content = message.get("content")
    if message.get("role") == "assistant":
        return Turn("assistant", text_of(content))
    pictures = (as_object(part.get("image_url")) for part in map(as_object, as_list(content)))
    images = tuple(_image(as_text(picture.get("url"))) for picture in pictures if picture)
    return Turn("user", text_of(content), images)


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(as_text(as_object(part).get("text")) for part in as_list(content) if "text" in as_object(part))


def _image(url: str) -> Image:
    head, _, data = url.partition(",")
    try:
        raw = base64.b64decode(data)
    except (binascii.Error, ValueError):
        raw = b""
    kind = head.removeprefix("data:").partition(";")[0].rpartition("/")[2]
    return Image(kind, len(raw), hashlib.sha256(raw).hexdigest()[:12])


def _tools(offered: list[Any]) -> Iterator[Tool]:
    for function in (as_object(as_object(tool).get("function")) for tool in offered):
        yield Tool(as_text(function.get("name")), as_object(function.get("parameters")))
