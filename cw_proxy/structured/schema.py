"""A JSON Schema that hostile people may have written, made ready to be asked.

In: a schema. Out: the errors of values. Refuses to know texts and who asked. References are never fetched. The
libraries are imported by the first schema: chat without one does not pay for them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from cw_proxy.structured.keywords import OWN, applicable, applicable_before_2019, best_error, counted
from cw_proxy.structured.patterns import compiled_patterns
from cw_proxy.structured.values import Unfit, clipped, size_of, tree

MAX_DEPTH = 100
MAX_NODES = 20_000


class Schema:
    """One schema, ready to be asked many times. Raises Unfit."""

    def __init__(self, given: dict[str, Any]) -> None:
        _check_bounds(given)
        dialect = _dialect(_draft_of(given))
        root = tree({word: value for word, value in given.items() if word != "$schema"})
        _check_schema(dialect, root)
        registry, uri = _registered(dialect, root)
        self._patterns = compiled_patterns(_nodes(dialect, root, registry.resolver(uri)))
        # By its address: a registry that has seen the whole schema does not search it for each reference.
        self._validator = dialect.validator({"$ref": uri}, registry=registry)

    def best_error(self, value: Any) -> Any | None:
        """jsonschema's error that says most about a value of `values`. Raises Unfit, and what libraries do."""
        return best_error(self._validator, value, self._patterns)


def sentence(error: Any) -> str:
    """`$.people[0].age: 'x' is not of type 'integer'`."""
    return f"{clipped(_path(error.absolute_path), 140)}: {clipped(error.message, 140)}"


def _path(steps: Iterable[str | int]) -> str:
    plain = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,60}").fullmatch
    return "$" + "".join(f".{step}" if isinstance(step, str) and plain(step) else f"[{step!r}]" for step in steps)


# --- drafts ---


class _Dialect(NamedTuple):
    validator: Any
    specification: Any
    metaschema: Any
    references: tuple[str, ...]


_DRAFTS = {
    "json-schema.org/draft-04/schema": "Draft4Validator",
    "json-schema.org/draft-06/schema": "Draft6Validator",
    "json-schema.org/draft-07/schema": "Draft7Validator",
    "json-schema.org/draft/2019-09/schema": "Draft201909Validator",
    "json-schema.org/draft/2020-12/schema": "Draft202012Validator",
}
_NEWEST = "json-schema.org/draft/2020-12/schema"


def _draft_of(schema: dict[str, Any]) -> str:
    said = schema.get("$schema")
    draft = re.sub("^https?://|#$", "", said) if isinstance(said, str) else ""
    return draft if draft in _DRAFTS else _NEWEST


@functools.cache
def _dialect(draft: str) -> _Dialect:
    import jsonschema
    from referencing.jsonschema import specification_with

    base: Any = getattr(jsonschema, _DRAFTS[draft])
    modern = "/draft/" in draft
    own = {word: OWN.get(word, check) for word, check in base.VALIDATORS.items()}
    create: Any = jsonschema.validators.create
    checker = create(
        meta_schema=base.META_SCHEMA,
        validators={word: counted(word, check) for word, check in own.items()},
        type_checker=base.TYPE_CHECKER,
        id_of=base.ID_OF,
        applicable_validators=applicable if modern else applicable_before_2019,
    )
    references = ("$ref", "$dynamicRef", "$recursiveRef") if modern else ("$ref",)
    specification = specification_with(base.ID_OF(base.META_SCHEMA))
    return _Dialect(checker, specification, tree(_flat(base.META_SCHEMA)), references)


def _flat(metaschema: Any) -> dict[str, Any]:
    """A draft's metaschema with its vocabularies in one piece: a sixth of the work, the same verdicts."""
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # it ships no types

    vocabularies = [
        REGISTRY.resolver(metaschema["$id"]).lookup(part["$ref"]).contents for part in metaschema.get("allOf", ())
    ]
    flat = {word: value for word, value in metaschema.items() if word not in ("$schema", "$id", "id", "allOf")}
    for word in ("properties", "$defs"):
        if named := {
            name: _local(inner) for piece in [metaschema, *vocabularies] for name, inner in piece.get(word, {}).items()
        }:
            flat[word] = named
    return flat


