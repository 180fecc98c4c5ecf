"""Are the messages of a chat ones that OpenAI would take: roles, parts, and an answer to every call?

In: the list. Out: nothing, or a Rejected raised. Refuses to know the parameters around it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from cw_proxy.emulator.loose import Object, as_list, as_object, as_text
from cw_proxy.emulator.openai.refusal import invalid

_MEMBERS: Mapping[str, set[str]] = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls", "refusal"},
    "tool": {"role", "content", "tool_call_id"},
}
_PARTS: Mapping[str, set[str]] = {
    "system": {"text"},
    "developer": {"text"},
    "user": {"text", "image_url", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
}
_DATA_URL = re.compile(r"data:([\w/.+-]+);base64,(.*)\Z", re.DOTALL)
_STARTS = {
    "image/png": b"\x89PNG",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}


def check_messages(messages: list[Any]) -> None:
    open_calls: set[str] = set()
    for at, message in enumerate(map(as_object, messages)):
        path = f"messages[{at}]"
        role = _role(message, path)
        if role == "tool":
            _check_result(message, open_calls, path)
        elif open_calls:
            raise _unanswered(open_calls, path)
        _check_content(message, role, path)
        if role == "assistant":
            open_calls = _calls(message, path)
    if open_calls:
        raise _unanswered(open_calls, f"messages[{len(messages) - 1}]")


def _role(message: Object, path: str) -> str:
    role = as_text(message.get("role"))
    if role not in _MEMBERS:
        raise invalid(f"Invalid value: {role!r}. Supported values are: {', '.join(_MEMBERS)}.", f"{path}.role")
    for name in message:
        if name not in _MEMBERS[role]:
            raise invalid(f"Unknown parameter: '{path}.{name}'.", f"{path}.{name}", "unknown_parameter")
    return role


def _unanswered(calls: set[str], path: str) -> Exception:
    return invalid(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(calls))}",
        path,
    )


def _check_result(message: Object, open_calls: set[str], path: str) -> None:
    identity = message.get("tool_call_id")
    if identity not in open_calls:
        raise invalid(
            "messages with role 'tool' must be a response to a preceding message with 'tool_calls'.", f"{path}.role"
        )
    open_calls.discard(as_text(identity))


def _calls(message: Object, path: str) -> set[str]:
    calls = message.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and calls):
        raise invalid("[] is too short.", f"{path}.tool_calls")
    ids = [_call(as_object(call), f"{path}.tool_calls[{at}]") for at, call in enumerate(as_list(calls))]
    if len(set(ids)) != len(ids):
        raise invalid("Two calls have the same id.", f"{path}.tool_calls")
    return set(ids)


def _call(call: Object, path: str) -> str:
    function, identity = as_object(call.get("function")), call.get("id")
    if not isinstance(identity, str) or not 1 <= len(identity) <= 64 or call.get("type") != "function":
        raise invalid("This is no call of a function.", path)
    if not re.match(r"[a-zA-Z0-9_-]{1,64}\Z", as_text(function.get("name"))):
        raise invalid("This is no name of a function.", f"{path}.function.name")
    try:
        arguments = json.loads(function.get("arguments", ""))
    except (ValueError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise invalid("The arguments are not a JSON object.", f"{path}.function.arguments")
    return identity


def _check_content(message: Object, role: str, path: str) -> None:
    content = message.get("content")
    if content is None:
        if role != "assistant" or not message.get("tool_calls"):
            raise invalid("Invalid value for 'content': expected a string, got null.", f"{path}.content")
    elif isinstance(content, list) and content:
        for at, part in enumerate(map(as_object, content)):
            _check_part(part, role, f"{path}.content[{at}]")
    elif not isinstance(content, str):
        raise invalid("Invalid type for 'content'.", f"{path}.content")


def _check_part(part: Object, role: str, path: str) -> None:
    kind = part.get("type")
    if kind not in _PARTS[role]:
        raise invalid(f"Invalid value: {kind!r}.", f"{path}.type")
    if kind == "image_url":
        _check_picture(as_text(as_object(part.get("image_url")).get("url")), f"{path}.image_url.url")
    elif kind == "file":
        file = as_object(part.get("file"))
        if not as_text(file.get("filename")) or _data(as_text(file.get("file_data"))) is None:
            raise invalid("The file has no name or no data.", f"{path}.file")
    elif not isinstance(part.get(kind), str):
        raise invalid("The text is missing.", f"{path}.{kind}")


def _check_picture(url: str, path: str) -> None:
    if url.startswith(("https://", "http://")):
        return
    media_type, data = _data(url) or ("", b"")
    if media_type not in _STARTS or not data.startswith(_STARTS[media_type]):
        raise invalid("You uploaded an unsupported image.", path, "invalid_image_format")


def _data(url: str) -> tuple[str, bytes] | None:
    found = _DATA_URL.match(url)
    try:
        return (found[1], base64.b64decode(found[2], validate=True)) if found else None
    except (binascii.Error, ValueError):
        return None
