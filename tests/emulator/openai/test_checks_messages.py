"""Chats that OpenAI takes, and those that it refuses; in each of the latter one thing is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from cw_proxy.emulator.openai.checks_messages import check_messages
from cw_proxy.emulator.openai.refusal import Rejected

PNG = "data:image/png;base64,iVBORw0KGgo="
FILE = {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts) if parts else "hello"}


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def call(identity: str = "x", name: str = "ls", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(identity: str = "x") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": "1"}


def test_a_long_chat() -> None:
    check_messages(
        [
            {"role": "system", "content": "s"},
            {"role": "developer", "content": [{"type": "text", "text": "d"}]},
            user(
                {"type": "text", "text": "a"},
                picture(PNG),
                picture("https://x.example/y"),
                {"type": "file", "file": FILE},
            ),
            calling(call("x"), call("y")),
            result("y"),
            result("x"),
            {"role": "assistant", "content": "b"},
            user(),
        ]
    )


WRONG: list[tuple[list[dict[str, Any]], str]] = [
    ([{"role": "robot"}], "[0].role"),
    ([{"role": "user", "content": "x", "is_error": True}], "[0].is_error"),
    ([{"role": "user", "content": None}], "[0].content"),
    ([{"role": "assistant", "content": None}], "[0].content"),
    ([{"role": "user", "content": []}], "[0].content"),
    ([{"role": "user", "content": 5}], "[0].content"),
    ([user({"type": "input_text", "text": "a"})], "[0].content[0].type"),
    ([{"role": "system", "content": [picture(PNG)]}], "[0].content[0].type"),
    ([user({"type": "text"})], "[0].content[0].text"),
    ([user(picture("data:image/png;base64,JVBERg=="))], "[0].content[0].image_url.url"),
    ([user(picture("data:image/png;base64,!"))], "[0].content[0].image_url.url"),
    ([user({"type": "file", "file": {"file_data": FILE["file_data"]}})], "[0].content[0].file"),
    ([{**calling(), "content": "a"}], "[0].tool_calls"),
    ([calling(call()), user()], "[1]"),
    ([calling(call())], "[0]"),
    ([calling(call("x"), call("y")), result("x"), user()], "[2]"),
    ([calling(call("x"), call("x")), result("x")], "[0].tool_calls"),
    ([result()], "[0].role"),
    ([calling(call()), result("z")], "[1].role"),
    ([calling(call()), result(), result()], "[2].role"),
    ([calling(call("")), result("")], "[0].tool_calls[0]"),
    ([calling(call(name="a b")), result()], "[0].tool_calls[0].function.name"),
    ([calling(call(arguments="[]")), result()], "[0].tool_calls[0].function.arguments"),
    ([calling(call(arguments={})), result()], "[0].tool_calls[0].function.arguments"),
]


@pytest.mark.parametrize(("messages", "where"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_one_thing_is_wrong(messages: list[dict[str, Any]], where: str) -> None:
    with pytest.raises(Rejected) as raised:
        check_messages(messages)
    assert raised.value.param == f"messages{where}"
