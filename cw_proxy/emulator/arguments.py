"""Arguments that fit a tool's JSON Schema.

In: a tool and the values that matter. Out: an argument object. Refuses to know which tool is called, or why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cw_proxy.emulator.conversation import Tool
from cw_proxy.emulator.loose import Object, as_list, as_object

PATH_KEYS = (
    "file_path",
    "filePath",
    "filepath",
    "path",
    "absolute_path",
    "target_file",
    "filename",
    "file",
    "paths",
    "files",
)
CONTENT_KEYS = ("content", "contents", "file_text", "new_content", "text", "body")
COMMAND_KEYS = ("command", "cmd", "script", "commands")
PATCH_KEYS = ("patchText", "patch", "input")
_MAX_DEPTH = 8  # a schema may refer to itself


def resolve(tool: Tool, schema: object, depth: int = 0) -> Object:
    """Follows `$ref`, and the first branch of `anyOf` and `oneOf`."""
    found = as_object(schema)
    if depth > _MAX_DEPTH:
        return {}
    if "$ref" in found:
        return resolve(tool, _referred(tool, str(found["$ref"])), depth + 1)
    for branches in (found.get("anyOf"), found.get("oneOf")):
        if branches:
            return resolve(tool, branches[0], depth + 1)
    return found


def _referred(tool: Tool, reference: str) -> Object:
    found = tool.schema
    for part in reference.lstrip("#/").split("/"):
        found = as_object(found.get(part))
    return found


def fill(tool: Tool, given: Mapping[str, Any]) -> Object:
    """`given` plus a neutral value for each required property that is missing."""
    missing = (name for name in as_list(tool.schema.get("required")) if name not in given)
    return {**given, **{name: _neutral(tool, tool.properties.get(name, {})) for name in missing}}


def _neutral(tool: Tool, schema: object) -> Any:
    # A default beside a `$ref` counts before the one behind it.
    if "default" in as_object(schema):
        return as_object(schema)["default"]
    found = resolve(tool, schema)
    if "const" in found:
        return found["const"]
    if found.get("enum"):
        return found["enum"][0]
    return found["default"] if "default" in found else _neutral_of_type(tool, found)


def _neutral_of_type(tool: Tool, schema: Object) -> Any:
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) else kind:
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
        case "array":
            return [_neutral(tool, schema.get("items"))] if schema.get("minItems") else []
        case "object":
            properties = as_object(schema.get("properties"))
            return {name: _neutral(tool, properties.get(name)) for name in as_list(schema.get("required"))}
        case _:
            return "emulated"


def put(tool: Tool, names: Sequence[str], value: str) -> Object | None:
    """The first of `names` that the schema has, with `value` wrapped as the schema wants it; None if it has none."""
    for name in names:
        if name not in tool.properties:
            continue
        schema = resolve(tool, tool.properties[name])
        if schema.get("type") != "array":
            return {name: value}
        item = resolve(tool, schema.get("items"))
        if item.get("type") != "object":
            return {name: [value]}
        if (inner := _put_in_item(tool, item, value)) is not None:
            return {name: [inner]}
    return None


def _put_in_item(tool: Tool, item: Object, value: str) -> Object | None:
    """An array of objects: one object, shaped by the same rules; its `$ref`s still mean the tool's own `$defs`."""
    inner_tool = Tool("", {**item, "$defs": as_object(tool.schema.get("$defs"))})
    inner = put(inner_tool, PATH_KEYS + COMMAND_KEYS + CONTENT_KEYS, value)
    return fill(inner_tool, inner) if inner else None
