"""A Responses body as types: what is read of it, and nothing of what it means.

In: nothing; these are shapes. Out: Body, items, tools. Refuses to know what follows from a member. Unknown members are
skipped, since clients send their own; null counts as absent. Items and tools stay JSON until their kind is known.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from cw_proxy import body
from cw_proxy.errors import InvalidValue

# Accepted because clients send them; a backend may pass them on, and the proxy has nothing to do with them.
OPTIONS = (
    "temperature",
    "top_p",
    "user",
    "service_tier",
    "safety_identifier",
    "prompt_cache_retention",
    "prompt_cache_options",
    "client_metadata",
    "max_tool_calls",
    "context_management",
    "moderation",
)

Shape = TypeVar("Shape")


class Format(msgspec.Struct, omit_defaults=True):
    type: str
    name: str = ""
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Text(msgspec.Struct, omit_defaults=True):
    format: Format | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class NamedTool(msgspec.Struct):
    """A tool by its name; `function` is where chat completions keep it."""

    type: str | None = None
    name: str | None = None
    namespace: str | None = None
    function: NamedTool | None = None


class ToolChoice(msgspec.Struct):
    type: str
    name: str | None = None
    namespace: str | None = None
    mode: str | None = None
    function: NamedTool | None = None
    tools: list[NamedTool] = []


class StreamOptions(msgspec.Struct):
    include_obfuscation: bool | None = None


class Body(msgspec.Struct):
    model: str
    input: str | list[msgspec.Raw] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: bool | None = None
    generate: bool | None = None
    tools: list[msgspec.Raw] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: int | None = None
    stop: str | list[str] | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    truncation: str | None = None
    prompt_cache_key: str | None = None
    top_logprobs: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    user: str | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    client_metadata: dict[str, Any] | None = None
    max_tool_calls: int | None = None
    context_management: Any = None
    moderation: Any = None


class TokensBody(Body):
    """What is only counted needs no model."""

    model: str = ""


class Frame(msgspec.Struct):
    """A WebSocket message, as far as its routing goes. Some clients wrap the body in `response`."""

    type: str
    stream_id: str | None = None
    response: msgspec.Raw = msgspec.Raw()

    @property
    def wrapped(self) -> bytes | None:
        inner = bytes(self.response)
        return inner if inner.startswith(b"{") else None


# --- items ------------------------------------------------------------------------------------------------


class Kind(msgspec.Struct):
    """Enough of an item to tell what it is."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    call_id: str | None = None
    output: Any = None
    arguments: Any = None


class Url(msgspec.Struct):
    url: str


class Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | Url | None = None
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None
    file_url: str | None = None


class Message(msgspec.Struct):
    role: str
    content: str | list[Part] | None = None


class FunctionCall(msgspec.Struct):
    call_id: str
    name: str
    namespace: str | None = None
    # Text that holds a JSON object; some clients send the object itself.
    arguments: str | dict[str, Any] | None = None


class CustomCall(msgspec.Struct):
    call_id: str
    name: str
    namespace: str | None = None
    input: str = ""


class CallOutput(msgspec.Struct):
    call_id: str
    output: str | list[Part] | dict[str, Any] | None = None


# --- tools ------------------------------------------------------------------------------------------------


class Grammar(msgspec.Struct):
    type: str | None = None
    syntax: str = ""
    definition: str = ""


class Tool(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: Grammar | None = None
    tools: list[msgspec.Raw] = []


def read(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[Shape], path: str) -> Shape:
    """Raises InvalidValue with the path from the body's root."""
    try:
        return body.parse(bytes(raw), decoder)
    except InvalidValue as error:
        raise InvalidValue(error.message, param=f"{path}.{error.param}" if error.param else path) from None
