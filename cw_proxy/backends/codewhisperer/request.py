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
from cw_proxy.model import DocumentPart, ImageLink, ImagePart, Part, Request, TextPart, ToolResultPart, ToolUsePart

_json = msgspec.json.Encoder().encode


def payload(
    request: Request,
    *,
    model: ModelInfo | None,
    conversation_id: str,
    origin: str,
    profile_arn: str | None,
    max_bytes: int,
) -> bytes:
    """Raises ContextLengthExceeded when the body would pass `max_bytes`: nothing is trimmed silently (rule 10)."""
    names = naming(request)
    offered = offer(request, names)
    *history, current = turns(request, offered.instructions)
    current = _with(current, wishes(request, names))
    state: dict[str, Any] = {
        "conversationId": conversation_id,
        "chatTriggerType": "MANUAL",  # rule 12
        "currentMessage": {"userInputMessage": _current(current, origin, model.id if model else None, offered)},
    }
    if history:
        state["history"] = [_entry(turn, origin, names) for turn in history]
    body: dict[str, Any] = {"conversationState": state}
    if profile_arn:
        body["profileArn"] = profile_arn
    if model and (fields := model_fields(request, model.fields)):
        body["additionalModelRequestFields"] = fields
    encoded = _json(body)
    if len(encoded) > max_bytes:
        raise ContextLengthExceeded(_too_long(len(encoded), max_bytes, request))
    return encoded


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


def _too_long(size: int, cap: int, request: Request) -> str:
    sizes = [
        *((sum(map(_size, message.parts)), f"messages[{at}]") for at, message in enumerate(request.messages)),
        *((len(tool.description) + len(_json(tool.schema)), f"tools[{at}]") for at, tool in enumerate(request.tools)),
    ]
    largest = ", ".join(f"{name} ({length} characters)" for length, name in sorted(sizes, reverse=True)[:3])
    return f"The request is {size} bytes long; at most {cap} are sent. Largest parts: {largest}."


def _size(part: Part) -> int:
    match part:
        case TextPart() | ToolResultPart():
            return len(part.text)
        case ImagePart() | DocumentPart():
            return -(-len(part.data) // 3) * 4  # as base64
        case ImageLink():
            return len(part.url)
        case ToolUsePart():
            return len(_json(part.input))
