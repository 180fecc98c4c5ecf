"""The root of a tool's schema becomes a plain object (rule 9): no reference and no alternatives at its top.

In: a schema of which every node is mended. Out: the root with what its alternatives say merged. Refuses to know names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from typing import Any

from cw_proxy.backends.codewhisperer.schema_nodes import Schema, escaped, nodes, route, steps, target

_ALTERNATIVES = ("oneOf", "anyOf", "allOf")
_MOST_MERGED = 20_000  # nodes, properties and the like merged into one root, each time they are
_DEEPEST = 100  # references and alternatives inside each other
# What flattening reads of a node; a reference may lead to anything at all, also to what is no schema.
_READ: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("properties", "patternProperties", "$defs"), dict),
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "required"), list),
    **dict.fromkeys(("$ref", "description"), str),
    "type": (str, list),
}


def flattened(root: Schema) -> Schema:
    """The given root's nodes may change."""
    root = _with_movable_places(root)
    flat = _Flattening(root).flat(root)
    return {**flat, "type": "object", "properties": flat.get("properties", {})}


# --- what something refers to keeps a place ---


def _with_movable_places(root: Schema) -> Schema:
    """Parts of the root that something refers to move into `$defs`: the merged root has them no more."""
    names: dict[tuple[Any, Any], str] = {}
    taken = {*root.get("$defs", {})}
    for node in nodes(root).values():
        if place := _vanishing(node.get("$ref"), root):
            if place not in names:
                names[place] = _free_name(place, taken)
                taken.add(names[place])
            node["$ref"] = "/".join(["#/$defs", escaped(names[place]), *steps(node["$ref"])[2:]])
    moved = {name: root[word][key] for (word, key), name in names.items()}
    for (word, key), name in names.items():
        root[word][key] = {"$ref": f"#/$defs/{escaped(name)}"}
    return {**root, "$defs": {**root.get("$defs", {}), **moved}} if moved else root


def _vanishing(reference: Any, root: Schema) -> tuple[Any, Any] | None:
    """The place at the top of the root that a reference leads through, if merging changes what is there."""
    way = route(reference, root)
    if way is None or len(way) < 2:
        return None
    (word, _), (key, _), *further = way
    merging = "$ref" in root or any(word in root for word in _ALTERNATIVES)
    return (word, key) if word in _ALTERNATIVES or (word == "properties" and further and merging) else None


def _free_name(place: tuple[Any, Any], taken: Container[str]) -> str:
    name = f"{place[0]}_{place[1]}"
    while name in taken:
        name += "_"
    return name


# --- merging ---


class _Flattening:
    """Merges what stands at the top of a root. A few nested references can mean billions of branches, and a wide one
    much copying: beyond `_MOST_MERGED` the rest is taken for anything at all."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._left = _MOST_MERGED

    def flat(self, node: Any, seen: frozenset[str] = frozenset(), depth: int = 0) -> Schema:
        """The node without a reference or alternatives at its top."""
        self._left -= 1
        if not isinstance(node, dict) or self._left < 0 or depth > _DEEPEST:
            return {}
        node = _usable(node)
        plain = {key: value for key, value in node.items() if key not in (*_ALTERNATIVES, "$ref")}
        if (reference := node.get("$ref")) is not None and reference not in seen:
            referred = self.flat(target(reference, self._root), seen | {reference}, depth + 1)
            plain = self._both(plain, referred)
        for branch in node.get("allOf", []):
            plain = self._both(plain, self.flat(branch, seen, depth + 1))
        for word in ("anyOf", "oneOf"):
            if word in node:
                plain = self._both(plain, _either([self.flat(branch, seen, depth + 1) for branch in node[word]]))
        return plain

    def _both(self, one: Schema, other: Schema) -> Schema:
        self._left -= _work(one) + _work(other)
        return _both(one, other) if self._left >= 0 else one


def _usable(node: Schema) -> Schema:
    usable: Schema = {key: value for key, value in node.items() if isinstance(value, _READ.get(key, object))}
    if "required" in usable:
        usable["required"] = [name for name in usable["required"] if isinstance(name, str)]
    return usable


def _work(schema: Schema) -> int:
    """Copying many members, or a long text, is quick, but not a thousand times."""
    merged = sum(len(schema.get(word, ())) for word in ("properties", "patternProperties", "required"))
    return merged + (len(schema) + len(schema.get("$defs", ()))) // 100 + len(schema.get("description", "")) // 10_000


def _both(one: Schema, other: Schema) -> Schema:
    """What satisfies both."""
    merged = {**other, **one}
    for of in ("properties", "patternProperties"):
        if of in one or of in other:
            merged[of] = _united([one, other], of, "allOf")
    if required := [*one.get("required", []), *other.get("required", [])]:
        merged["required"] = list(dict.fromkeys(required))
    if "$defs" in one and "$defs" in other:
        merged["$defs"] = {**other["$defs"], **one["$defs"]}
    if one.get("description") and other.get("description"):
        merged["description"] = f"{one['description']}\n\n{other['description']}"
    return merged


def _either(branches: list[Schema]) -> Schema:
    """What any of them satisfies: arguments are an object, so other branches cannot be meant."""
    objects = [branch for branch in branches if "object" in _kinds(branch)]
    merged: Schema = {"properties": _united(objects, "properties", "anyOf")}
    demanded = Counter(name for branch in objects for name in {*branch.get("required", [])})
    first = objects[0].get("required", []) if objects else []
    if required := [name for name in first if demanded[name] == len(objects)]:
        merged["required"] = required
    if objects and all(_closed(branch) for branch in objects):
        merged["additionalProperties"] = False
    if len(objects) > 1:
        sets = (", ".join(branch.get("required") or branch.get("properties", {})) or "none" for branch in objects)
        merged["description"] = f"Give one of these sets of properties: {'; or '.join(sets)}."
    definitions = {name: inner for branch in objects for name, inner in branch.get("$defs", {}).items()}
    return {**merged, **({"$defs": definitions} if definitions else {})}


def _closed(branch: Schema) -> bool:
    """Whether its properties are all that it allows."""
    return branch.get("additionalProperties") is False and "patternProperties" not in branch


def _kinds(branch: Schema) -> Any:
    kinds = branch.get("type", "object")
    return kinds if isinstance(kinds, list) else [kinds]


def _united(schemas: list[Schema], of: str, word: str) -> Schema:
    """All properties; one that several describe differently is `word` of what they say."""
    said: dict[str, list[Any]] = {}
    for schema in schemas:
        for name, inner in schema.get(of, {}).items():
            # What was united before is one list with what comes now, never one inside the other.
            known, parts = (
                said.setdefault(name, []),
                inner[word] if isinstance(inner, dict) and [*inner] == [word] else [inner],
            )
            known += [part for part in parts if part not in known]
    return {name: inner[0] if len(inner) == 1 else {word: inner} for name, inner in said.items()}
