"""A tool's JSON Schema as the service takes it (rule 9): a plain object at its root, nothing null, references valid.

In: a schema as clients write them. Out: a schema of its own, the given one unchanged. Refuses to know tools and calls.

Alternatives at the root are merged: what every branch has stays demanded, and a sentence says which properties go
together. Meaning that is lost so is lost for the model only: clients check arguments against their own schema.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cw_proxy.backends.codewhisperer.names import legal_properties
from cw_proxy.backends.codewhisperer.schema_nodes import (
    BY_PROPERTY,
    OF_LISTS,
    OF_NAMES,
    OF_ONE,
    Schema,
    nodes,
    route,
    steps,
)
from cw_proxy.backends.codewhisperer.schema_root import flattened

# Members that are values, not schemas: null is one of them, and objects among them have properties.
_VALUES = ("default", "const", "example", "examples", "enum")


def repaired(schema: Schema, names: Mapping[str, str]) -> Schema:
    """`names`: properties to rename."""
    return flattened(_Mending(schema, names).node(schema))


def property_names(schema: Schema) -> dict[str, str]:
    """Rule 7: the properties, wherever they are named, whose names the service does not take, and what they become."""
    return legal_properties(name for node in nodes(schema).values() for name in _named(node))


def _named(node: Schema) -> Iterator[str]:
    for word in (*BY_PROPERTY, "dependentRequired"):
        yield from _object(node.get(word))
    for word in ("dependentRequired", "dependencies"):
        for needed in _object(node.get(word)).values():
            yield from _texts(needed)
    yield from _texts(node.get("required"))
    said = _object(node.get("propertyNames"))
    yield from _texts([*_list(said.get("enum")), said.get("const")])


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [text for text in _list(value) if isinstance(text, str)]


_DROPPED: Any = object()


class _Mending:
    """Every node: nothing null, nothing of a wrong type, every property under its new name."""

    def __init__(self, root: Schema, names: Mapping[str, str]) -> None:
        self._root = root
        self._names = names
        self._nodes = nodes(root)

    def node(self, node: Schema) -> Schema:
        mended: Schema = {}
        for key, value in node.items():
            if value is None and key not in _VALUES:
                continue
            fixed = _MENDING[key](self, value) if key in _MENDING else self._other(value)
            if fixed is not _DROPPED:
                mended[key] = fixed
        return mended

    def _name(self, name: str) -> str:
        return self._names.get(name, name)

    def _other(self, value: Any) -> Any:
        """What is no schema, but that a reference may lead into it."""
        if isinstance(value, dict):
            if id(value) in self._nodes:
                return self.node(value)
            return {key: self._other(inner) for key, inner in value.items()}
        return [self._other(inner) for inner in value] if isinstance(value, list) else value

    def value(self, value: Any) -> Any:
        if isinstance(value, dict):
            if id(value) in self._nodes:
                return self.node(value)
            return {self._name(key): self.value(inner) for key, inner in value.items()}
        return [self.value(inner) for inner in value] if isinstance(value, list) else value

    def schema(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self.node(value)
        if isinstance(value, list):  # `items` of older drafts
            return [self.schema(inner) for inner in value]
        return value if isinstance(value, bool) else {}

    def of_names(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return _DROPPED
        return {name: {} if inner is True else self.schema(inner) for name, inner in value.items()}

    def by_property(self, value: Any) -> Any:
        mended = self.of_names(value)
        return mended if mended is _DROPPED else {self._name(name): inner for name, inner in mended.items()}

    def of_list(self, value: Any) -> Any:
        return [self.schema(inner) for inner in value] if isinstance(value, list) and value else _DROPPED

    def required(self, value: Any) -> Any:
        return self._renamed(value) or _DROPPED

    def _renamed(self, value: Any) -> list[str]:
        return list(dict.fromkeys(map(self._name, _texts(value))))

    def dependent(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return _DROPPED
        return {self._name(name): self._renamed(needed) for name, needed in value.items()}

    def dependencies(self, value: Any) -> Any:
        """Of older drafts: lists of names and schemas."""
        if not isinstance(value, dict):
            return _DROPPED
        return {
            self._name(name): self._renamed(needed) if isinstance(needed, list) else self.schema(needed)
            for name, needed in value.items()
        }

    def property_names(self, value: Any) -> Any:
        mended = self.schema(value)
        for word in ("enum", "const"):
            if isinstance(mended, dict) and word in mended:
                mended[word] = self._listed(mended[word])
        return mended

    def _listed(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._listed(inner) for inner in value]
        return self._name(value) if isinstance(value, str) else value

    def kinds(self, value: Any) -> Any:
        kinds = value if isinstance(value, list) else [value]
        return value if kinds and all(isinstance(kind, str) for kind in kinds) else _DROPPED

    def reference(self, value: Any) -> Any:
        if not isinstance(value, str):
            return _DROPPED
        way = route(value, self._root)
        if way is None:
            return value
        written = steps(value)
        owners = [self._root, *(found for _, found in way)]
        for at in range(1, len(way)):
            # A property's name stands below the word `properties` of a schema, not below a property of this name.
            if way[at - 1][0] in BY_PROPERTY and id(owners[at - 1]) in self._nodes and way[at][0] in self._names:
                written[at] = self._names[str(way[at][0])]
        return "/".join(["#", *written])


_MENDING: dict[str, Callable[[_Mending, Any], Any]] = {
    **dict.fromkeys(OF_NAMES, _Mending.of_names),
    **dict.fromkeys(BY_PROPERTY, _Mending.by_property),
    **dict.fromkeys(OF_LISTS, _Mending.of_list),
    **dict.fromkeys(OF_ONE, _Mending.schema),
    **dict.fromkeys(_VALUES, _Mending.value),
    "dependencies": _Mending.dependencies,
    "dependentRequired": _Mending.dependent,
    "propertyNames": _Mending.property_names,
    "required": _Mending.required,
    "type": _Mending.kinds,
    "$ref": _Mending.reference,
}
