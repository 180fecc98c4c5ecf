"""The order of turns, and the fields around them: what the service would refuse, the emulator refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from emulator_client import Body, a_body, a_tool

from cw_proxy.emulator.checks import TOO_LONG, check_request
from cw_proxy.emulator.refusal import Refusal
from cw_proxy.emulator.settings import Settings

USE = {"toolUseId": "t1", "name": "n", "input": {}}
RESULT = {"toolUseId": "t1", "content": [{"text": "r"}], "status": "success"}


def user(content: str = "hi", **context: Any) -> Body:
    return {"userInputMessage": {"content": content, **({"userInputMessageContext": context} if context else {})}}


def assistant(content: str = "yes", **more: Any) -> Body:
    return {"assistantResponseMessage": {"content": content, **more}}


def legal() -> Body:
    """A whole agent's turn, with everything in it that the contract asks for."""
    history = [user("first"), assistant("calling", toolUses=[USE])]
    body = a_body("", history, toolResults=[RESULT], tools=[a_tool("n", city={"type": "string"})])
    body["profileArn"] = "arn:aws:codewhisperer:us-east-1:123456789012:profile/ABCDEFGHIJKL"
    body["conversationState"]["currentMessage"]["userInputMessage"]["origin"] = "CLI"
    return body


def refusal_of(body: Body, **settings: Any) -> Refusal | None:
    try:
        check_request(body, Settings(**settings))
    except Refusal as refusal:
        return refusal
    return None


def test_legal_requests_pass() -> None:
    assert refusal_of(legal()) is None  # its content is blank, beside tool results
    assert refusal_of(a_body("hi")) is None
    assert refusal_of(a_body("hi", [user(), assistant()])) is None


def state(body: Body) -> Body:
    return body["conversationState"]


def current(body: Body) -> Body:
    return state(body)["currentMessage"]["userInputMessage"]


def put(owner: Callable[[Body], Body], name: str, value: Any) -> Callable[[Body], None]:
    return lambda body: owner(body).__setitem__(name, value)


def top(body: Body) -> Body:
    return body


# What is done to the legal request, a word of the detail, the reason.
BROKEN: list[tuple[Callable[[Body], Any], str, str | None]] = [
    (lambda body: body.pop("conversationState"), "conversationState", None),
    (put(top, "profileArn", "arn:aws:iam::1:user"), "profileArn", None),
    (put(top, "additionalModelRequestFields", []), "additionalModelRequestFields", None),
    (lambda body: state(body).pop("currentMessage"), "currentMessage", None),
    (lambda body: state(body).pop("chatTriggerType"), "chatTriggerType", None),
    (put(state, "chatTriggerType", "AUTO"), "chatTriggerType", None),
    (put(state, "conversationId", ""), "conversationId", "INVALID_CONVERSATION_ID"),
    (put(state, "conversationId", "x" * 129), "conversationId", "INVALID_CONVERSATION_ID"),
    (put(state, "workspaceId", "short"), "workspaceId", None),
    (put(state, "agentTaskType", "other"), "agentTaskType", None),
    (put(state, "history", {}), "history", None),
    (put(state, "currentMessage", assistant()), "currentMessage", None),
    (put(state, "currentMessage", {**user(), **assistant()}), "currentMessage", None),
    (lambda body: state(body)["history"].pop(), "ends with", None),
    (lambda body: state(body)["history"].pop(0), "history[0]", None),
    (lambda body: state(body)["history"].insert(1, user()), "history[1]", None),
    (put(state, "history", [user("", toolResults=[RESULT]), assistant()]), "history[0]", "TOOL_USE_RESULT_MISMATCH"),
    (lambda body: current(body)["userInputMessageContext"].pop("toolResults"), "blank", None),
    (lambda body: current(body)["userInputMessageContext"].pop("tools"), "not offered", "TOOL_CONFIG_MISSING"),
    (
        lambda body: state(body)["history"][1]["assistantResponseMessage"].pop("toolUses"),
        "results",
        "TOOL_USE_RESULT_MISMATCH",
    ),
]


@pytest.mark.parametrize(("spoil", "word", "reason"), BROKEN)
def test_broken_requests_are_refused(spoil: Callable[[Body], Any], word: str, reason: str | None) -> None:
    body = copy.deepcopy(legal())
    spoil(body)
    refusal = refusal_of(body)
    assert refusal is not None
    assert (refusal.name, refusal.message) == ("ValidationException", "Improperly formed request.")
    assert refusal.reason == reason
    assert refusal.detail is not None
    assert word in refusal.detail


def test_results_must_be_in_the_message_right_after_the_uses() -> None:
    history = [user(), assistant(toolUses=[USE]), user("no results here"), assistant()]
    refusal = refusal_of(a_body("late", history, toolResults=[RESULT], tools=[a_tool("n")]))
    assert refusal is not None
    assert refusal.reason == "TOOL_USE_RESULT_MISMATCH"


def test_overflow() -> None:
    assert refusal_of(a_body("x" * 101), overflow_threshold=100) is TOO_LONG
    assert refusal_of(a_body("x" * 100), overflow_threshold=100) is None
    assert (TOO_LONG.message, TOO_LONG.reason) == ("Input is too long.", "CONTENT_LENGTH_EXCEEDS_THRESHOLD")
