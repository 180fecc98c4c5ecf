"""A tool's JSON Schema as the service takes it (rule 9): a plain object at its root, nothing null, references valid.

In: a schema as clients write them. Out: a schema of its own, the given one unchanged. Refuses to know tools and calls.

Alternatives at the root are merged: what every branch has stays demanded, and a sentence says which properties go
together. Meaning that is lost so is lost for the model only: clients check arguments against their own schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cw_proxy.backends.codewhisperer.names import hashed, is_property

Schema = dict[str, Any]

_OF_NAMES = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_OF_LISTS = ("oneOf", "anyOf", "allOf", "prefixItems")
_OF_ONE = (
    *("items", "additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains"),
    *("not", "if", "then", "else", "propertyNames"),
)
# Members that are values, not schemas: null is one of them.
_VALUES = ("default", "const", "example")
_ALTERNATIVES = ("oneOf", "anyOf", "allOf")
_INTO_BRANCH = re.compile(r"#/(oneOf|anyOf|allOf)/(\d{1,6})(?=/|$)")
_MOST_MERGED = 10_000  # nodes and properties merged into one root, each time they are
# What flattening reads of a node; a reference may lead to anything at all, also to what is no schema.
_READ: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("properties", "$defs"), dict),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "required"), list),
    **dict.fromkeys(("$ref", "description"), str),
    "type": (str, list),
}


def repaired(schema: Schema, names: Mapping[str, str]) -> Schema:
    """`names`: properties to rename."""
    root = _mended(schema, names)
    root = _with_movable_branches(root)
    root = _Flattening(root).flat(root)
    return {**root, "type": "object", "properties": root.get("properties", {})}


def property_names(schema: Schema) -> dict[str, str]:
    """Rule 7: the properties, wherever they stand, whose names the service does not take, and what they become."""
    strange: dict[str, str] = {}
    for node in _nodes(schema):
        properties = node.get("properties")
        if isinstance(properties, dict):
            strange |= {name: hashed(name) for name in properties if not is_property(name)}
    return strange


def _nodes(schema: Any) -> Iterator[Schema]:
    if not isinstance(schema, dict):
        return
    yield schema
    for key, value in schema.items():
        if key in _OF_NAMES and isinstance(value, dict):
            inner = list(value.values())
        elif key in _OF_LISTS or key in _OF_ONE:
            inner = value if isinstance(value, list) else [value]
        else:
            continue
        for node in inner:
            yield from _nodes(node)


# --- every node: nothing null, nothing of a wrong type ---


def _mended(node: Schema, names: Mapping[str, str]) -> Schema:
    mended: Schema = {}
    for key, value in node.items():
        if value is None and key not in _VALUES:
            continue
        fixed = _MENDING[key](value, names) if key in _MENDING else value
        if fixed is not _DROPPED:
            mended[key] = fixed
    return mended


_DROPPED: Any = object()


def _mended_schema(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return _mended(value, names)
    if isinstance(value, list):  # `items` of older drafts
        return [_mended_schema(inner, names) for inner in value]
    return value if isinstance(value, bool) else {}


def _mended_names(value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, dict):
        return _DROPPED
    return {name: {} if inner is True else _mended_schema(inner, names) for name, inner in value.items()}


def _mended_properties(value: Any, names: Mapping[str, str]) -> Any:
    mended = _mended_names(value, names)
    return mended if mended is _DROPPED else {names.get(name, name): inner for name, inner in mended.items()}


def _mended_list(value: Any, names: Mapping[str, str]) -> Any:
    return [_mended_schema(inner, names) for inner in value] if isinstance(value, list) and value else _DROPPED


def _mended_required(value: Any, names: Mapping[str, str]) -> Any:
    listed = value if isinstance(value, list) else []
    required = [names.get(name, name) for name in listed if isinstance(name, str)]
    return list(dict.fromkeys(required)) or _DROPPED


def _mended_dependents(value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, dict):
        return _DROPPED
    return {names.get(name, name): inner for name, inner in value.items()}


def _mended_type(value: Any, names: Mapping[str, str]) -> Any:
    kinds = value if isinstance(value, list) else [value]
    return value if kinds and all(isinstance(kind, str) for kind in kinds) else _DROPPED


def _mended_reference(value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return _DROPPED
    return "/".join(names.get(_unescaped(step), step) for step in value.split("/"))


_MENDING: dict[str, Callable[[Any, Mapping[str, str]], Any]] = {
    **dict.fromkeys(_OF_NAMES, _mended_names),
    **dict.fromkeys(_OF_LISTS, _mended_list),
    **dict.fromkeys(_OF_ONE, _mended_schema),
    "properties": _mended_properties,
    "required": _mended_required,
    "dependentRequired": _mended_dependents,
    "type": _mended_type,
    "$ref": _mended_reference,
}


# --- the root: a plain object ---


def _with_movable_branches(root: Schema) -> Schema:
    """Branches of the root that something refers to move into `$defs`: the merged root has them no more."""
    moved: Schema = {}
    for node in list(_nodes(root)):
        found = _INTO_BRANCH.match(node["$ref"]) if "$ref" in node else None
        if found and int(found[2]) < len(root.get(found[1], [])):
            name = f"{found[1]}_{found[2]}"
            moved[name] = (found[1], int(found[2]))
            node["$ref"] = f"#/$defs/{name}" + node["$ref"][found.end() :]
    if not moved:
        return root
    definitions = {name: root[word][at] for name, (word, at) in moved.items()}
    for name, (word, at) in moved.items():
        root[word][at] = {"$ref": f"#/$defs/{name}"}
    return {**root, "$defs": {**root.get("$defs", {}), **definitions}}


class _Flattening:
    """Merges what stands at the top of a root. A few nested references can mean billions of branches, and a wide one
    much copying: beyond `_MOST_MERGED` the rest is taken for anything at all."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = _MOST_MERGED

    def flat(self, node: Any, seen: frozenset[str] = frozenset()) -> Schema:
        """The node without a reference or alternatives at its top."""
        self._left -= 1
        if not isinstance(node, dict) or self._left < 0:
            return {}
        node = _usable(node)
        plain = {key: value for key, value in node.items() if key not in (*_ALTERNATIVES, "$ref")}
        if (reference := node.get("$ref")) is not None and reference not in seen:
            plain = self._both(plain, self.flat(_referred(reference, self._root), seen | {reference}))
        for branch in node.get("allOf", []):
            plain = self._both(plain, self.flat(branch, seen))
        for word in ("anyOf", "oneOf"):
            if word in node:
                plain = self._both(plain, _either([self.flat(branch, seen) for branch in node[word]]))
        return plain

    def _both(self, one: Schema, other: Schema) -> Schema:
        self._left -= len(one.get("properties", {})) + len(other.get("properties", {}))
        return _both(one, other) if self._left >= 0 else one


