"""Any chat goes in; a payload that the service takes, with everything the client said, comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from strategies import chats, request, say, texts

from cw_proxy.backends.codewhisperer.request import ACKNOWLEDGEMENT, CONTINUE, NO_TEXT, Turn, payload, turns
from cw_proxy.errors import ContextLengthExceeded, InvalidRequest
from cw_proxy.model import Message, Request

# --- the service's rules (upstream.md §1.6), written down a second time ---


def broken_rules(body: Any) -> list[str]:
    """What the service would refuse in this payload."""
    state = body["conversationState"]
    history = state.get("history", [])
    current = state["currentMessage"]
    wrong = [f"{at} is not a {side}" for at, entry in enumerate(history) if [side := _side(at)] != [*entry]]
    if len(history) % 2:
        wrong.append("the history does not end with the assistant")
    if [*current] != ["userInputMessage"]:
        wrong.append("the current message is not the user's")
    users = [entry["userInputMessage"] for entry in [*history, current] if "userInputMessage" in entry]
    wrong += ["blank content" for user in users if not user["content"].strip()]
    wrong += ["no origin" for user in users if user["origin"] != "CLI"]
    if state["chatTriggerType"] != "MANUAL" or not 1 <= len(state["conversationId"]) <= 128:
        wrong.append("not a conversation")
    return wrong


def _side(at: int) -> str:
    return "assistantResponseMessage" if at % 2 else "userInputMessage"


def contents(body: Any) -> list[str]:
    state = body["conversationState"]
    return [next(iter(entry.values()))["content"] for entry in [*state.get("history", []), state["currentMessage"]]]


def sent(asked: Request, *, max_bytes: int = 10**6, model: str | None = None, profile: str | None = None) -> Any:
    return json.loads(
        payload(asked, model=model, conversation_id="c-1", origin="CLI", profile_arn=profile, max_bytes=max_bytes)
    )


def has_text(asked: Request) -> bool:
    return any(message.role != "system" or message.text.strip() for message in asked.messages)


def test_the_rules_above_find_what_they_are_for() -> None:
    good = sent(request(say("user", "a"), say("assistant", "b"), say("user", "c")))
    assert broken_rules(good) == []
    for spoil in [
        lambda state: state["history"].pop(),
        lambda state: state["history"].reverse(),
        lambda state: state["history"].insert(0, state["history"][0]),
        lambda state: state["currentMessage"]["userInputMessage"].update(content=" \n"),
        lambda state: state.update(currentMessage={"assistantResponseMessage": {"content": "x"}}),
        lambda state: state.update(conversationId=""),
    ]:
        bad = json.loads(json.dumps(good))
        spoil(bad["conversationState"])
        assert broken_rules(bad)


@given(chats.filter(has_text))
def test_every_payload_keeps_the_rules_and_all_that_was_said(asked: Request) -> None:
    body = sent(asked)
    assert broken_rules(body) == []
    whole = "\n".join(contents(body))
    for roles in (("system",), ("user", "assistant")):
        at = 0
        for message in asked.messages:
            for part in message.parts:
                if message.role in roles and part.text.strip():  # type: ignore[union-attr]
                    found = whole.find(part.text, at)  # type: ignore[union-attr]
                    assert found >= 0, "lost, or out of order"
                    at = found + len(part.text)  # type: ignore[union-attr]


@given(chats)
def test_nothing_to_say_is_refused_and_everything_else_is_not(asked: Request) -> None:
    if has_text(asked):
        assert turns(asked)
        return
    with pytest.raises(InvalidRequest) as raised:
        turns(asked)
    assert raised.value.param == "messages"


USER, ASSISTANT = "user", "assistant"
SYSTEM = [(USER, "be brief"), (ASSISTANT, ACKNOWLEDGEMENT)]
SHAPES: dict[str, tuple[list[Message], list[Turn]]] = {
    "one question": ([say("user", "a")], [(USER, "a")]),
    "a system text": ([say("system", "be brief"), say("user", "a")], [*SYSTEM, (USER, "a")]),
    "two system texts, one late": (
        [say("system", "be"), say("user", "a"), say("assistant", "b"), say("system", "brief"), say("user", "c")],
        [(USER, "be\n\nbrief"), (ASSISTANT, ACKNOWLEDGEMENT), (USER, "a"), (ASSISTANT, "b"), (USER, "c")],
    ),
    "nothing but a system text": ([say("system", "be brief")], [(USER, "be brief")]),
    "a blank system text": ([say("system", " \n"), say("user", "a")], [(USER, "a")]),
    "the assistant first": (
        [say("assistant", "hi"), say("user", "a")],
        [(USER, NO_TEXT), (ASSISTANT, "hi"), (USER, "a")],
    ),
    "the assistant last": (
        [say("user", "a"), say("assistant", "b")],
        [(USER, "a"), (ASSISTANT, "b"), (USER, CONTINUE)],
    ),
    "the assistant alone": ([say("assistant", "b")], [(USER, NO_TEXT), (ASSISTANT, "b"), (USER, CONTINUE)]),
    "a system text and the assistant": (
        [say("system", "be brief"), say("assistant", "b")],
        [*SYSTEM, (USER, NO_TEXT), (ASSISTANT, "b"), (USER, CONTINUE)],
    ),
    "two of the user in a row": ([say("user", "a"), say("user", "b")], [(USER, "a\n\nb")]),
    "two of the user around a system text": (
        [say("user", "a"), say("system", "be brief"), say("user", "b")],
        [*SYSTEM, (USER, "a\n\nb")],
    ),
    "two of the assistant in a row": (
        [say("user", "a"), say("assistant", "b"), say("assistant", ""), say("assistant", "c"), say("user", "d")],
        [(USER, "a"), (ASSISTANT, "b\n\nc"), (USER, "d")],
    ),
    "several parts": ([say("user", "a", "b")], [(USER, "a\n\nb")]),
    "a turn without text": (
        [say("user", ""), say("assistant"), say("user", " ")],
        [(USER, NO_TEXT), (ASSISTANT, NO_TEXT), (USER, NO_TEXT)],
    ),
    "blanks around text stay": ([say("user", "  a\n")], [(USER, "  a\n")]),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes(shape: str) -> None:
    messages, wanted = SHAPES[shape]
    assert turns(request(*messages)) == wanted
    assert broken_rules(sent(request(*messages))) == []


@given(chats.filter(has_text), texts, texts)
def test_a_chat_that_grows_keeps_its_beginning(asked: Request, answer: str, question: str) -> None:
    """What a cache of prefixes needs: every turn but the current one comes back as it was."""
    grown = request(*asked.messages, say("assistant", answer), say("user", question))
    before, after = turns(asked), turns(grown)
    if asked.messages[-1].role == "user":
        assert after[: len(before)] == before
    if len(before) > 1 and before[1] == (ASSISTANT, ACKNOWLEDGEMENT) and has_system(asked):
        assert after[:2] == before[:2]


def has_system(asked: Request) -> bool:
    return any(message.role == "system" and message.text.strip() for message in asked.messages)


def test_the_whole_body() -> None:
    chat = request(say("user", "a"), say("assistant", "b"), say("user", "c"))
    assert sent(chat, model="claude-x", profile="arn") == {
        "conversationState": {
            "conversationId": "c-1",
            "chatTriggerType": "MANUAL",
            "currentMessage": {"userInputMessage": {"content": "c", "origin": "CLI", "modelId": "claude-x"}},
            "history": [
                {"userInputMessage": {"content": "a", "origin": "CLI"}},
                {"assistantResponseMessage": {"content": "b"}},
            ],
        },
        "profileArn": "arn",
    }
    bare = sent(request(say("user", "a")))
    assert "profileArn" not in bare
    assert [*bare["conversationState"]] == ["conversationId", "chatTriggerType", "currentMessage"]


def test_a_body_over_the_cap_names_its_largest_parts() -> None:
    chat = request(say("system", "s" * 10), say("user", "u" * 900), say("assistant", "a" * 200), say("user", "q"))
    size = len(payload(chat, model=None, conversation_id="c", origin="CLI", profile_arn=None, max_bytes=10**6))
    assert payload(chat, model=None, conversation_id="c", origin="CLI", profile_arn=None, max_bytes=size)
    with pytest.raises(ContextLengthExceeded) as raised:
        payload(chat, model=None, conversation_id="c", origin="CLI", profile_arn=None, max_bytes=size - 1)
    assert raised.value.message == (
        f"The request is {size} bytes long; at most {size - 1} are sent. Largest parts: "
        "messages[1] (900 characters), messages[2] (200 characters), messages[0] (10 characters)."
    )


def test_the_cap_counts_bytes() -> None:
    assert sent(request(say("user", "a" * 600)), max_bytes=1000)
    with pytest.raises(ContextLengthExceeded):
        sent(request(say("user", "漢" * 600)), max_bytes=1000)
