"""Schemas of tools, drawn at random with arguments that conform to them: strange names, references to anywhere.

In: nothing. Out: strategies of pairs, a schema and arguments. Refuses to know what becomes of them.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

NAMES = [
    *["a", "b", "path", "properties", "$defs", "type", "anyOf_0", "required", "$ref"],
    *["$filter", "p" * 64, "p" * 65, "p" * 66, "", "a b", "a/b", "~0", "é", "%41", "100%"],
]
DEFINITIONS = ["x", "My Type", "a/b", "~1", "$filter", "é", "p" * 65, "%41", "anyOf_0", "allOf_0", "properties_a"]
PLACES = [("$defs",), ("definitions",), ("components", "schemas"), ("x-types",), ("$defs", "x", "properties")]
Pair = tuple[dict[str, Any], Any]

names = st.sampled_from(NAMES)


def reference(*steps: str | int, careful: bool = True) -> str:
    """Clients often write signs that a URI has to escape as they are."""
    pointers = [str(step).replace("~", "~0").replace("/", "~1") for step in steps]
    return "/".join(["#", *[quote(step) if careful or "%" in step else step for step in pointers]])


class _Document:
    """One schema in the making: what is referred to has its place at the root."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.places: dict[str, Any] = {}

    def pair(self, depth: int) -> Pair:
        kinds = [self._text, self._number, self._anything]
        kinds += [self._object, self._list, self._nullable, self._referred] if depth else []
        return self._draw(st.sampled_from(kinds))(depth - 1)

    def _text(self, _: int) -> Pair:
        return {"type": "string"}, self._draw(names)

    def _number(self, _: int) -> Pair:
        return {"type": "integer", "default": None, "enum": [1, 2]}, 1

    def _anything(self, _: int) -> Pair:
        return {"description": "d"}, self._draw(st.sampled_from([None, {"b": 1}, ["a"], {"free": {"free": ""}}]))

    def _list(self, depth: int) -> Pair:
        schema, value = self.pair(depth)
        return {"type": "array", "items": schema}, [value]

    def _nullable(self, depth: int) -> Pair:
        schema, value = self.pair(depth)
        word = self._draw(st.sampled_from(["anyOf", "allOf"]))
        return {word: [schema, {"type": "null"}] if word == "anyOf" else [schema]}, value

    def _object(self, depth: int) -> Pair:
        return self.object(depth)

    def object(self, depth: int) -> tuple[dict[str, Any], dict[str, Any]]:
        made = {name: self.pair(depth) for name in self._draw(st.lists(names, max_size=3, unique=True))}
        value = {name: inner for name, (_, inner) in made.items() if self._draw(st.booleans())}
        schema: dict[str, Any] = {"type": "object", "properties": {name: inner for name, (inner, _) in made.items()}}
        given = st.lists(st.sampled_from([*value]), max_size=2, unique=True) if value else st.just([])
        optional: dict[str, st.SearchStrategy[Any]] = {
            "required": given,
            "dependentRequired": st.dictionaries(names, given, max_size=2),
            "dependencies": st.dictionaries(names, given | given.map(lambda one: {"required": one}), max_size=2),
            "dependentSchemas": st.dictionaries(names, given.map(lambda one: {"required": one}), max_size=2),
            "propertyNames": st.just({"enum": [*made]}),
            "additionalProperties": st.sampled_from([False, True, {}]),
            "default": st.just(value),
            "const": st.just(value),
            "patternProperties": st.just({"^free": True}),
        }
        return schema | self._draw(st.fixed_dictionaries({}, optional=optional)), value

    def _referred(self, depth: int) -> Pair:
        schema, value = self.pair(depth)
        way, schema = self.put(schema)
        # What stands elsewhere is a schema only because a reference leads to it, not through it.
        deep = way[0] in ("$defs", "definitions") and self._draw(st.booleans())
        if deep and isinstance(value, dict) and value and "properties" in schema:
            inner = self._draw(st.sampled_from([*value]))
            if inner in schema["properties"]:
                return self._reference(*way, "properties", inner), value[inner]
        return self._reference(*way), value

    def _reference(self, *way: str | int) -> dict[str, Any]:
        return {"$ref": reference(*way, careful=self._draw(st.booleans()))}

    def put(self, schema: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
        """A place for it. Others may refer to it too."""
        way = self._draw(st.sampled_from(PLACES))
        at = self.places
        for step in way:
            at = at.setdefault(step, {})
        key = self._draw(st.sampled_from(DEFINITIONS).filter(lambda key: key not in at and (way, key) != TAKEN))
        at[key] = schema
        return (*way, key), schema

    def root(self) -> Pair:
        schema, value = self.object(3)
        kind = self._draw(st.sampled_from(["plain", "$ref", "allOf", "anyOf", "oneOf"]))
        before: tuple[str | int, ...] = ()
        whole: dict[str, Any] = {}
        if kind == "plain":
            whole = schema
        elif kind == "$ref":
            before, schema = self.put(schema)
            whole = {"$ref": reference(*before)}
        else:
            before = (kind, 0)
            whole = {kind: [schema, {"properties": {}} if kind == "allOf" else {"type": "null"}]}
        if value and "again" not in schema["properties"] and not {"additionalProperties", "propertyNames"} & {*schema}:
            again = self._draw(st.sampled_from([*value]))
            if again in schema["properties"]:
                schema["properties"]["again"] = self._reference(*before, "properties", again)
                value = {**value, "again": value[again]} if "const" not in schema else value
        return self._merged(whole), value

    def _merged(self, whole: dict[str, Any]) -> dict[str, Any]:
        return {**whole, **self.places}


# The definition that PLACES leads through.
TAKEN = (("$defs",), "x")


@st.composite
def schemas_with_arguments(draw: st.DrawFn) -> Pair:
    """The arguments conform to the schema."""
    return _Document(draw).root()


tool_schemas = schemas_with_arguments().map(lambda pair: pair[0])
