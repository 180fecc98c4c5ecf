"""A Request → the body of GenerateAssistantResponse (upstream.md §1.3; the rules are conversion.md's, by number).

In: a Request, the conversation's id, settings. Out: JSON bytes. Refuses to know hosts and tokens.

The service has no system role and wants strict alternation, user first, assistant last, a current user message
beside the history. Nothing the client said is dropped on the way there.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import msgspec

from cw_proxy.errors import ContextLengthExceeded, InvalidRequest
from cw_proxy.model import Message, Request

# Rule 20: the same from turn to turn, so that a cache of prefixes can work.
ACKNOWLEDGEMENT = "Understood. I will follow these instructions."
# Rule 3: where a turn has no text and the service wants some.
NO_TEXT = "(no text)"
# The chat ends with the assistant's words: the service must be asked something.
CONTINUE = "Continue."
_BETWEEN_TURNS = "\n\n"

Turn = tuple[str, str]  # role (user, assistant), text


def payload(
    request: Request,
    *,
    model: str | None,
    conversation_id: str,
    origin: str,
    profile_arn: str | None,
    max_bytes: int,
) -> bytes:
    """Raises ContextLengthExceeded when the body would pass `max_bytes`: nothing is trimmed silently (rule 10)."""
    *history, (_, current) = turns(request)
    state: dict[str, Any] = {
        "conversationId": conversation_id,
        "chatTriggerType": "MANUAL",
        "currentMessage": {"userInputMessage": _user(current, origin, model)},
    }
    if history:
        state["history"] = [_entry(role, text, origin) for role, text in history]
    body: dict[str, Any] = {"conversationState": state}
    if profile_arn:
        body["profileArn"] = profile_arn
    encoded = msgspec.json.encode(body)
    if len(encoded) > max_bytes:
        raise ContextLengthExceeded(_too_long(len(encoded), max_bytes, request))
    return encoded


def turns(request: Request) -> list[Turn]:
    """Alternating turns, the first and the last the user's (rules 1, 2, 3, 20)."""
    system = _BETWEEN_TURNS.join(message.text for message in request.messages if message.role == "system")
    chat = _merged([message for message in request.messages if message.role != "system"])
    if not chat:
        if not system.strip():
            raise InvalidRequest("There is nothing to answer: no message has any text.", param="messages")
        return [("user", system)]
    if chat[0][0] == "assistant":
        chat.insert(0, ("user", NO_TEXT))
    if chat[-1][0] == "assistant":
        chat.append(("user", CONTINUE))
    if system.strip():
        return [("user", system), ("assistant", ACKNOWLEDGEMENT), *chat]
    return chat


def _merged(messages: list[Message]) -> list[Turn]:
    """Adjacent turns of one role become one, a blank line between their texts."""
    merged: list[Turn] = []
    for role, run in groupby(messages, key=lambda message: message.role):
        text = _BETWEEN_TURNS.join(message.text for message in run if message.text)
        merged.append((role, text if text.strip() else NO_TEXT))
    return merged


def _entry(role: str, text: str, origin: str) -> dict[str, Any]:
    if role == "assistant":
        return {"assistantResponseMessage": {"content": text}}
    return {"userInputMessage": _user(text, origin, None)}


def _user(text: str, origin: str, model: str | None) -> dict[str, Any]:
    message = {"content": text, "origin": origin}
    if model is not None:
        message["modelId"] = model
    return message


def _too_long(size: int, cap: int, request: Request) -> str:
    parts = sorted(
        ((len(message.text), f"messages[{at}]") for at, message in enumerate(request.messages)), reverse=True
    )
    largest = ", ".join(f"{name} ({length} characters)" for length, name in parts[:3])
    return f"The request is {size} bytes long; at most {cap} are sent. Largest parts: {largest}."
