"""A Request → the body of GenerateAssistantResponse (upstream.md §1.3; the rules are conversion.md's, by number).

In: a Request, the conversation's id, settings. Out: JSON bytes. Refuses to know hosts and tokens.

The service has no system role and wants strict alternation, user first, assistant last, a current user message
beside the history. Nothing the client said is dropped on the way there.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from cw_proxy.backends.codewhisperer.model_fields import model_fields
from cw_proxy.backends.codewhisperer.offer import Naming, Offer, naming, offer
from cw_proxy.backends.codewhisperer.turns import Turn, turns
from cw_proxy.backends.codewhisperer.wishes import wishes
from cw_proxy.errors import ContextLengthExceeded
from cw_proxy.interfaces import ModelInfo
from cw_proxy.model import Request, ToolResultPart, message_weight, tool_weight, weight

_json = msgspec.json.Encoder().encode
# A request that weighs so many times what the service takes is refused before it is translated.
_FAR = 4


class Payload:
    """What every call that asks a request has in common. `names` leads the service's names back to the client's."""

    def __init__(self, request: Request, *, model: ModelInfo | None, origin: str, max_bytes: int) -> None:
        if weight(request) > _FAR * max_bytes:
            # No renaming and repairing could make it fit: do not even begin.
            raise _too_long(weight(request), max_bytes, request)
        self.names = naming(request)
        offered = offer(request, self.names)
        *history, current = turns(request, offered.instructions)
        current = _with(current, wishes(request, self.names))
        state: dict[str, Any] = {
            "chatTriggerType": "MANUAL",  # rule 12
            "currentMessage": {"userInputMessage": _current(current, origin, model.id if model else None, offered)},
        }
        if history:
            state["history"] = [_entry(turn, origin, self.names) for turn in history]
        fields = model_fields(request, model.fields) if model else {}
        self._state = _json(state)[1:-1]
        self._fields = b',"additionalModelRequestFields":' + _json(fields) if fields else b""
        self._request = request
        self._max_bytes = max_bytes

    def body(self, conversation_id: str, profile_arn: str | None) -> bytes:
        """JSON. The state is written once, however many calls there are: only two members differ. Raises
        ContextLengthExceeded when it would pass `max_bytes`: nothing is trimmed silently (rule 10)."""
        profile = b',"profileArn":' + _json(profile_arn) if profile_arn else b""
        state = b'{"conversationState":{"conversationId":' + _json(conversation_id) + b"," + self._state + b"}"
        body = state + self._fields + profile + b"}"
        if len(body) > self._max_bytes:
            raise _too_long(len(body), self._max_bytes, self._request)
        return body


def _with(turn: Turn, texts: list[str]) -> Turn:
    """Rule 17: joined, never glued."""
    said = [turn.text] if turn.text else []
    return msgspec.structs.replace(turn, text="\n\n".join([*said, *texts])) if texts else turn


def _current(turn: Turn, origin: str, model: str | None, offered: Offer) -> dict[str, Any]:
    """The only message that names the model and carries tools."""
    message = _user(turn, origin)
    if model is not None:
        message["modelId"] = model
    if offered.specifications:
        message.setdefault("userInputMessageContext", {})["tools"] = offered.specifications
    return message


def _entry(turn: Turn, origin: str, names: Naming) -> dict[str, Any]:
    if turn.role == "user":
        return {"userInputMessage": _user(turn, origin)}
    message: dict[str, Any] = {"content": turn.text}
    if turn.uses:
        message["toolUses"] = [names.use(use) for use in turn.uses]
    return {"assistantResponseMessage": message}


def _user(turn: Turn, origin: str) -> dict[str, Any]:
    message: dict[str, Any] = {"content": turn.text, "origin": origin}
    if turn.images:
        message["images"] = [{"format": image.format, "source": _source(image.data)} for image in turn.images]
    if turn.documents:
        message["documents"] = [
            {"name": document.name, "format": document.format, "source": _source(document.data)}
            for document in turn.documents
        ]
    if turn.results:
        message["userInputMessageContext"] = {"toolResults": [_result(result) for result in turn.results]}
    return message


def _source(data: bytes) -> dict[str, str]:
    return {"bytes": base64.b64encode(data).decode()}


def _result(result: ToolResultPart) -> dict[str, Any]:
    status = "error" if result.is_error else "success"  # rule 13
    return {"toolUseId": result.tool_use_id, "content": [{"text": result.text}], "status": status}


def _too_long(size: int, cap: int, request: Request) -> ContextLengthExceeded:
    sizes = [
        *((message_weight(message), f"messages[{at}]") for at, message in enumerate(request.messages)),
        *((tool_weight(tool), f"tools[{at}]") for at, tool in enumerate(request.tools)),
    ]
    largest = ", ".join(f"{name} ({length} characters)" for length, name in sorted(sizes, reverse=True)[:3])
    return ContextLengthExceeded(f"The request is {size} bytes long; at most {cap} are sent. Largest parts: {largest}.")
