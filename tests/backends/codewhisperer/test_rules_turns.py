"""The rules on turns where the table of test_rules.py does not reach."""

from __future__ import annotations

from typing import get_args

from cw_proxy.backends.codewhisperer import rules_turns
from cw_proxy.backends.codewhisperer.rules_turns import ORIGINS
from cw_proxy.config import Origin


def test_every_message_has_its_path() -> None:
    payload = {"conversationState": {"history": [{"userInputMessage": {}}], "currentMessage": {"userInputMessage": {}}}}
    assert [path for _, path in rules_turns.messages(payload, "userInputMessage")] == [
        "conversationState.history[0].userInputMessage",
        "conversationState.currentMessage.userInputMessage",
    ]


def test_more_than_ten_images() -> None:
    image = {"format": "gif", "source": {"bytes": "R0lGODlhIQ=="}}
    payload = {"conversationState": {"currentMessage": {"userInputMessage": {"content": "a", "images": [image] * 11}}}}
    [(path, _)] = rules_turns.media(payload)
    assert path == "conversationState.currentMessage.userInputMessage.images"


def test_the_origins_are_those_of_the_setting() -> None:
    assert set(get_args(Origin)) == ORIGINS
