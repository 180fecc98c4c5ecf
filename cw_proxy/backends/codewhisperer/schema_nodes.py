"""Which parts of a document are schemas, and where its references lead.

In: a tool's whole schema, of any shape. Out: its nodes, the steps of a reference. Refuses to know what is wrong with
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

Schema = dict[str, Any]
Route = list[tuple[str | int, Any]]  # keys, each with what stands there

BY_PROPERTY = ("properties", "dependentSchemas", "dependencies")
OF_NAMES = ("patternProperties", "$defs", "definitions")
OF_LISTS = ("oneOf", "anyOf", "allOf", "prefixItems")
OF_ONE = (
    *("items", "additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contains"),
    *("not", "if", "then", "else", "propertyNames"),
)


def nodes(root: Schema) -> dict[int, Schema]:
    """By identity: what stands where a schema belongs, and whatever a reference takes for one, wherever it stands."""
    found: dict[int, Schema] = {}
    waiting: list[Any] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict) and id(node) not in found:
            found[id(node)] = node
            waiting += _inside(node)
            waiting.append(target(node.get("$ref"), root))
    return found


def _inside(node: Schema) -> Iterator[Any]:
    for key, value in node.items():
        if key in BY_PROPERTY or key in OF_NAMES:
            yield from value.values() if isinstance(value, dict) else ()
        elif key in OF_LISTS or key in OF_ONE:
            yield from value if isinstance(value, list) else [value]


def target(reference: Any, root: Schema) -> Any:
    way = route(reference, root)
    return way[-1][1] if way else None


def route(reference: Any, root: Schema) -> Route | None:
    """The way from the root to what is meant; nothing for what is not in this document."""
    way: Route = []
    found: Any = root
    for step in steps(reference):
        key = _key(step, found)
        if key is None:
            return None
        found = found[key]
        way.append((key, found))
    return way or None


def steps(reference: Any) -> list[str]:
    """As they are written."""
    return reference.split("/")[1:] if isinstance(reference, str) and reference.startswith("#/") else []


def _key(step: str, owner: Any) -> str | int | None:
    if isinstance(owner, list):
        return int(step) if step.isdecimal() and len(step) < 7 and int(step) < len(owner) else None
    if not isinstance(owner, dict):
        return None
    # The step of a URI is escaped twice; many clients forget one of it, or both.
    readings = (_unescaped(unquote(step)), _unescaped(step), unquote(step), step)
    return next((reading for reading in readings if reading in owner), None)


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def escaped(key: str) -> str:
    return quote(key.replace("~", "~0").replace("/", "~1"), safe="~$")
