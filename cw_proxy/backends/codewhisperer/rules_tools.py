"""The rules on tools: specifications, uses, results (rules 4 to 9, 13, 14, 17, 18).

In: a payload's JSON, of any shape. Out: paths and reasons. Refuses to know the rest of a message.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from cw_proxy.backends.codewhisperer.rules_turns import (
    ASSISTANT,
    USER,
    Breach,
    Json,
    context,
    entries,
    fields,
    items,
    listed,
    messages,
    numbered,
)

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,63}")
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_MOST_DESCRIPTION = 10_240

Found = Iterator[tuple[dict[str, Any], str]]


def _specifications(payload: Json) -> Found:
    for message, path in messages(payload, USER):
        said, where = context(message, path)
        for tool, at in numbered(said.get("tools"), f"{where}.tools"):
            if "cachePoint" not in tool:
                yield fields(tool.get("toolSpecification")), f"{at}.toolSpecification"


def _uses(payload: Json) -> Found:
    for message, path in messages(payload, ASSISTANT):
        yield from numbered(message.get("toolUses"), f"{path}.toolUses")


def _results(payload: Json) -> Found:
    for message, path in messages(payload, USER):
        said, where = context(message, path)
        yield from numbered(said.get("toolResults"), f"{where}.toolResults")


def answered(payload: Json) -> Iterator[Breach]:
    for message, path in messages(payload, ASSISTANT):
        yield from listed(message, path, "toolUses")
    for message, path in messages(payload, USER):
        yield from listed(*context(message, path), "toolResults")
    open_ids: list[str] = []
    asked_at = ""
    for entry, path in entries(payload):
        if ASSISTANT in entry:
            yield from _unanswered(open_ids, asked_at)
            asked_at = f"{path}.{ASSISTANT}.toolUses"
            open_ids = _ids(fields(entry[ASSISTANT]).get("toolUses"))
            if len(set(open_ids)) < len(open_ids):
                yield asked_at, "two uses have one id"
        elif USER in entry:
            said, where = context(fields(entry[USER]), f"{path}.{USER}")
            given = Counter(_ids(said.get("toolResults")))
            for name, times in (given - Counter(open_ids)).items():
                reason = "repeated" if name in open_ids else "no use in the turn before"
                yield f"{where}.toolResults", f"{name}: {reason}" if times == 1 else f"{name}: {reason}, {times} times"
            yield from _unanswered([name for name in open_ids if name not in given], asked_at)
            open_ids = []


def _unanswered(names: list[str], path: str) -> Iterator[Breach]:
    return ((path, f"{name}: no result in the next turn") for name in names)


def _ids(said: Json) -> list[str]:
    return [str(fields(item).get("toolUseId")) for item in items(said)]


def known(payload: Json) -> Iterator[Breach]:
    """Compared without regard to case."""
    offered = {str(tool.get("name")).lower() for tool, _ in _specifications(payload)}
    for use, path in _uses(payload):
        if offered and str(use.get("name")).lower() not in offered:
            yield f"{path}.name", "no tool of this name is offered"


def specified(payload: Json) -> Iterator[Breach]:
    for message, path in messages(payload, USER):
        yield from listed(*context(message, path), "tools")
    if not any(True for _ in _specifications(payload)):
        for _, path in [*_uses(payload), *_results(payload)][:1]:
            yield path, "tools in the history, and none are specified"


def named(payload: Json) -> Iterator[Breach]:
    taken: set[str] = set()
    for tool, path in _specifications(payload):
        name = str(tool.get("name"))
        if not _NAME.fullmatch(name):
            yield f"{path}.name", "not up to 64 letters, digits, _ and -, a letter first"
        if name.lower() in taken:
            yield f"{path}.name", "another tool has this name"
        taken.add(name.lower())
        properties = fields(_schema(tool).get("properties"))
        for name in properties:
            if not _PROPERTY.fullmatch(name):
                yield f"{path}.inputSchema.json.properties", f"{name[:80]!r} is not up to 64 letters, digits, _ . and -"
    for use, path in _uses(payload):
        if not _NAME.fullmatch(str(use.get("name"))):
            yield f"{path}.name", "not up to 64 letters, digits, _ and -, a letter first"
    for item, path in [*_uses(payload), *_results(payload)]:
        if not _ID.fullmatch(str(item.get("toolUseId"))):
            yield f"{path}.toolUseId", "not up to 64 letters, digits, _ and -"


def _schema(tool: dict[str, Any]) -> dict[str, Any]:
    return fields(fields(tool.get("inputSchema")).get("json"))


def described(payload: Json) -> Iterator[Breach]:
    for tool, path in _specifications(payload):
        description = tool.get("description")
        if not isinstance(description, str) or not description.strip():
            yield f"{path}.description", "missing or blank"
        elif len(description) > _MOST_DESCRIPTION:
            yield f"{path}.description", f"more than {_MOST_DESCRIPTION} characters"


def schemas(payload: Json) -> Iterator[Breach]:
    for tool, path in _specifications(payload):
        where = f"{path}.inputSchema.json"
        schema = _schema(tool)
        if schema.get("type") != "object":
            yield f"{where}.type", "not object"
        for word in ("oneOf", "anyOf", "allOf", "$ref"):
            if word in schema:
                yield f"{where}.{word}", "not allowed at the root"
        if not isinstance(schema.get("properties", {}), dict):
            yield f"{where}.properties", "not an object"
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            yield f"{where}.required", "not a list of names"


def statuses(payload: Json) -> Iterator[Breach]:
    for result, path in _results(payload):
        if result.get("status") not in ("success", "error"):
            yield f"{path}.status", "not success or error"


def inputs(payload: Json) -> Iterator[Breach]:
    for use, path in _uses(payload):
        if not isinstance(use.get("input"), dict):
            yield f"{path}.input", "not an object"


def blocks(payload: Json) -> Iterator[Breach]:
    for result, path in _results(payload):
        for block, where in numbered(result.get("content"), f"{path}.content"):
            if len([name for name in ("text", "json") if name in block]) != 1:
                yield where, "not one of text and json"


def not_empty(payload: Json) -> Iterator[Breach]:
    for result, path in _results(payload):
        content = items(result.get("content"))
        said = (fields(block) for block in content)
        if not any("json" in block or str(block.get("text") or "").strip() for block in said):
            yield f"{path}.content", "empty"
