"""A Request → the body of `POST /chat/completions`, and which of its wishes the body carries.

In: a Request, a model's name. Out: JSON bytes, names. Refuses to know URLs and keys.

It is always streamed, and usage is always asked for: whole answers are collected from the same events.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from cw_proxy.backends.openai_upstream.messages import chat_messages
from cw_proxy.model import JsonAnswer, Request, Tool

LimitName = Literal["max_completion_tokens", "max_tokens"]


class Dialect(msgspec.Struct, frozen=True):
    """Where servers differ: what they call a limit of tokens, and whether a cache key is no unknown parameter, which
    some refuse."""

    limit_name: LimitName
    cache_key: bool


_WISHES = frozenset(
    {"max_tokens", "parallel_tool_calls", "tool_choice", "json_answer", "reasoning_effort", "image_url"}
)
# Options that are parameters of the chat API under the same name.
_OPTIONS = frozenset(
    {
        "temperature",
        "top_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "user",
        "store",
        "safety_identifier",
        "verbosity",
        "prediction",
        "prompt_cache_retention",
        "web_search_options",
    }
)
_RENAMED = {"text.verbosity": "verbosity"}
_SERVICE_TIERS = ("auto", "default", "flex", "scale", "priority")
_MOST_CACHE_KEY = 64
_MOST_STOP = 4  # OpenAI refuses more; other protocols allow more, and the proxy finds those itself
_json = msgspec.json.Encoder().encode


def carried(request: Request) -> frozenset[str]:
    """What is passed on, so that nobody else has to see to it."""
    stop = {"stop"} if len(request.stop) <= _MOST_STOP else frozenset()
    options = {name for name, value in request.options.items() if _is_option(name, value, request.options)}
    return _WISHES | stop | options


def payload(request: Request, model: str, dialect: Dialect) -> bytes:
    body: dict[str, Any] = {
        "model": model,
        "messages": chat_messages(request.messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        **_options(request),
        **_tools(request),
    }
    if 0 < len(request.stop) <= _MOST_STOP:
        body["stop"] = request.stop
    if request.max_tokens is not None:
        body[dialect.limit_name] = request.max_tokens
    if request.reasoning_effort:
        body["reasoning_effort"] = request.reasoning_effort
    if request.json_answer is not None:
        body["response_format"] = _format(request.json_answer)
    if dialect.cache_key and request.thread and len(request.thread) <= _MOST_CACHE_KEY:
        body["prompt_cache_key"] = request.thread
    return _json(body)


def _options(request: Request) -> dict[str, Any]:
    return {
        _RENAMED.get(name, name): value
        for name, value in request.options.items()
        if _is_option(name, value, request.options)
    }


def _is_option(name: str, value: Any, options: dict[str, Any]) -> bool:
    """Other protocols have parameters of the same name with other values, which would fail the call."""
    match name:
        case "metadata":
            # OpenAI takes it only for answers that are stored.
            return options.get("store") is True
        case "service_tier":
            return value in _SERVICE_TIERS
        case _:
            return name in _OPTIONS or name in _RENAMED


def _tools(request: Request) -> dict[str, Any]:
    """Choices about tools are refused where no tool is offered."""
    if not request.tools:
        return {}
    made: dict[str, Any] = {"tools": [_tool(tool) for tool in request.tools]}
    if request.tool_choice != "auto":
        # A choice of one tool has narrowed the list to it already.
        made["tool_choice"] = request.tool_choice
    if not request.parallel_tool_calls:
        made["parallel_tool_calls"] = False
    return made


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    # OpenAI takes no schema at all for no parameters, and refuses an object without a type.
    if tool.schema:
        function["parameters"] = {"type": "object", **tool.schema}
    return {"type": "function", "function": function}


def _format(wanted: JsonAnswer) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    named: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.description:
        named["description"] = wanted.description
    if wanted.strict:
        named["strict"] = True
    return {"type": "json_schema", "json_schema": named}
