"""Bodies that OpenAI takes, and those that it refuses; in each of the latter one thing is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from cw_proxy.emulator.openai.checks import check_body
from cw_proxy.emulator.openai.refusal import Rejected

LS = {"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}
FULL: dict[str, Any] = {
    "model": "gpt-5",
    "messages": [{"role": "user", "content": "hello"}],
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [LS, {"type": "function", "function": {"name": "now"}}],
    "tool_choice": {"type": "function", "function": {"name": "ls"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    "stop": ["a"],
    "max_completion_tokens": 5,
    "reasoning_effort": "low",
    "n": 1,
    "temperature": 1.5,
    "seed": None,
    "store": True,
    "metadata": {"a": "b"},
}


def test_a_full_body_and_the_least() -> None:
    check_body(FULL, ["gpt-5"])
    check_body({"model": "gpt-5", "messages": FULL["messages"]}, ["gpt-5"])


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"max_output_tokens": 5}, "max_output_tokens"),
    ({"top_k": 5}, "top_k"),
    ({"model": None}, "model"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    ({"stream": 1}, "stream"),
    ({"stream": False}, "stream_options"),
    ({"stream_options": {"usage": True}}, "stream_options"),
    ({"tools": []}, "tools"),
    ({"tools": None}, "tool_choice"),
    ({"tools": [{"type": "function", "function": {"name": "a.b"}}]}, "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {}}}]}, "tools[0].function.parameters"),
    ({"tools": [{"type": "other"}]}, "tools[0].function"),
    ({"tool_choice": "any"}, "tool_choice"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.name"),
    ({"stop": ["a"] * 5}, "stop"),
    ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ({"max_completion_tokens": True}, "max_completion_tokens"),
    ({"max_tokens": 5}, "None"),
    ({"reasoning_effort": "most"}, "reasoning_effort"),
    ({"n": 2}, "n"),
    ({"temperature": 3}, "temperature"),
    ({"store": None}, "metadata"),
    ({"service_tier": "standard_only"}, "service_tier"),
    ({"prompt_cache_key": "x" * 65}, "prompt_cache_key"),
]


@pytest.mark.parametrize(("change", "param"), WRONG, ids=str)
def test_one_thing_is_wrong(change: dict[str, Any], param: str) -> None:
    with pytest.raises(Rejected) as raised:
        check_body({**FULL, **change}, ["gpt-5"])
    assert raised.value.http_status == 400
    assert str(raised.value.param) == param


def test_a_model_that_is_not_there() -> None:
    with pytest.raises(Rejected) as raised:
        check_body({**FULL, "model": "gpt-6"}, ["gpt-5"])
    assert (raised.value.http_status, raised.value.reason) == (404, "model_not_found")
