"""Any legal body of a message request, drawn at random: turns, blocks of every kind, tools, system texts.

In: nothing. Out: strategies of JSON bodies. Refuses to know what becomes of them.
"""

from __future__ import annotations

import base64
from typing import Any

from chat_bodies import FILES, IMAGES, ids, names, schemas
from hypothesis import strategies as st
from strategies import json_objects, json_values, said


def source(data: bytes) -> dict[str, str]:
    return {"type": "base64", "media_type": "image/png", "data": base64.b64encode(data).decode()}


texts = said.map(lambda text: {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}})
images = st.sampled_from(IMAGES).map(lambda data: {"type": "image", "source": source(data)})
documents = st.one_of(
    st.sampled_from(FILES).map(lambda file: {"type": "document", "title": file[0], "source": source(file[1])}),
    st.builds(
        lambda text, title: {"type": "document", "title": title, "source": {"type": "text", "data": text}},
        *(said, st.none() | said),
    ),
)
searches = st.builds(
    lambda text: {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": text}]},
    said,
)
inner = st.one_of(texts, images, documents, searches)
results = st.builds(
    lambda identity, content, failed: {
        "type": "tool_result",
        "tool_use_id": identity,
        "content": content,
        "is_error": failed,
    },
    ids,
    st.none() | said | st.lists(inner, max_size=3),
    st.none() | st.booleans(),
)
uses = st.builds(
    lambda identity, name, given: {"type": "tool_use", "id": identity, "name": name, "input": given},
    *(ids, names, json_objects),
)
servers = st.builds(
    lambda kind, content: {"type": kind, "tool_use_id": "srv_1", "content": content},
    st.sampled_from(["web_search_tool_result", "code_execution_tool_result", "mcp_tool_result"]),
    said | st.dictionaries(st.text(max_size=4), json_values, max_size=2) | st.lists(texts, max_size=2),
)
thoughts = st.sampled_from(
    [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
)


def _turn(role: str, blocks: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    content = said | st.lists(blocks, max_size=4)
    return content.map(lambda drawn: {"role": role, "content": drawn})


turns = st.one_of(
    _turn("user", st.one_of(inner, results)),
    _turn("assistant", st.one_of(texts, uses, thoughts, servers)),
    _turn("system", texts),
)
tools = st.builds(
    lambda name, schema: {"name": name, "description": "d", "input_schema": schema},
    *(names.filter(bool), st.none() | schemas),
)
bodies = st.builds(
    lambda system, messages, offered: {
        "model": "auto",
        "max_tokens": 99,
        "system": system,
        "messages": messages,
        "tools": offered,
    },
    st.none() | said | st.lists(texts, max_size=2),
    st.lists(turns, min_size=1, max_size=7),
    st.none() | st.lists(tools, max_size=3, unique_by=lambda tool: tool["name"]),
)
