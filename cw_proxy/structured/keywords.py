"""jsonschema's keywords, each with a price: what costs too much is unfit.

In: a validator, a value. Out: the error that says most. Refuses to know where schemas come from and who asked.

Some keywords are our own: jsonschema's would run hostile regular expressions, or compare every item with every other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from cw_proxy.structured.patterns import compiled_patterns, found
from cw_proxy.structured.values import Unfit, brief, listed, size_of

_BUDGET = 1_000_000  # half a microsecond to two each; 40,000 honest values
_ERROR_COST = 20  # an error holds a kilobyte of memory
_DESCENT_COST = 5

Keyword = Callable[[Any, Any, Any, Any], Iterable[Any] | None]


class _Run:
    def __init__(self, patterns: dict[str, Any]) -> None:
        self.patterns = patterns
        self.left = _BUDGET


_run: ContextVar[_Run | None] = ContextVar("run", default=None)


def _spend(cost: int) -> None:
    run = _run.get()
    if run is None:  # a validator is made, not used
        return
    run.left -= cost
    if run.left < 0:
        raise Unfit("$: checking this against the schema takes too much work")


def best_error(validator: Any, value: Any, patterns: dict[str, Any]) -> Any | None:
    from jsonschema.exceptions import best_match

    errors: list[Any] = []
    token = _run.set(_Run(patterns))
    try:
        errors.extend(validator.iter_errors(value))
    except Unfit:
        # What was found before the budget was spent is of more use than that it was.
        if not errors:
            raise
    finally:
        _run.reset(token)
    return best_match(errors)


# Their errors or comparisons reach to the bottom of the keyword's value.
_DEEP = ("const", "enum", "dependentRequired", "dependencies")


def applicable(schema: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    # The one place that every descent into a schema comes by, also those that no keyword sees.
    _spend(_DESCENT_COST + len(schema))
    return schema.items()


def applicable_before_2019(schema: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    _spend(_DESCENT_COST + len(schema))
    return [("$ref", schema["$ref"])] if "$ref" in schema else schema.items()


def counted(word: str, check: Keyword) -> Keyword:
    def checked(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        _spend(size_of(value) if word in _DEEP else _width(value))
        # What is tried with every item costs at every item, even where it is False.
        _spend(_width(instance) * (_ERROR_COST if word == "contains" else 1))
        for error in check(validator, value, instance, schema) or ():
            _spend(_ERROR_COST)
            yield error

    return checked


def _width(value: Any) -> int:
    if isinstance(value, list):
        # A schema that is False makes an error where no price is asked.
        return len(value) + _ERROR_COST * sum(inner is False for inner in value)
    return len(value) if isinstance(value, dict) else size_of(value)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    if validator.is_type(instance, "string") and not _found(pattern, instance):
        yield _error(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, schema: Any) -> Iterator[Any]:
    if validator.is_type(instance, "object"):
        for pattern, inner in patterns.items():
            for name in instance:
                if _found(pattern, name):
                    yield from validator.descend(instance[name], inner, path=name, schema_path=pattern)


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extra = [name for name in instance if name not in known and not any(_found(pattern, name) for pattern in patterns)]
    if allowed is False and extra:
        names = listed(map(repr, extra[:10]), len(extra))
        yield _error(f"additional properties are not allowed (unexpected: {names})")
    elif allowed is not False:
        for name in extra:
            yield from validator.descend(instance[name], allowed, path=name)


def _unique_items(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not wanted or not validator.is_type(instance, "array"):
        return
    seen: set[str] = set()
    for at, item in enumerate(instance):
        _spend(5 * size_of(item))
        # As text: hashes of numbers can be made to collide.
        key = json.dumps(_plain(item), sort_keys=True)
        if key in seen:
            yield _error(f"{brief(item)} at index {at} is there twice, and the items must be unique")
            return
        seen.add(key)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _error(message: str) -> Any:
    from jsonschema.exceptions import ValidationError

    return ValidationError(message)


def _found(pattern: str, text: str) -> bool:
    run = _run.get()
    compiled = run.patterns.get(pattern) if run else None
    # One that only a strange place holds was not compiled in advance.
    return found(compiled or compiled_patterns([{"pattern": pattern}])[pattern], text, _spend)


OWN: dict[str, Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
