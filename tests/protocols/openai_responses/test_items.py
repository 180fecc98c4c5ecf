"""Items go in; turns of a chat come out."""

from __future__ import annotations

from typing import Any

import pytest
from responses import ask
from strategies import say

from cw_proxy import errors
from cw_proxy.model import ImagePart, Message, ToolResultPart, ToolUsePart
from cw_proxy.protocols.openai_responses.items import LEFT_OUT

IMAGE = "data:image/png;base64,iVBORw0KGgo="
CALL = {"type": "function_call", "call_id": "c1", "name": "ls", "arguments": '{"a":1}'}
USER = {"role": "user", "content": "u"}


def turns(*items: Any) -> list[Message]:
    return list(ask(input=list(items)).request.messages)


def test_a_text_is_the_user_s() -> None:
    assert ask(input="hello").request.messages == (say("user", "hello"),)


def test_instructions_stand_before_everything() -> None:
    assert ask(input="hello", instructions="i").request.messages == (say("system", "i"), say("user", "hello"))


def test_messages() -> None:
    assert turns(
        {"role": "system", "content": "s"},
        {"type": "message", "id": "m", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
        USER,
        {
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "a"}],
        },
        {"role": "assistant", "content": None},
    ) == [say("system", "s"), say("system", "d"), say("user", "u"), say("assistant", "a"), Message("assistant", ())]


@pytest.mark.parametrize("typed", [True, False], ids=["with types", "without"])
def test_calls_and_outputs(typed: bool) -> None:
    items: list[dict[str, Any]] = [
        CALL,
        {"type": "function_call_output", "call_id": "c1", "output": "text"},
        {**CALL, "call_id": "c2", "namespace": "crm", "arguments": ""},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": IMAGE}],
        },
        {**CALL, "call_id": "c3", "arguments": {"b": 2}},
        {"type": "function_call_output", "call_id": "c3", "output": {"ok": True}},
    ]
    if not typed:
        items = [{name: value for name, value in item.items() if name != "type"} for item in items]
    assert turns(*items) == [
        Message("assistant", (ToolUsePart("c1", "ls", {"a": 1}),)),
        Message("user", (ToolResultPart("c1", "text"),)),
        Message("assistant", (ToolUsePart("c2", "crm__ls", {}),)),
        Message("user", (ToolResultPart("c2", "x"), ImagePart("png", b"\x89PNG\r\n\x1a\n"))),
        Message("assistant", (ToolUsePart("c3", "ls", {"b": 2}),)),
        Message("user", (ToolResultPart("c3", '{"ok":true}'),)),
    ]


def test_calls_of_custom_tools() -> None:
    assert turns(
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
    ) == [
        Message("assistant", (ToolUsePart("c1", "patch", {"input": "*** Begin"}),)),
        Message("user", (ToolResultPart("c1", "done"),)),
    ]


def test_tools_that_openai_names_and_the_client_runs() -> None:
    action = {"type": "exec", "command": ["ls"]}
    assert turns(
        {"type": "local_shell_call", "id": "l1", "call_id": "c1", "status": "completed", "action": action},
        {"type": "local_shell_call_output", "id": "c1", "output": "a b"},
        {"type": "shell_call", "call_id": "c2", "action": action},
        {"type": "shell_call_output", "call_id": "c2", "output": [{"stdout": "x"}]},
    ) == [
        Message("assistant", (ToolUsePart("c1", "local_shell", {"action": action}),)),
        Message("user", (ToolResultPart("c1", "a b"),)),
        Message("assistant", (ToolUsePart("c2", "shell", {"action": action}),)),
        Message("user", (ToolResultPart("c2", '[{"stdout":"x"}]'),)),
    ]


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_has_no_place_upstream_is_left_out_and_named(kind: str) -> None:
    item = {"type": kind, "id": "x", "call_id": "x", "summary": [], "content": 5, "output": {"a": 1}, "action": {}}
    request = ask(input=[USER, item]).request
    assert (request.messages, request.options) == ((say("user", "u"),), {f"input[{kind}]": True})


def test_unknown_kinds_are_left_out_without_their_name() -> None:
    assert ask(input=[USER, {"type": "évil\r\nkind"}, {"type": "b"}]).request.options == {"input[]": True}


REFUSED: list[tuple[Any, type[errors.ProxyError], str]] = [
    (5, errors.InvalidValue, ""),
    ({}, errors.InvalidValue, "type"),
    ({"type": 1}, errors.InvalidValue, "type"),
    ({"role": "robot", "content": "a"}, errors.InvalidValue, "role"),
    ({"role": "user"}, errors.InvalidValue, "content"),
    ({"role": "user", "content": 5}, errors.InvalidValue, "content"),
    ({**CALL, "arguments": "{"}, errors.InvalidValue, "arguments"),
    ({**CALL, "arguments": "[]"}, errors.InvalidValue, "arguments"),
    ({"type": "function_call", "call_id": "c"}, errors.InvalidValue, ""),
    ({"type": "function_call_output", "call_id": "c", "output": 5}, errors.InvalidValue, "call_id"),
    ({"type": "custom_tool_call_output", "call_id": "c", "output": "x"}, errors.InvalidValue, "call_id"),
    ({"type": "local_shell_call", "action": {}}, errors.InvalidValue, "call_id"),
]


@pytest.mark.parametrize(("item", "error", "param"), REFUSED)
def test_what_is_refused_names_its_place(item: Any, error: type[errors.ProxyError], param: str) -> None:
    with pytest.raises(error) as raised:
        turns(USER, item)
    assert raised.value.param == f"input[1].{param}".rstrip(".")


def test_there_is_a_limit() -> None:
    with pytest.raises(errors.InvalidValue, match="10000 items"):
        turns(*[USER] * 10_001)
