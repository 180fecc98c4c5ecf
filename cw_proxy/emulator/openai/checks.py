"""Is a body one that OpenAI would take? Parameters, tools, and what goes with what.

In: a decoded body, the names of the models. Out: nothing, or a Rejected raised that says where and why. Refuses to
share a line with the proxy's own reading: two independent readings of one contract check each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from cw_proxy.emulator.loose import Object, as_list, as_object
from cw_proxy.emulator.openai.checks_messages import check_messages
from cw_proxy.emulator.openai.refusal import invalid, unknown_model

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_FORMATS = ("text", "json_object", "json_schema")
_CHOICES = ("none", "auto", "required")


def check_body(body: Object, models: Sequence[str]) -> None:
    for name, value in body.items():
        if name not in _PARAMETERS:
            raise invalid(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
        if value is not None and not _PARAMETERS[name](value):
            raise invalid(f"Invalid value for '{name}': {str(value)[:80]!r}.", name, "invalid_value")
    for name in ("model", "messages"):
        if body.get(name) is None:
            raise invalid(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    if body["model"] not in models:
        raise unknown_model(body["model"])
    _check_together(body)
    _check_tools(as_list(body.get("tools")))
    _check_format(as_object(body.get("response_format")))
    check_messages(body["messages"])


def _check_together(body: Object) -> None:
    if body.get("stream_options") is not None and body.get("stream") is not True:
        raise invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    if not body.get("tools"):
        for name in ("tool_choice", "parallel_tool_calls"):
            if body.get(name) is not None:
                raise invalid(f"'{name}' is only allowed when 'tools' are specified.", name)
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        raise invalid("Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
    if body.get("metadata") is not None and body.get("store") is not True:
        raise invalid("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")


def _check_tools(tools: list[Any]) -> None:
    for at, tool in enumerate(map(as_object, tools)):
        path, function = f"tools[{at}].function", as_object(tool.get("function"))
        if tool.get("type") != "function" or not isinstance(function.get("name"), str):
            raise invalid("This is no function.", path)
        if not NAME.match(function["name"]):
            raise invalid(f"'{function['name']}' does not match the pattern '^[a-zA-Z0-9_-]+$'.", f"{path}.name")
        parameters = function.get("parameters")
        if parameters is not None and as_object(parameters).get("type") != "object":
            raise invalid("schema must be a JSON Schema of 'type: \"object\"'.", f"{path}.parameters")


def _check_format(wanted: Object) -> None:
    if not wanted:
        return
    schema = as_object(wanted.get("json_schema"))
    if wanted.get("type") not in _FORMATS:
        raise invalid(f"Supported values are: {_FORMATS}.", "response_format.type")
    if wanted["type"] == "json_schema" and not NAME.match(str(schema.get("name", ""))):
        raise invalid("The schema needs a name.", "response_format.json_schema.name")


# --- one value at a time ---


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _object(value: Any) -> bool:
    return isinstance(value, dict)


def _list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _between(least: float, most: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and least <= value <= most


def _stop(value: Any) -> bool:
    return _text(value) or (isinstance(value, list) and len(value) <= 4 and all(map(_text, value)))


def _choice(value: Any) -> bool:
    return value in _CHOICES if isinstance(value, str) else as_object(value).get("type") == "function"


_PARAMETERS: dict[str, Callable[[Any], bool]] = {
    "model": _text,
    "messages": _list,
    "stream": _truth,
    "stream_options": lambda value: set(as_object(value)) <= {"include_usage", "include_obfuscation"},
    "tools": _list,
    "tool_choice": _choice,
    "parallel_tool_calls": _truth,
    "response_format": _object,
    "stop": _stop,
    "max_tokens": _count,
    "max_completion_tokens": _count,
    "reasoning_effort": lambda value: value in _EFFORTS,
    # One answer to a question is all that the emulator gives.
    "n": lambda value: value == 1,
    "temperature": _between(0, 2),
    "top_p": _between(0, 1),
    "presence_penalty": _between(-2, 2),
    "frequency_penalty": _between(-2, 2),
    "seed": lambda value: type(value) is int,
    "logit_bias": _object,
    "user": _text,
    "metadata": _object,
    "store": _truth,
    "service_tier": lambda value: value in ("auto", "default", "flex", "scale", "priority"),
    "safety_identifier": _text,
    "verbosity": lambda value: value in ("low", "medium", "high"),
    "prediction": _object,
    "prompt_cache_key": lambda value: _text(value) and len(value) <= 64,
    "prompt_cache_retention": _text,
    "web_search_options": _object,
}
