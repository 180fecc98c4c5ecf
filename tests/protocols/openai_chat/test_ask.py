"""Bodies in, questions out; what is refused names its place."""

from __future__ import annotations

from typing import Any

import pytest
from chat import ask
from strategies import say

from cw_proxy import errors
from cw_proxy.model import JsonAnswer, Message
from cw_proxy.protocols.openai_chat import OPTIONS


def test_roles_and_parts() -> None:
    asked = ask(
        messages=[
            {"role": "system", "content": "s"},
            {"role": "developer", "content": [{"type": "text", "text": "d"}], "name": "x"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "tool_calls": []},
            {"role": "user", "content": ""},
        ]
    )
    assert asked.request.messages == (
        say("system", "s"),
        say("system", "d"),
        say("user", "a", "b"),
        Message("assistant", ()),
        say("assistant", "no"),
        say("user", ""),
    )


@pytest.mark.parametrize(
    ("members", "stream", "include_usage"),
    [
        ({}, False, False),
        ({"stream": None, "stream_options": None}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
    ],
)
def test_streaming(members: dict[str, Any], stream: bool, include_usage: bool) -> None:
    assert (ask(**members).stream, ask(**members).include_usage) == (stream, include_usage)


@pytest.mark.parametrize(
    ("said", "stop"),
    [(None, ()), ("", ()), ("a", ("a",)), ([], ()), (["a", "", "b"], ("a", "b")), (list("abcd"), tuple("abcd"))],
)
def test_stop(said: Any, stop: tuple[str, ...]) -> None:
    assert ask(stop=said).request.stop == stop


def test_what_changes_nothing_is_named() -> None:
    said = {"temperature": 0.2, "seed": 1, "user": "u", "metadata": {"a": "b"}}
    assert ask(**said, new_parameter=1).request.options == said
    assert ask(temperature=None).request.options == {}
    assert all(name.isascii() and name.replace("_", "").isalpha() for name in OPTIONS)  # they go into a header


def test_a_name_of_who_speaks_changes_nothing() -> None:
    user = {"role": "user", "content": "a", "name": "Ada"}
    assert ask(messages=[user]).request.options == {"messages[].name": True}
    tool = {"role": "tool", "content": "a", "name": "weather", "tool_call_id": "c"}
    assert ask(messages=[tool, {**user, "name": None}]).request.options == {}


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ({}, None),
        ({"max_tokens": 1}, 1),
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
        ({"max_tokens": None}, None),
    ],
)
def test_the_newer_limit_outranks_the_older(said: dict[str, Any], most: int | None) -> None:
    assert ask(**said).request.max_tokens == most


def test_wishes_that_are_parameters() -> None:
    request = ask(n=3, reasoning_effort="high", parallel_tool_calls=False).request
    assert (request.choices, request.reasoning_effort, request.parallel_tool_calls) == (3, "high", False)
    assert ask(parallel_tool_calls=True, n=None).request == ask(n=1).request


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (None, None),
        ({"type": "text"}, None),
        ({"type": "json_object"}, JsonAnswer()),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
            JsonAnswer(SCHEMA, "n", "", strict=True, param="response_format.json_schema.schema"),
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "description": "d"}},
            JsonAnswer(None, "n", "d", param="response_format.json_schema.schema"),
        ),
    ],
)
def test_formats(said: Any, asked: JsonAnswer | None) -> None:
    assert ask(response_format=said).request.json_answer == asked


def test_the_cache_key_names_the_thread() -> None:
    assert ask(prompt_cache_key="k").request.thread == "k"


REFUSED = [
    ({"n": 0}, errors.InvalidValue, "n"),
    ({"n": -1}, errors.InvalidValue, "n"),
    ({"max_tokens": 0}, errors.InvalidValue, "max_tokens"),
    ({"max_completion_tokens": -1, "max_tokens": 5}, errors.InvalidValue, "max_completion_tokens"),
    ({"response_format": {"type": "grammar"}}, errors.InvalidValue, "response_format.type"),
    ({"response_format": {}}, errors.InvalidValue, "response_format"),
    ({"response_format": {"type": "json_schema"}}, errors.InvalidValue, "response_format.json_schema"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}},
        errors.InvalidValue,
        "response_format.json_schema.schema",
    ),
    ({"logprobs": True}, errors.UnsupportedParameter, "logprobs"),
    ({"top_logprobs": 3}, errors.UnsupportedParameter, "top_logprobs"),
    ({"modalities": ["text", "audio"]}, errors.UnsupportedParameter, "modalities"),
    ({"audio": {}}, errors.UnsupportedParameter, "audio"),
    ({"messages": []}, errors.InvalidValue, "messages"),
    ({"messages": "hello"}, errors.InvalidValue, "messages"),
    ({"messages": [{"role": "user", "content": 1}]}, errors.InvalidValue, "messages[0].content"),
    ({"messages": [{"role": "user"}]}, errors.InvalidValue, "messages[0].content"),
    ({"messages": [{"role": "user", "content": None}]}, errors.InvalidValue, "messages[0].content"),
    ({"messages": [{"content": "a"}]}, errors.InvalidValue, "messages[0]"),
    ({"messages": [{"role": "robot", "content": "a"}]}, errors.InvalidValue, "messages[0].role"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        errors.InvalidValue,
        "messages[0].content[0].text",
    ),
    ({"metadata": 5}, errors.InvalidValue, "metadata"),
    ({"response_format": 5}, errors.InvalidValue, "response_format"),
    ({"logit_bias": "x"}, errors.InvalidValue, "logit_bias"),
    ({"user": []}, errors.InvalidValue, "user"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
        errors.InvalidValue,
        "messages[0].content[0].text",
    ),
    ({"stop": list("abcde")}, errors.InvalidValue, "stop"),
    ({"stop": "x" * 257}, errors.InvalidValue, "stop"),
    ({"messages": [{"role": "user", "content": "a"}] * 10_001}, errors.InvalidValue, "messages"),
    ({"stop": 1}, errors.InvalidValue, "stop"),
    ({"stop": ["a", 1]}, errors.InvalidValue, "stop[1]"),
    ({"stream": "yes"}, errors.InvalidValue, "stream"),
    ({"stream_options": {"include_usage": 1}}, errors.InvalidValue, "stream_options.include_usage"),
    ({"model": 1}, errors.InvalidValue, "model"),
]


@pytest.mark.parametrize(("members", "error", "param"), REFUSED)
def test_what_is_refused_names_its_place(members: dict[str, Any], error: type[errors.ProxyError], param: str) -> None:
    with pytest.raises(error) as raised:
        ask(**members)
    assert (type(raised.value), raised.value.status, raised.value.param) == (error, 400, param)


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"messages": [{"role": "assistant", "content": "a", "audio": {"id": "x"}}]}, "messages[].audio"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
        ({"tools": [{"type": "function", "function": {"name": "a", "strict": True}}]}, "tools[].function.strict"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
    ],
)
def test_members_of_members_that_change_nothing_are_named(said: dict[str, Any], place: str) -> None:
    assert ask(**said).request.options == {place: True}


def test_a_refusal_in_the_history_is_what_the_assistant_said() -> None:
    [message] = ask(messages=[{"role": "assistant", "content": None, "refusal": "I will not."}]).request.messages
    assert message.text == "I will not."
