"""Any legal body of a chat, drawn at random: roles, parts, turns of tools in every order, strange names, huge texts.

In: nothing. Out: strategies of JSON bodies. Refuses to know what becomes of them.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import strategies as st
from strategies import json_objects, said
from tool_schemas import NAMES, tool_schemas

IMAGES = [b"\x89PNG\r\n\x1a\n.", b"\xff\xd8\xff\xe0.", b"GIF89a.", b"RIFF\0\0\0\0WEBP."]
FILES = [("a.pdf", b"%PDF-1.7"), ("b/ü.md", b"# b"), ("b/ü.md", b"# c"), (None, b"text"), ("a.csv", b"a,b")]

names = st.sampled_from(
    ["ls", "Ls", "LS", "read_file", "mcp.server/tool", "é", "1st", "", "x" * 64, "x" * 65, "X" * 65, "a b", "a_b"]
)
ids = st.sampled_from(["call_1", "call_2", "call_3", "toolu|" + "z" * 80, "", "é"])
property_names = st.sampled_from(NAMES)


def data_url(data: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


text_parts = said.map(lambda text: {"type": "text", "text": text})
image_parts = st.builds(
    lambda data, claimed: {"type": "image_url", "image_url": {"url": data_url(data, claimed)}},
    st.sampled_from(IMAGES),
    st.sampled_from(["image/png", "image/jpeg"]),
)
file_parts = st.builds(
    lambda file: {"type": "file", "file": {"filename": file[0], "file_data": data_url(file[1], "x/y")}},
    st.sampled_from(FILES),
)
texts_or_parts = said | st.lists(text_parts, max_size=3)
user_content = st.one_of(
    said,
    st.lists(st.one_of(text_parts, image_parts, file_parts), max_size=2),
    st.lists(st.one_of(text_parts, image_parts), min_size=6, max_size=24),
)

calls = st.builds(
    lambda identity, name, given: {
        "id": identity,
        "type": "function",
        "function": {"name": name, "arguments": given},
    },
    ids,
    names,
    st.just("") | (json_objects | st.dictionaries(property_names, said, max_size=2)).map(json.dumps),
)
users = st.builds(lambda content: {"role": "user", "content": content}, user_content)
systems = st.builds(
    lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "developer"]), texts_or_parts
)
assistants = st.builds(
    lambda content, made: {"role": "assistant", "content": content, "tool_calls": made, "refusal": None},
    st.none() | texts_or_parts,
    st.lists(calls, max_size=3),
)
results = st.builds(
    lambda identity, content, failed: {"role": "tool", "tool_call_id": identity, "content": content, **failed},
    ids,
    texts_or_parts,
    st.sampled_from([{}, {"name": "ls"}, {"is_error": True}]),
)


@st.composite
def tool_turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Calls, and a result for each: the usual case."""
    made = draw(st.lists(calls, min_size=1, max_size=3)) * draw(st.integers(1, 2))
    answers = [{"role": "tool", "tool_call_id": call["id"], "content": draw(user_content)} for call in made]
    return [{"role": "assistant", "content": None, "tool_calls": made}, *answers]


messages = st.lists(
    st.one_of(*[one.map(lambda message: [message]) for one in (users, systems, assistants, results)], tool_turns()),
    min_size=1,
    max_size=7,
).map(lambda runs: [message for run in runs for message in run])


def _properties(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(property_names, inner, max_size=3)


inner_schemas = st.recursive(
    st.sampled_from([{"type": "string"}, {}, None, True, {"type": None}, {"$ref": "#/$defs/x"}, {"$ref": "#/anyOf/0"}]),
    lambda inner: st.one_of(
        st.builds(lambda properties: {"type": "object", "properties": properties}, _properties(inner)),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda item: {"type": "array", "items": item}, inner),
    ),
    max_leaves=4,
)


objects = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", None, ["object", "null"]]),
        "properties": st.none() | _properties(inner_schemas),
        "required": st.none() | st.lists(property_names, max_size=2),
        "dependentRequired": st.none()
        | st.dictionaries(property_names, st.lists(property_names, max_size=2), max_size=2),
        "dependencies": st.none() | st.dictionaries(property_names, st.lists(property_names, max_size=2), max_size=2),
        "additionalProperties": st.sampled_from([False, {}, None]),
        "$schema": st.just("http://json-schema.org/draft-07/schema#"),
        "$defs": st.just({"x": {"type": "string"}}),
    },
)
schemas = st.one_of(
    objects,
    st.builds(
        lambda base, word, branches: {**base, word: branches},
        objects,
        st.sampled_from(["oneOf", "anyOf", "allOf"]),
        st.lists(objects, min_size=1, max_size=3),
    ),
    st.just({"$ref": "#/$defs/x", "$defs": {"x": {"type": "object", "properties": {"a": {"type": "string"}}}}}),
    st.just({"$ref": "#/$defs/x"}),
    tool_schemas,
)
descriptions = st.none() | said | st.sampled_from(["x" * 10_240, "x" * 10_241, "long " * 4000])
tools = st.builds(
    lambda name, description, schema: {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema, "strict": True},
    },
    names,
    descriptions,
    st.none() | schemas,
)
tool_lists = st.lists(tools, max_size=4, unique_by=lambda tool: tool["function"]["name"])


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    chat = draw(messages)
    offered = draw(st.none() | tool_lists)
    choice = draw(st.sampled_from([None, "auto", "none"]))
    return {"model": "auto", "messages": chat, "tools": offered, "tool_choice": choice}
