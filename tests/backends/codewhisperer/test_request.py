"""Any chat goes in; a payload that the service takes, with everything the client said, comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from strategies import chats, request, say

from cw_proxy.backends.codewhisperer.request import Payload
from cw_proxy.errors import ContextLengthExceeded
from cw_proxy.interfaces import ModelInfo
from cw_proxy.model import (
    DocumentPart,
    ImagePart,
    Message,
    Request,
    TextPart,
    Tool,
    ToolResultPart,
    ToolUsePart,
)

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


def sent(asked: Request, *, max_bytes: int = 10**6, model: ModelInfo | None = None, profile: str | None = None) -> Any:
    return json.loads(Payload(asked, model=model, origin="CLI", max_bytes=max_bytes).body("c-1", profile))


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
                if message.role in roles and part.text.strip():
                    found = whole.find(part.text, at)
                    assert found >= 0, "lost, or out of order"
                    at = found + len(part.text)


def test_the_whole_body() -> None:
    chat = request(say("user", "a"), say("assistant", "b"), say("user", "c"))
    assert sent(chat, model=ModelInfo("claude-x"), profile="arn") == {
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
    size = len(Payload(chat, model=None, origin="CLI", max_bytes=10**6).body("c", None))
    assert Payload(chat, model=None, origin="CLI", max_bytes=size).body("c", None)
    with pytest.raises(ContextLengthExceeded) as raised:
        Payload(chat, model=None, origin="CLI", max_bytes=size - 1).body("c", None)
    assert raised.value.message == (
        f"The request is {size} bytes long; at most {size - 1} are sent. Largest parts: "
        "messages[1] (900 characters), messages[2] (200 characters), messages[0] (10 characters)."
    )


def test_the_cap_counts_bytes() -> None:
    assert sent(request(say("user", "a" * 600)), max_bytes=1000)
    with pytest.raises(ContextLengthExceeded):
        sent(request(say("user", "漢" * 600)), max_bytes=1000)


def test_tools_images_and_documents_have_their_places() -> None:
    image, document = ImagePart("png", b"\x89PNG"), DocumentPart("a", "txt", b"text")
    chat = request(
        Message("user", (TextPart("a"), image)),
        Message("assistant", (ToolUsePart("t1", "ls", {"path": "."}),)),
        Message("user", (ToolResultPart("t1", "x", is_error=True), document)),
        tools=(Tool("ls", "Lists.", {"type": "object", "properties": {"path": {"type": "string"}}}),),
    )
    state = sent(chat, model=ModelInfo("m"))["conversationState"]
    assert state["history"] == [
        {
            "userInputMessage": {
                "content": "a",
                "origin": "CLI",
                "images": [{"format": "png", "source": {"bytes": "iVBORw=="}}],
            }
        },
        {
            "assistantResponseMessage": {
                "content": ".",
                "toolUses": [{"toolUseId": "t1", "name": "ls", "input": {"path": "."}}],
            }
        },
    ]
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    assert state["currentMessage"]["userInputMessage"] == {
        "content": "",
        "origin": "CLI",
        "modelId": "m",
        "documents": [{"name": "a", "format": "txt", "source": {"bytes": "dGV4dA=="}}],
        "userInputMessageContext": {
            "toolResults": [{"toolUseId": "t1", "content": [{"text": "x"}], "status": "error"}],
            "tools": [{"toolSpecification": {"name": "ls", "description": "Lists.", "inputSchema": {"json": schema}}}],
        },
    }


def test_tools_and_images_count_among_the_largest_parts() -> None:
    chat = request(Message("user", (ImagePart("png", b"x" * 900),)), tools=(Tool("a", "d" * 2000, {}),))
    with pytest.raises(ContextLengthExceeded) as raised:
        sent(chat, max_bytes=100)
    assert raised.value.message.endswith("Largest parts: tools[0] (2002 characters), messages[0] (1200 characters).")
