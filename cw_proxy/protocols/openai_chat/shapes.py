"""A chat's JSON body as types: what is read of it, and nothing of what it means.

In: nothing; these are shapes. Out: Body. Refuses to know what follows from a member. Unknown members are skipped,
since clients send their own; null counts as absent.
"""

from __future__ import annotations

from typing import Any

import msgspec

# Accepted because clients send them; a backend may pass them on, and the proxy has nothing to do with them.
OPTIONS = (
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "verbosity",
    "prediction",
    "prompt_cache_retention",
    "web_search_options",
)


class Url(msgspec.Struct):
    url: str
    detail: str | None = None


class File(msgspec.Struct):
    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | Url | None = None
    file: File | None = None


class CalledFunction(msgspec.Struct):
    name: str
    # Text that holds a JSON object; some clients send the object itself.
    arguments: str | dict[str, Any] | None = None


class Call(msgspec.Struct):
    id: str
    function: CalledFunction | None = None
    type: str | None = None


class Message(msgspec.Struct):
    role: str
    content: str | list[Part] | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    is_error: bool | None = None
    name: str | None = None
    refusal: str | None = None
    audio: Any = None
    function_call: Any = None


class OfferedFunction(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferedTool(msgspec.Struct):
    type: str | None = None
    function: OfferedFunction | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class AllowedTools(msgspec.Struct):
    mode: str | None = None
    tools: list[OfferedTool] = []


class NamedTool(msgspec.Struct):
    name: str


class ToolChoice(msgspec.Struct):
    type: str
    function: NamedTool | None = None
    allowed_tools: AllowedTools | None = None


class JsonSchema(msgspec.Struct):
    name: str = ""
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct):
    type: str
    json_schema: JsonSchema | None = None


class Body(msgspec.Struct):
    model: str
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    tools: list[OfferedTool] | None = None
    tool_choice: str | ToolChoice | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    prompt_cache_key: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    verbosity: str | None = None
    prediction: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    web_search_options: dict[str, Any] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: str | None = None
    response_format: ResponseFormat | None = None
    parallel_tool_calls: bool | None = None
