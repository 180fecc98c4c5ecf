"""Parameters go in; what is asked comes out, or the place of what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from responses import ask

from cw_proxy import errors
from cw_proxy.model import JsonAnswer
from cw_proxy.protocols.openai_responses import OPTIONS

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def test_parameters() -> None:
    request = ask(
        max_output_tokens=7, reasoning={"effort": "high"}, parallel_tool_calls=False, prompt_cache_key="k", stop="x"
    ).request
    assert (request.max_tokens, request.reasoning_effort, request.parallel_tool_calls) == (7, "high", False)
    assert (request.thread, request.stop, request.choices, request.options) == ("k", ("x",), 1, {})


def test_null_is_absent() -> None:
    names = ("text", "reasoning", "tools", "tool_choice", "max_output_tokens", "include", "metadata", "conversation")
    assert ask(**dict.fromkeys(names)).request == ask().request


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({}, None),
        ({"format": {"type": "text"}}, None),
        ({"format": {"type": "json_object"}}, JsonAnswer()),
        (
            {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
            JsonAnswer(SCHEMA, "n", "", strict=True, param="text.format.schema"),
        ),
    ],
)
def test_formats(said: Any, asked: JsonAnswer | None) -> None:
    assert ask(text=said).request.json_answer == asked


def test_what_changes_nothing_is_named() -> None:
    said = {"temperature": 0.2, "user": "u", "client_metadata": {"a": "b"}, "service_tier": "auto"}
    assert ask(**said, new_parameter=1).request.options == said
    quiet = {"include": ["reasoning.encrypted_content"], "truncation": "disabled", "metadata": {"a": "b"}}
    assert ask(**quiet, store=True, stream_options={"include_obfuscation": False}).request.options == {}
    loud = ask(include=["file_search_call.results"], truncation="auto", text={"verbosity": "low"}).request.options
    assert set(loud) == {"include", "truncation", "text.verbosity"}
    assert all(name.isascii() and name.replace("_", "").isalpha() for name in OPTIONS)  # they go into a header


REFUSED = [
    ({"top_logprobs": 3}, errors.UnsupportedParameter, "top_logprobs"),
    ({"conversation": "conv_1"}, errors.UnsupportedParameter, "conversation"),
    ({"prompt": {"id": "p"}}, errors.UnsupportedParameter, "prompt"),
    ({"background": True}, errors.UnsupportedParameter, "background"),
    ({"max_output_tokens": 0}, errors.InvalidValue, "max_output_tokens"),
    ({"text": {"format": {"type": "grammar"}}}, errors.InvalidValue, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, errors.InvalidValue, "text.format.schema"),
    ({"text": {"format": {}}}, errors.InvalidValue, "text.format"),
    ({"stop": list("abcde")}, errors.InvalidValue, "stop"),
    ({"input": []}, errors.InvalidValue, "input"),
    ({"input": None}, errors.InvalidValue, "input"),
    ({"input": 5}, errors.InvalidValue, "input"),
    ({"model": None}, errors.InvalidValue, "model"),
    ({"metadata": {"a": 1}}, errors.InvalidValue, "metadata[...]"),
    ({"stream": "yes"}, errors.InvalidValue, "stream"),
]


@pytest.mark.parametrize(("members", "error", "param"), REFUSED)
def test_what_is_refused_names_its_place(members: dict[str, Any], error: type[errors.ProxyError], param: str) -> None:
    with pytest.raises(error) as raised:
        ask(**members)
    assert (type(raised.value), raised.value.status, raised.value.param) == (error, 400, param)
