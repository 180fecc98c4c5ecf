"""The rules on tools where the table of test_rules.py does not reach."""

from __future__ import annotations

from typing import Any

from cw_proxy.backends.codewhisperer import rules_tools


def chat(*entries: Any) -> Any:
    *history, current = entries
    return {"conversationState": {"history": history, "currentMessage": current}}


def user(*ids: str) -> Any:
    results = [{"toolUseId": identity} for identity in ids]
    return {"userInputMessage": {"content": "a", "userInputMessageContext": {"toolResults": results}}}


def assistant(*ids: str) -> Any:
    return {"assistantResponseMessage": {"content": "a", "toolUses": [{"toolUseId": one} for one in ids]}}


def test_uses_and_results_belong_together() -> None:
    assert not list(rules_tools.answered(chat(user(), assistant("1", "2"), user("2", "1"))))
    assert len(list(rules_tools.answered(chat(user(), assistant("1", "2"), user("2"))))) == 1
    assert len(list(rules_tools.answered(chat(user("1"), assistant(), user())))) == 1
    assert len(list(rules_tools.answered(chat(user(), assistant("1", "1"), user("1", "1"))))) == 1
    assert len(list(rules_tools.answered(chat(user(), assistant("1"), assistant(), user("1"))))) == 2
