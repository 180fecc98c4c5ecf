"""A message request's JSON body as types: what is read of it, and nothing of what it means.

In: nothing; these are shapes. Out: Body. Refuses to know what follows from a member. Unknown members are skipped, since
clients send their own (`cache_control` may stand anywhere); null counts as absent, and a block without a type is text.
"""

from __future__ import annotations

from typing import Any

import msgspec

# Accepted because clients send them; a backend may pass them on, and the proxy has nothing to do with them.
OPTIONS = (
    "temperature",
    "top_p",
    "top_k",
    "service_tier",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "speed",
)


class Source(msgspec.Struct):
    type: str = ""
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    content: str | list[Block] | None = None


class Block(msgspec.Struct):
    """Any content block: those of a message, of a tool's result, of a document."""

    type: str = "text"
    text: str | None = None
    # A search result names its source; images and documents are made of theirs.
    source: str | Source | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[Block] | dict[str, Any] | None = None
    is_error: bool | None = None
    title: str | None = None
    context: str | None = None
    url: str | None = None
    tool_name: str | None = None
    citations: Any = None


class Message(msgspec.Struct):
    role: str
    content: str | list[Block] | None = None


class OfferedTool(msgspec.Struct):
    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    display_width_px: int | None = None
    display_height_px: int | None = None


class ToolChoice(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    type: str
    budget_tokens: int | None = None
    display: str | None = None


class Format(msgspec.Struct):
    type: str
    schema: dict[str, Any] | None = None


class OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: Format | None = None


class Metadata(msgspec.Struct):
    user_id: str | None = None


class Body(msgspec.Struct):
    model: str
    messages: list[Message]
    # Required, but not for counting tokens.
    max_tokens: int | None = None
    system: str | list[Block] | None = None
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    tools: list[OfferedTool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    # Its older name for `output_config.format`.
    output_format: Format | None = None
    metadata: Metadata | None = None
    mcp_servers: list[Any] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    service_tier: str | None = None
    container: Any = None
    context_management: Any = None
    diagnostics: Any = None
    inference_geo: str | None = None
    speed: str | None = None