def _local(value: Any) -> Any:
    if isinstance(value, list):
        return [_local(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    local = {name: _local(inner) for name, inner in value.items()}
    if "$dynamicRef" in value or "$recursiveRef" in value:
        return {"$ref": "#"}
    if isinstance(reference := value.get("$ref"), str):
        local["$ref"] = reference[reference.index("#") :]
    return local


# --- schemas ---

_ROOT = "urn:cw-proxy:schema"
# jsonschema's own are quadratic in the value, and exponential in references.
_UNSUPPORTED = ("unevaluatedItems", "unevaluatedProperties")


def _check_bounds(schema: Any) -> None:
    """Before anything recursive looks at it."""
    layer, nodes = [schema], 0
    for _ in range(MAX_DEPTH):
        nodes += len(layer)
        if nodes > MAX_NODES:
            raise Unfit(f"It has more than {MAX_NODES} values.")
        layer = [inner for value in layer for inner in _inside(value)]
        # It would lead to jsonschema's own validators, which have no budget.
        if any(isinstance(inner, dict) and isinstance(inner.get("$schema"), str) for inner in layer):
            raise Unfit("`$schema` may stand at its root only.")
        if not layer:
            return
    raise Unfit(f"It is nested more than {MAX_DEPTH} levels deep.")


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _check_schema(dialect: _Dialect, schema: Any) -> None:
    registry, uri = _registered(dialect, dialect.metaschema)
    try:
        error = best_error(dialect.validator({"$ref": uri}, registry=registry), schema, {})
    except Unfit:
        raise Unfit("It is too large.") from None
    if error is not None:
        raise Unfit(f"It is no valid JSON Schema: {sentence(error)}.")


def _registered(dialect: _Dialect, root: Any) -> tuple[Any, str]:
    from referencing import Registry

    resource = dialect.specification.create_resource(root)
    uri = resource.id() or _ROOT
    # Explicit, for jsonschema's default fetches references.
    empty: Any = Registry()
    return empty.with_resource(uri, resource).crawl(), uri


def _nodes(dialect: _Dialect, root: Any, resolver: Any) -> Iterator[dict[str, Any]]:
    """Every schema there is, also those that only a reference makes one."""
    seen: set[int] = set()
    todo, left = [root], MAX_NODES
    while todo:
        referred: list[Any] = []
        for node in _within(dialect, todo.pop(), seen):
            _check_node(dialect, node, node is root)
            referred += [_referred(node[word], resolver) for word in dialect.references if word in node]
            yield node
        for target in referred:
            if id(target) not in seen:
                left -= size_of(target)
                if left < 0:
                    raise Unfit("It refers to too much that is not known to be a schema.")
                _check_schema(dialect, target)
                todo.append(target)


def _within(dialect: _Dialect, schema: Any, seen: set[int]) -> Iterator[dict[str, Any]]:
    layer = [schema]
    while layer:
        node = layer.pop()
        if isinstance(node, dict) and id(node) not in seen:
            seen.add(id(node))
            yield node
            layer += dialect.specification.subresources_of(node)


def _check_node(dialect: _Dialect, node: dict[str, Any], is_root: bool) -> None:
    for word in _UNSUPPORTED:
        if word in node and "$dynamicRef" in dialect.references:
            raise Unfit(f"`{word}` is not supported here.")
    if not is_root and dialect.specification.id_of(node) is not None:
        raise Unfit("An `$id` may stand at its root only.")


def _referred(reference: str, resolver: Any) -> Any:
    from referencing.exceptions import Unresolvable

    try:
        return resolver.lookup(reference).contents
    except (Unresolvable, ValueError, TypeError, AttributeError):
        raise Unfit(f"Its reference {reference!r} leads to nothing in it, and nothing is fetched.") from None
