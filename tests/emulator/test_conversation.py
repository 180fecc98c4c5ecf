"""What the emulated model sees of a request."""

from __future__ import annotations

import base64
import hashlib

import pytest
from emulator_client import a_body, a_tool

from cw_proxy.emulator.conversation import Image, Turn, flatten, read_conversation


def test_turns_tools_results() -> None:
    history = [{"userInputMessage": {"content": "one"}}, {"assistantResponseMessage": {"content": "two"}}]
    results = [{"toolUseId": "t", "content": [{"text": "a"}, {"json": {"b": 1}}]}]
    seen = read_conversation(a_body("three", history, tools=[a_tool("n", p={"type": "string"})], toolResults=results))
    assert seen.turns == (Turn("user", "one"), Turn("assistant", "two"), Turn("user", "three", (), ('a\n{"b": 1}',)))
    assert [(tool.name, list(tool.properties)) for tool in seen.tools] == [("n", ["p"])]


def test_an_image() -> None:
    raw = b"\x89PNG123"
    body = a_body("x")
    message = body["conversationState"]["currentMessage"]["userInputMessage"]
    message["images"] = [{"format": "png", "source": {"bytes": base64.b64encode(raw).decode()}}]
    expected = Image("png", len(raw), hashlib.sha256(raw).hexdigest()[:12])
    assert read_conversation(body).turns[0].images == (expected,)


@pytest.mark.parametrize("body", [None, [], {}, {"conversationState": 1}, {"conversationState": {"history": {}}}])
def test_anything_may_come(body: object) -> None:
    assert read_conversation(body).turns == ()


def test_flatten() -> None:
    assert flatten([{"text": ""}, {"text": "a"}, "b", {"other": 1}]) == "a\nb"


def test_size_counts_what_the_model_reads() -> None:
    assert read_conversation(a_body("x" * 50)).size == 50
    assert read_conversation(a_body("", tools=[a_tool("n")])).size > 50
