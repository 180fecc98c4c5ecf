"""Requests go in, bodies come out that OpenAI's own types accept, and what is carried is what they hold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import shared_params
from openai.types.chat import ChatCompletionToolUnionParam, completion_create_params
from pydantic import TypeAdapter
from strategies import json_objects, request, say, texts, tool_names

from cw_proxy.backends.openai_upstream.request import Dialect, carried, payload
from cw_proxy.demands import demand_of
from cw_proxy.filters import filters_for
from cw_proxy.model import JsonAnswer, Request, Tool
from cw_proxy.protocols.openai_chat import OPTIONS

LS = Tool("ls", "Lists.", {"type": "object", "properties": {"path": {"type": "string"}}})
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def asked(**settings: Any) -> Request:
    return request(say("user", "hello"), **settings)


def body(wanted: Request | None = None, limit_name: Any = "max_completion_tokens", **settings: Any) -> dict[str, Any]:
    return json.loads(payload(wanted or asked(**settings), "gpt-5", Dialect(limit_name, cache_key=True)))


def test_the_least() -> None:
    assert body() == {
        "model": "gpt-5",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_tools() -> None:
    made = body(tools=(LS, Tool("now", "", {})), tool_choice="required", parallel_tool_calls=False)
    assert made["tools"] == [
        {"type": "function", "function": {"name": "ls", "description": "Lists.", "parameters": LS.schema}},
        {"type": "function", "function": {"name": "now"}},
    ]
    assert (made["tool_choice"], made["parallel_tool_calls"]) == ("required", False)
    assert "tool_choice" not in body(tools=(LS,))


def test_a_schema_of_an_object_says_so() -> None:
    (made,) = body(tools=(Tool("x", "", {"properties": {}}),))["tools"]
    assert made["function"]["parameters"] == {"type": "object", "properties": {}}


def test_choices_about_tools_need_tools() -> None:
    assert (
        not {"tools", "tool_choice", "parallel_tool_calls"} & body(tool_choice="none", parallel_tool_calls=False).keys()
    )


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (JsonAnswer(), {"type": "json_object"}),
        (JsonAnswer(SCHEMA), {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}),
        (
            JsonAnswer(SCHEMA, "n", "d", True),
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "description": "d", "strict": True}},
        ),
    ],
)
def test_formats(wanted: JsonAnswer, expected: dict[str, Any]) -> None:
    assert body(json_answer=wanted)["response_format"] == expected


@pytest.mark.parametrize("name", ["max_completion_tokens", "max_tokens"])
def test_the_limit_has_the_name_that_the_server_knows(name: str) -> None:
    made = body(max_tokens=7, limit_name=name)
    assert {key: made[key] for key in made if key.startswith("max")} == {name: 7}


def test_other_wishes() -> None:
    made = body(stop=("a", "b"), reasoning_effort="low", thread="chat-1", options={"temperature": 0, "seed": 5})
    assert (made["stop"], made["reasoning_effort"], made["prompt_cache_key"]) == (["a", "b"], "low", "chat-1")
    assert (made["temperature"], made["seed"]) == (0, 5)
    assert "prompt_cache_key" not in body(thread="x" * 65)
    elsewhere = payload(asked(thread="chat-1"), "m", Dialect("max_tokens", cache_key=False))
    assert "prompt_cache_key" not in json.loads(elsewhere)


def test_options_by_another_protocols_name() -> None:
    options = {"text.verbosity": "low"}
    assert body(options=options)["verbosity"] == "low"
    assert "text.verbosity" in carried(asked(options=options))


def test_every_option_of_a_chat_is_passed_on() -> None:
    options = dict.fromkeys(OPTIONS, "x") | {"store": True, "service_tier": "flex"}
    assert options.items() <= body(options=options).items()
    assert carried(asked(options=options)) >= options.keys()


@pytest.mark.parametrize(
    "options",
    [{"messages[].name": True}, {"metadata": {"user_id": "x"}}, {"service_tier": "standard_only"}, {"top_k": 5}],
)
def test_what_the_api_does_not_have_is_neither_sent_nor_carried(options: dict[str, Any]) -> None:
    assert not options.keys() & body(options=options).keys()
    assert not options.keys() & carried(asked(options=options))


def test_nothing_is_left_for_the_exchange_but_more_stop_texts_than_the_api_takes() -> None:
    full = asked(
        tools=(LS,),
        tool_choice="required",
        parallel_tool_calls=False,
        json_answer=JsonAnswer(SCHEMA),
        max_tokens=5,
        stop=("a", "b", "c", "d"),
    )
    assert demand_of(full, carried(full)) is None
    assert filters_for(full, carried(full), None) == []
    many = asked(stop=tuple("abcde"))
    assert "stop" not in body(many)
    assert len(filters_for(many, carried(many), None)) == 1


tools = st.builds(Tool, tool_names, texts | st.just(""), json_objects)
formats = st.none() | st.builds(JsonAnswer, st.none() | json_objects, tool_names | st.just(""), texts, st.booleans())
questions = st.builds(
    asked,
    tools=st.lists(tools, max_size=2).map(tuple),
    tool_choice=st.sampled_from(["auto", "none", "required"]),
    parallel_tool_calls=st.booleans(),
    json_answer=formats,
    stop=st.lists(texts, max_size=5).map(tuple),
    max_tokens=st.none() | st.integers(1, 9),
    reasoning_effort=st.sampled_from([None, "minimal", "high"]),
    thread=st.none() | texts,
)
KNOWN = completion_create_params.CompletionCreateParamsStreaming.__annotations__.keys() | (
    completion_create_params.CompletionCreateParamsBase.__annotations__.keys()
)
TOOLS: TypeAdapter[Any] = TypeAdapter(ChatCompletionToolUnionParam)
FORMATS: TypeAdapter[Any] = TypeAdapter(shared_params.ResponseFormatJSONObject | shared_params.ResponseFormatJSONSchema)
CHOICES = ("none", "required")


@given(questions)
def test_any_body_has_the_official_types(wanted: Request) -> None:
    made = body(wanted)
    assert made.keys() <= KNOWN
    assert made.get("tool_choice", "none") in CHOICES
    for tool in made.get("tools", ()):
        TOOLS.validate_python(tool, strict=True)
    if "response_format" in made:
        FORMATS.validate_python(made["response_format"], strict=True)
