"""The rules on the order of turns and on the fields of a message (rules 1 to 3, 10 to 12, 15, 16, 19, 20).

In: a payload's JSON, of any shape. Out: paths and reasons. Refuses to know tools.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

Json = Any
Breach = tuple[str, str]  # JSON path, reason

USER, ASSISTANT = "userInputMessage", "assistantResponseMessage"
MOST_BYTES = 600_000
_MOST_TEXT = 10_000_000
_STATE = "conversationState"
_PROFILE = re.compile(r"arn:aws[a-z-]*:(codewhisperer|transform):[a-z0-9-]+:\d{12}:profile/[A-Za-z0-9]{12}")
_MODEL = re.compile(r"[a-zA-Z0-9_:.-]{1,1024}")
_STARTS = {
    "png": (b"\x89PNG",),
    "jpeg": (b"\xff\xd8\xff",),
    "gif": (b"GIF8",),
    "webp": (b"RIFF",),
}
# upstream.md §1.3, Origin
ORIGINS = frozenset(
    [
        "AI_EDITOR",
        "CHATBOT",
        "CLI",
        "CONSOLE",
        "DOCUMENTATION",
        "GITLAB",
        "IDE",
        "INLINE_CHAT",
        "KIRO_CLI",
        "KIRO_WEB",
        "MARKETING",
        "MD",
        "MD_CE",
        "MD_IDE",
        "MOBILE",
        "OPENSEARCH_DASHBOARD",
        "Q_DEV_BEXT",
        "SAGE_MAKER",
        "SERVICE_INTERNAL",
        "SM_AI_STUDIO_IDE",
        "UNIFIED_SEARCH",
        "UNKNOWN",
    ]
)
_DOCUMENTS = ("csv", "doc", "docx", "html", "md", "pdf", "txt", "xls", "xlsx")


def fields(value: Json) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def items(value: Json) -> list[Any]:
    return value if isinstance(value, list) else []


def numbered(value: Json, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    for at, item in enumerate(items(value)):
        yield fields(item), f"{path}[{at}]"


def listed(owner: dict[str, Any], path: str, *names: str) -> Iterator[Breach]:
    """Members that are lists, where they are there."""
    for name in names:
        if not isinstance(owner.get(name, []), list):
            yield f"{path}.{name}", "not a list"


def entries(payload: Json) -> list[tuple[dict[str, Any], str]]:
    """History and current message, each with its path."""
    state = fields(fields(payload).get(_STATE))
    history = list(numbered(state.get("history"), f"{_STATE}.history"))
    return [*history, (fields(state.get("currentMessage")), f"{_STATE}.currentMessage")]


def messages(payload: Json, kind: str) -> Iterator[tuple[dict[str, Any], str]]:
    for entry, path in entries(payload):
        if isinstance(entry.get(kind), dict):
            yield entry[kind], f"{path}.{kind}"


def context(message: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    return fields(message.get("userInputMessageContext")), f"{path}.userInputMessageContext"


def order(payload: Json) -> Iterator[Breach]:
    *history, (current, path) = entries(payload)
    yield from listed(fields(fields(payload).get(_STATE)), _STATE, "history")
    if USER not in current:
        yield path, "the current message is not the user's"
    if history and USER not in history[0][0]:
        yield history[0][1], "the history does not begin with the user"
    if history and ASSISTANT not in history[-1][0]:
        yield history[-1][1], "the history does not end with the assistant"


def merged(payload: Json) -> Iterator[Breach]:
    history = entries(payload)[:-1]
    for (before, _), (entry, path) in pairwise(history):
        for kind in (USER, ASSISTANT):
            if kind in before and kind in entry:
                yield path, "the turn before is of the same role"


def not_blank(payload: Json) -> Iterator[Breach]:
    for kind in (USER, ASSISTANT):
        for message, path in messages(payload, kind):
            beside = context(message, path)[0].get("toolResults")
            content = message.get("content")
            if isinstance(content, str) and not content.strip() and not beside:
                yield f"{path}.content", "blank"


def size(payload: Json, most: int = MOST_BYTES) -> Iterator[Breach]:
    # Python's writer takes half a surrogate pair, which a payload from a file may hold.
    length = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    if length > most:
        yield "", f"{length} bytes, more than {most}"


def media(payload: Json) -> Iterator[Breach]:
    for message, path in messages(payload, ASSISTANT):
        yield from ((f"{path}.{name}", "only users send these") for name in ("images", "documents") if name in message)
    for message, path in messages(payload, USER):
        yield from listed(message, path, "images", "documents")
        if len(items(message.get("images"))) > 10:
            yield f"{path}.images", "more than 10 images"
        for image, where in numbered(message.get("images"), f"{path}.images"):
            yield from _image(image, where)
        yield from _documents(message, f"{path}.documents")


def _image(image: dict[str, Any], path: str) -> Iterator[Breach]:
    starts = _STARTS.get(str(image.get("format")))
    if starts is None:
        yield f"{path}.format", "not png, jpeg, gif or webp"
        return
    data = _bytes(image)
    if not data:
        yield f"{path}.source.bytes", "not base64, or nothing"
    elif not data.startswith(starts):
        yield f"{path}.format", "not what the bytes are"


def _documents(message: dict[str, Any], path: str) -> Iterator[Breach]:
    names: set[str] = set()
    for document, where in numbered(message.get("documents"), path):
        if document.get("format") not in _DOCUMENTS:
            yield f"{where}.format", "not a known format"
        if not _bytes(document):
            yield f"{where}.source.bytes", "not base64, or nothing"
        name = str(document.get("name") or "")
        if not name or name in names:
            yield f"{where}.name", "missing, or the name of another"
        names.add(name)


def _bytes(owner: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(str(fields(owner.get("source")).get("bytes") or ""), validate=True)
    except (binascii.Error, ValueError):
        return b""


def state(payload: Json) -> Iterator[Breach]:
    said = fields(fields(payload).get(_STATE))
    if said.get("chatTriggerType") != "MANUAL":
        yield f"{_STATE}.chatTriggerType", "not MANUAL"
    if not isinstance(said.get("conversationId", "x"), str) or not 1 <= len(said.get("conversationId", "x")) <= 128:
        yield f"{_STATE}.conversationId", "not a text of 1 to 128 characters"
    for message, where in messages(payload, USER):
        if message.get("origin", "CLI") not in ORIGINS:
            yield f"{where}.origin", "not one of the service's origins"
    *history, (current, path) = entries(payload)
    for entry, where in history:
        message = fields(entry.get(USER))
        if "modelId" in message:
            yield f"{where}.{USER}.modelId", "only the current message names the model"
        if "tools" in (found := context(message, f"{where}.{USER}"))[0]:
            yield f"{found[1]}.tools", "only the current message carries tools"
    model = fields(current.get(USER)).get("modelId", "auto")
    if not isinstance(model, str) or not _MODEL.fullmatch(model):
        yield f"{path}.{USER}.modelId", "not the id of a model"


def profile(payload: Json) -> Iterator[Breach]:
    arn = fields(payload).get("profileArn")
    if arn is not None and not (isinstance(arn, str) and _PROFILE.fullmatch(arn)):
        yield "profileArn", "not the ARN of a profile"


def lengths(payload: Json) -> Iterator[Breach]:
    for kind in (USER, ASSISTANT):
        for message, path in messages(payload, kind):
            if isinstance(message.get("content"), str) and len(message["content"]) > _MOST_TEXT:
                yield f"{path}.content", f"more than {_MOST_TEXT} characters"


def texts(payload: Json) -> Iterator[Breach]:
    for kind in (USER, ASSISTANT):
        for message, path in messages(payload, kind):
            if not isinstance(message.get("content"), str):
                yield f"{path}.content", "not a text"


def roles(payload: Json) -> Iterator[Breach]:
    for entry, path in entries(payload):
        known = [kind for kind in (USER, ASSISTANT) if isinstance(entry.get(kind), dict)]
        if len(known) != 1 or len(entry) != 1:
            yield path, f"not exactly one of {USER} and {ASSISTANT}"
