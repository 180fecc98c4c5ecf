"""The twenty rules find what is broken, and nothing we build is."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from chat_bodies import bodies
from hypothesis import HealthCheck, given, settings
from strategies import json_values

from cw_proxy.backends.codewhisperer.request import Payload
from cw_proxy.backends.codewhisperer.rules import RULES, Broken, broken
from cw_proxy.emulator.checks import check_request
from cw_proxy.emulator.settings import Settings
from cw_proxy.errors import InvalidRequest
from cw_proxy.model import ImagePart, TextPart, ToolResultPart
from cw_proxy.protocols.openai_chat import ChatAsk, OpenAIChat

HISTORY, CURRENT = "conversationState.history", "conversationState.currentMessage.userInputMessage"
CONTEXT = f"{CURRENT}.userInputMessageContext"
SPECIFICATION = f"{CONTEXT}.tools[0].toolSpecification"
USE = f"{HISTORY}[1].assistantResponseMessage.toolUses[0]"
RESULT = f"{CONTEXT}.toolResults[0]"

CHAT = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": "data:;base64,R0lGODlhIQ=="}],
    },
    {"role": "assistant", "tool_calls": [{"id": "t1", "function": {"name": "ls", "arguments": '{"path":"."}'}}]},
    {"role": "tool", "tool_call_id": "t1", "content": "x"},
]
TOOL = {"function": {"name": "ls", "description": "d", "parameters": {"properties": {"path": {"type": "string"}}}}}


def built(body: dict[str, Any]) -> Any:
    [ask] = OpenAIChat().session().receive(json.dumps(body).encode())
    assert isinstance(ask, ChatAsk)
    return json.loads(Payload(ask.request, model=None, origin="CLI", max_bytes=10**6).body("c", None))


GOOD = built({"model": "auto", "messages": CHAT, "tools": [TOOL]})


def at(body: Any, path: str) -> Any:
    """What stands at a path."""
    for step in path.replace("[", ".").replace("]", "").split("."):
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


def setting(path: str, member: str, value: Any) -> Callable[[Any], Any]:
    return lambda body: at(body, path).update({member: value})


def dropping(path: str, member: str) -> Callable[[Any], Any]:
    return lambda body: at(body, path).pop(member)


def schema(**members: Any) -> Callable[[Any], Any]:
    return lambda body: at(body, f"{SPECIFICATION}.inputSchema.json").update(members)


Spoil = Callable[[Any], Any]
BROKEN: dict[str, tuple[Spoil, int, str]] = {
    "the history ends with the user": (
        lambda body: body["conversationState"]["history"].append(body["conversationState"]["history"][0]),
        1,
        f"{HISTORY}[2]",
    ),
    "the assistant asks": (
        setting("conversationState", "currentMessage", {"assistantResponseMessage": {"content": "a"}}),
        1,
        "conversationState.currentMessage",
    ),
    "the user twice": (
        lambda body: body["conversationState"]["history"].insert(0, body["conversationState"]["history"][0]),
        2,
        f"{HISTORY}[1]",
    ),
    "a blank turn": (
        setting(f"{HISTORY}[0].userInputMessage", "content", " \n"),
        3,
        f"{HISTORY}[0].userInputMessage.content",
    ),
    "no result": (dropping(CONTEXT, "toolResults"), 4, f"{HISTORY}[1].assistantResponseMessage.toolUses"),
    "a strange result": (setting(RESULT, "toolUseId", "t2"), 4, f"{CONTEXT}.toolResults"),
    "a result twice": (
        lambda body: at(body, CONTEXT)["toolResults"].append(at(body, RESULT)),
        4,
        f"{CONTEXT}.toolResults",
    ),
    "an unknown tool": (setting(SPECIFICATION, "name", "cat"), 5, f"{USE}.name"),
    "no specifications": (dropping(CONTEXT, "tools"), 6, USE),
    "a long name": (setting(SPECIFICATION, "name", "x" * 65), 7, f"{SPECIFICATION}.name"),
    "a long id": (setting(USE, "toolUseId", "x" * 65), 7, f"{USE}.toolUseId"),
    "a long property": (schema(properties={"x" * 65: {}}), 7, f"{SPECIFICATION}.inputSchema.json.properties"),
    "a tool twice": (
        lambda body: at(body, CONTEXT)["tools"].append(at(body, f"{CONTEXT}.tools[0]")),
        7,
        f"{CONTEXT}.tools[1].toolSpecification.name",
    ),
    "no description": (setting(SPECIFICATION, "description", ""), 8, f"{SPECIFICATION}.description"),
    "a long description": (setting(SPECIFICATION, "description", "x" * 10_241), 8, f"{SPECIFICATION}.description"),
    "anyOf at the root": (schema(anyOf=[{}]), 9, f"{SPECIFICATION}.inputSchema.json.anyOf"),
    "null for required": (schema(required=None), 9, f"{SPECIFICATION}.inputSchema.json.required"),
    "a history that is no list": (setting("conversationState", "history", "x"), 1, HISTORY),
    "images that are no list": (setting(CURRENT, "images", 7), 11, f"{CURRENT}.images"),
    "results that are no list": (setting(CONTEXT, "toolResults", {}), 4, f"{CONTEXT}.toolResults"),
    "uses that are no list": (
        setting(f"{HISTORY}[1].assistantResponseMessage", "toolUses", {}),
        4,
        f"{HISTORY}[1].assistantResponseMessage.toolUses",
    ),
    "tools that are no list": (setting(CONTEXT, "tools", "x"), 6, f"{CONTEXT}.tools"),
    "a number for an id": (setting("conversationState", "conversationId", 5), 12, "conversationState.conversationId"),
    "an unknown origin": (setting(CURRENT, "origin", "ZZZ"), 12, f"{CURRENT}.origin"),
    "too large": (setting(CURRENT, "content", "x" * 600_001), 10, ""),
    "an image that is another": (
        setting(f"{HISTORY}[0].userInputMessage.images[0]", "format", "png"),
        11,
        f"{HISTORY}[0].userInputMessage.images[0].format",
    ),
    "an image without data": (
        setting(f"{HISTORY}[0].userInputMessage.images[0]", "source", {"bytes": "?"}),
        11,
        f"{HISTORY}[0].userInputMessage.images[0].source.bytes",
    ),
    "a document without a name": (
        setting(CURRENT, "documents", [{"format": "txt", "source": {"bytes": "YQ=="}}]),
        11,
        f"{CURRENT}.documents[0].name",
    ),
    "another trigger": (
        setting("conversationState", "chatTriggerType", "INLINE"),
        12,
        "conversationState.chatTriggerType",
    ),
    "tools in the history": (
        setting(f"{HISTORY}[0].userInputMessage", "userInputMessageContext", {"tools": []}),
        12,
        f"{HISTORY}[0].userInputMessage.userInputMessageContext.tools",
    ),
    "a status that is none": (setting(RESULT, "status", "ok"), 13, f"{RESULT}.status"),
    "input as text": (setting(USE, "input", "{}"), 14, f"{USE}.input"),
    "a profile that is none": (lambda body: body.update(profileArn="arn"), 15, "profileArn"),
    "a text beyond any window": (
        setting(CURRENT, "content", "x" * 10_000_001),
        16,
        f"{CURRENT}.content",
    ),
    "a part that is text and JSON": (
        setting(RESULT, "content", [{"text": "a", "json": {}}]),
        17,
        f"{RESULT}.content[0]",
    ),
    "an empty result": (setting(RESULT, "content", [{"text": ""}]), 18, f"{RESULT}.content"),
    "no content": (dropping(CURRENT, "content"), 19, f"{CURRENT}.content"),
    "a system role": (
        lambda body: body["conversationState"]["history"][0].update(systemMessage={"content": "a"}),
        20,
        f"{HISTORY}[0]",
    ),
}


def test_the_rules_are_numbered_from_1_to_20() -> None:
    assert [rule.number for rule in RULES] == list(range(1, 21))
    assert {number for _, number, _ in BROKEN.values()} == {*range(1, 21)}


def test_a_good_payload_breaks_none() -> None:
    assert broken(GOOD) == []


@pytest.mark.parametrize("case", BROKEN)
def test_each_rule_names_the_place(case: str) -> None:
    spoil, number, path = BROKEN[case]
    body = copy.deepcopy(GOOD)
    spoil(body)
    found = broken(body)
    assert (number, path) in [(one.rule, one.path) for one in found]
    assert all(isinstance(one, Broken) and one.reason for one in found)


@given(json_values)
def test_any_json_can_be_looked_at(value: Any) -> None:
    assert broken(value)
    assert broken({"conversationState": value})
    assert broken({"conversationState": {"history": [value, {"userInputMessage": value}], "currentMessage": value}})


@given(bodies())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_a_client_asks_the_payload_keeps_all_rules(body: dict[str, Any]) -> None:
    """By our own rules, and by the emulator's, which share no line with them."""
    [ask] = OpenAIChat().session().receive(json.dumps(body).encode())
    try:
        made = built(body)
    except InvalidRequest as error:
        assert error.param == "messages"
        assert not any(message.role != "system" or message.text.strip() for message in ask.request.messages)
        return
    assert broken(made) == []
    check_request(made, Settings(overflow_threshold=10**9))
    whole = json.dumps(made, ensure_ascii=False)
    for message in ask.request.messages:
        texts = [
            part.text for part in message.parts if isinstance(part, TextPart | ToolResultPart) and part.text.strip()
        ]
        assert all(json.dumps(text, ensure_ascii=False)[1:-1] in whole for text in texts)
    parts = [part for message in ask.request.messages for part in message.parts]
    assert images(made) == [part.data for part in parts if isinstance(part, ImagePart)]


def images(body: Any) -> list[bytes]:
    """All of them, in the order of the turns."""
    state = body["conversationState"]
    users = [entry.get("userInputMessage", {}) for entry in [*state.get("history", []), state["currentMessage"]]]
    return [base64.b64decode(image["source"]["bytes"]) for user in users for image in user.get("images", [])]