def _usable(node: Schema) -> Schema:
    usable: Schema = {key: value for key, value in node.items() if isinstance(value, _READ.get(key, object))}
    if "required" in usable:
        usable["required"] = [name for name in usable["required"] if isinstance(name, str)]
    return usable


def _referred(reference: str, root: Schema) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        if isinstance(found, list) and step.isdecimal() and int(step) < len(found):
            found = found[int(step)]
        else:
            found = found.get(_unescaped(step)) if isinstance(found, dict) else None
    return found if reference.startswith("#/") else None


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _both(one: Schema, other: Schema) -> Schema:
    """What satisfies both."""
    merged = {**other, **one}
    if "properties" in one or "properties" in other:
        merged["properties"] = _united([one, other], "allOf")
    if required := [*one.get("required", []), *other.get("required", [])]:
        merged["required"] = list(dict.fromkeys(required))
    if "$defs" in one or "$defs" in other:
        merged["$defs"] = {**other.get("$defs", {}), **one.get("$defs", {})}
    if one.get("description") and other.get("description"):
        merged["description"] = f"{one['description']}\n\n{other['description']}"
    return merged


def _either(branches: list[Schema]) -> Schema:
    """What any of them satisfies: arguments are an object, so other branches cannot be meant."""
    objects = [branch for branch in branches if "object" in _kinds(branch)]
    merged: Schema = {"properties": _united(objects, "anyOf")}
    first = objects[0].get("required", []) if objects else []
    if required := [name for name in first if all(name in one.get("required", []) for one in objects)]:
        merged["required"] = required
    if objects and all(branch.get("additionalProperties") is False for branch in objects):
        merged["additionalProperties"] = False
    if len(objects) > 1:
        sets = (", ".join(branch.get("required") or branch.get("properties", {})) or "none" for branch in objects)
        merged["description"] = f"Give one of these sets of properties: {'; or '.join(sets)}."
    definitions = {name: inner for branch in objects for name, inner in branch.get("$defs", {}).items()}
    return {**merged, **({"$defs": definitions} if definitions else {})}


def _kinds(branch: Schema) -> Any:
    kinds = branch.get("type", "object")
    return kinds if isinstance(kinds, list) else [kinds]


def _united(schemas: list[Schema], word: str) -> Schema:
    """All properties; one that several describe differently is `word` of what they say."""
    said: dict[str, list[Any]] = {}
    for schema in schemas:
        for name, inner in schema.get("properties", {}).items():
            # What was united before is one list with what comes now, never one inside the other.
            known, parts = (
                said.setdefault(name, []),
                inner[word] if isinstance(inner, dict) and [*inner] == [word] else [inner],
            )
            known += [part for part in parts if part not in known]
    return {name: inner[0] if len(inner) == 1 else {word: inner} for name, inner in said.items()}
