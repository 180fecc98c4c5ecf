"""Demands go in; words for the model come out, in the current turn and in no other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from strategies import request, say

from cw_proxy.backends.codewhisperer.offer import naming
from cw_proxy.backends.codewhisperer.request import Payload
from cw_proxy.backends.codewhisperer.rules import broken
from cw_proxy.backends.codewhisperer.wishes import wishes
from cw_proxy.model import JsonAnswer, Message, Request, Tool, ToolResultPart, ToolUsePart

LONG = "x" * 70
CALLING = {"tools": (Tool("a", "", {}), Tool(LONG, "", {})), "tool_choice": "required"}
SCHEMA = {"type": "object"}


def current(asked: Request) -> dict[str, Any]:
    sent = Payload(asked, model=None, origin="CLI", max_bytes=10**6).body("c", None)
    assert broken(json.loads(sent)) == []
    return json.loads(sent)["conversationState"]


def test_tools_are_named_as_the_service_knows_them() -> None:
    asked = request(say("user", "hello"), **CALLING)
    names = naming(asked).tools
    [wish] = wishes(asked, naming(asked))
    assert wish == f"Answer by calling at least one of these tools: a, {names.upstream(LONG)}."
    one = request(say("user", "hello"), tools=(Tool("a", "", {}),), tool_choice="required")
    assert wishes(one, naming(one)) == ["Answer by calling the tool a."]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (JsonAnswer(), "one JSON object"),
        (JsonAnswer(SCHEMA), '{"type":"object"}'),
        (JsonAnswer(SCHEMA, "n"), "Schema n:"),
        (JsonAnswer(SCHEMA, "n", "a thing"), "Schema n (a thing):"),
    ],
)
def test_json_is_asked_for_with_its_schema(asked: JsonAnswer, words: str) -> None:
    [wish] = wishes(request(say("user", "hello"), json_answer=asked), naming(request()))
    assert words in wish


def test_a_plain_question_says_nothing_more() -> None:
    asked = request(say("user", "hello"), tools=(Tool("a", "", {}),))
    assert wishes(asked, naming(asked)) == []


def test_a_wish_ends_the_current_turn_and_leaves_history_alone() -> None:
    chat = [say("system", "s"), say("user", "one"), say("assistant", "two"), say("user", "three")]
    state, plain = current(request(*chat, json_answer=JsonAnswer())), current(request(*chat))
    assert state["history"] == plain["history"]
    text = state["currentMessage"]["userInputMessage"]["content"]
    assert text.startswith("three\n\nAnswer with one JSON object")


def test_a_wish_stands_beside_results() -> None:
    used = Message("assistant", (ToolUsePart("1", "a", {}),))
    chat = [say("user", "one"), used, Message("user", (ToolResultPart("1", "warm"),))]
    message = current(request(*chat, **CALLING))["currentMessage"]["userInputMessage"]
    assert message["content"].startswith("Answer by calling")
    assert len(message["userInputMessageContext"]["toolResults"]) == 1
