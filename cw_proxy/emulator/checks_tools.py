"""Tools: their specifications, their uses, their results.

In: the lists as they stand in the messages. Out: nothing, or a Refusal raised. Refuses to know the rest of a message.
(upstream.md §1.3, §1.6)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from cw_proxy.emulator.fields import (
    Object,
    length,
    one_of,
    optional_list,
    optional_text,
    required_object,
    required_text,
)
from cw_proxy.emulator.loose import as_list, as_object
from cw_proxy.emulator.refusal import improper

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_MOST_DESCRIPTION = 10_240
_MOST_RESULT = 10_000_000
_STATUSES = frozenset({"success", "error"})
_MISMATCH = "TOOL_USE_RESULT_MISMATCH"


def check_tools(tools: Sequence[Any], path: str) -> None:
    names: set[str] = set()
    for index, tool in enumerate(tools):
        where = f"{path}[{index}]"
        if as_object(as_object(tool).get("cachePoint")).get("type") == "default":
            continue
        specification = required_object(as_object(tool), "toolSpecification", where)
        name = _name(specification, "name", f"{where}.toolSpecification")
        if name in names:
            raise improper(f"{where}: the name {name!r} is taken", "TOOL_DUPLICATE")
        names.add(name)
        description = optional_text(specification, "description", where)
        if description is not None:
            length(description, 1, _MOST_DESCRIPTION, f"{where}.toolSpecification.description")
        _check_schema(required_object(specification, "inputSchema", where), f"{where}.toolSpecification.inputSchema")


def _name(owner: Object, field: str, path: str) -> str:
    value = required_text(owner, field, path)
    if not _NAME.fullmatch(value):
        raise improper(f"{path}.{field} {value[:80]!r} does not match {_NAME.pattern}")
    return value


def _check_schema(schema: Object, path: str) -> None:
    """The root must be a plain object: alternatives at the root are refused by the models behind the service."""
    root = schema.get("json")
    if not isinstance(root, dict):
        raise improper(f"{path}.json is not an object", "TOOL_SCHEMA_INVALID")
    if root.get("type", "object") != "object" or any(word in root for word in ("oneOf", "anyOf", "allOf")):
        raise improper(f"{path}.json: the root is not a plain object", "TOOL_SCHEMA_INVALID")
    properties = root.get("properties", {})
    required = root.get("required", [])
    if not isinstance(properties, dict) or not all(map(_PROPERTY.fullmatch, properties)):
        raise improper(f"{path}.json.properties: not an object, or a name beyond the limits", "TOOL_SCHEMA_INVALID")
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise improper(f"{path}.json.required is not a list of strings", "TOOL_SCHEMA_INVALID")


def check_tool_uses(uses: Sequence[Any], path: str) -> None:
    for index, use in enumerate(uses):
        where = f"{path}[{index}]"
        _name(as_object(use), "toolUseId", where)
        _name(as_object(use), "name", where)
        required_object(as_object(use), "input", where)


def check_tool_results(results: Sequence[Any], path: str) -> None:
    for index, result in enumerate(results):
        where = f"{path}[{index}]"
        _name(as_object(result), "toolUseId", where)
        one_of(as_object(result), "status", _STATUSES, where)
        if as_object(result).get("content") is None:
            raise improper(f"{where}.content is missing")
        for number, block in enumerate(optional_list(as_object(result), "content", where)):
            _check_block(block, f"{where}.content[{number}]")


def _check_block(block: Any, path: str) -> None:
    members = [name for name in ("text", "json") if name in as_object(block)]
    if len(members) != 1:
        raise improper(f"{path} has {members or 'neither text nor json'}")
    if members == ["text"]:
        length(required_text(block, "text", path), 0, _MOST_RESULT, f"{path}.text")


def check_results(uses: Sequence[Any], results: Sequence[Any], path: str) -> None:
    """As many results as uses, with the same ids, each once."""
    asked, answered = Counter(_ids(uses)), Counter(_ids(results))
    if asked != answered:
        unanswered, strange = sorted((asked - answered).elements()), sorted((answered - asked).elements())
        raise improper(f"{path}: uses without a result {unanswered}, results without a use {strange}", _MISMATCH)
    if any(times > 1 for times in asked.values()):
        raise improper(f"{path}: a tool use id is used twice", _MISMATCH)


def _ids(entries: Sequence[Any]) -> Iterator[str]:
    return (str(as_object(entry).get("toolUseId")) for entry in entries)


def check_tool_names_known(history: Sequence[Any], current: Object, path: str) -> None:
    """Every tool that the history uses must be offered with the current message."""
    context = as_object(as_object(current.get("userInputMessage")).get("userInputMessageContext"))
    specifications = (as_object(as_object(tool).get("toolSpecification")) for tool in as_list(context.get("tools")))
    offered = {specification.get("name") for specification in specifications}
    for index, entry in enumerate(history):
        for use in as_list(as_object(as_object(entry).get("assistantResponseMessage")).get("toolUses")):
            if as_object(use).get("name") not in offered:
                reason = None if offered else "TOOL_CONFIG_MISSING"
                raise improper(f"{path}[{index}]: the tool {as_object(use).get('name')!r} is not offered", reason)
