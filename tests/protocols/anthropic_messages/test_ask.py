"""Bodies in, questions out; what is refused names its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from messages import ask, ask_of
from strategies import say

from cw_proxy import errors
from cw_proxy.model import JsonAnswer, Message

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("system", "wanted"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ("s", (say("system", "s"),)),
        ([{"type": "text", "text": "s"}, {"type": "text", "text": "t"}], (say("system", "s", "t"),)),
    ],
)
def test_the_system_text_comes_first(system: Any, wanted: tuple[Message, ...]) -> None:
    assert ask(system=system).request.messages == (*wanted, say("user", "hello"))


def test_a_begun_answer_is_the_last_turn() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "The answer is ("}]
    assert ask(messages=messages).request.messages[-1] == say("assistant", "The answer is (")


def test_what_changes_nothing_is_named() -> None:
    said = {"temperature": 0.2, "top_k": 5, "service_tier": "auto", "context_management": {"edits": []}}
    assert ask(**said, new_parameter=1).request.options == said
    assert ask(temperature=None).request.options == {}


def test_citations_that_will_not_come_are_named() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "d"}
    for citations, options in (({"enabled": True}, {"messages[].citations": True}), ({"enabled": False}, {})):
        block = {"type": "document", "source": source, "citations": citations}
        assert ask(messages=[{"role": "user", "content": [block]}]).request.options == options


USERS: list[tuple[str, str | None]] = [
    ('{"device_id":"d","account_uuid":"","session_id":"ff417b03-039a"}', "ff417b03-039a"),
    ("user_0a1b_account__session_ff417b03-039a-4c86-9c9d-ca58772938a4", "ff417b03-039a-4c86-9c9d-ca58772938a4"),
    ("user-123", None),
    ('{"session_id":""}', None),
    ('{"session_id":5}', None),
    ("{", None),
    ("[" * 5000, None),
    ("", None),
]


@pytest.mark.parametrize(("user", "thread"), USERS)
def test_a_users_session_names_the_thread(user: str, thread: str | None) -> None:
    request = ask(metadata={"user_id": user}).request
    assert request.thread == thread
    assert ("metadata" in request.options) == (thread is None)


def test_the_length_and_the_stops() -> None:
    request = ask(max_tokens=7, stop_sequences=["a", "", "b"]).request
    assert (request.max_tokens, request.stop) == (7, ("a", "b"))
    assert len(ask(stop_sequences=[str(number) for number in range(16)]).request.stop) == 16


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, "output_config.format.schema"),
        ({"output_format": {"type": "json_schema", "schema": SCHEMA}}, "output_format.schema"),
        (
            {
                "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
                "output_format": {"type": "json_schema", "schema": {}},
            },
            "output_config.format.schema",
        ),
    ],
)
def test_formats(members: dict[str, Any], param: str) -> None:
    assert ask(**members).request.json_answer == JsonAnswer(SCHEMA, strict=True, param=param)


def test_streaming() -> None:
    assert [ask(stream=stream).stream for stream in (None, False, True)] == [False, False, True]


def test_what_claude_code_sends_is_taken() -> None:
    """The shape of a request as captured from it."""
    cached = {"cache_control": {"type": "ephemeral"}}
    request = ask_of(
        {
            "model": "claude-sonnet-4-5",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "<system-reminder>"}, {"text": "do it"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Write", "input": {}}]},
                {
                    "role": "user",
                    "content": [{"tool_use_id": "t1", "type": "tool_result", "content": "done", **cached}],
                },
            ],
            "system": [{"type": "text", "text": "x-anthropic-billing-header: …"}, {"text": "You are …", **cached}],
            "tools": [
                {"name": "Write", "description": "w", "input_schema": {"$schema": "…", **SCHEMA}},
                {"name": "Placeholder", "input_schema": {"type": "object", "properties": {}}, "defer_loading": True},
            ],
            "metadata": {"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s-1"})},
            "max_tokens": 32000,
            "thinking": {"budget_tokens": 31999, "type": "enabled", "display": "omitted"},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "stream": True,
        }
    ).request
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert [tool.name for tool in request.tools] == ["Write", "Placeholder"]
    assert (request.thread, request.max_tokens, request.reasoning_effort) == ("s-1", 32000, "high")
    assert list(request.options) == ["context_management"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"messages": []}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": [{"role": "user", "content": "a"}] * 10_001}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content"),
    ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]}, "messages[0].content[0].text"),
    ({"system": [{"type": "image"}]}, "system[0].type"),
    ({"stop_sequences": [str(number) for number in range(17)]}, "stop_sequences"),
    ({"stop_sequences": ["x" * 257]}, "stop_sequences"),
    ({"stop_sequences": "a"}, "stop_sequences"),
    ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
    ({"output_format": {"type": "json_schema"}}, "output_format.schema"),
    ({"mcp_servers": [{"type": "url", "url": "https://example.org"}]}, "mcp_servers"),
    ({"thinking": {"type": 1}}, "thinking.type"),
    ({"stream": "yes"}, "stream"),
    ({"model": 1}, "model"),
]


@pytest.mark.parametrize(("members", "param"), REFUSED)
def test_what_is_refused_names_its_place(members: dict[str, Any], param: str) -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        ask(**members)
    assert (raised.value.status, raised.value.param) == (400, param)
