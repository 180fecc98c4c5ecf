"""Chunks as servers write them are read, and only a wrong type where it matters is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cw_proxy.backends.openai_upstream.shapes import CHUNK, Chunk
from cw_proxy.wire.lenient import UNREADABLE, read


def parsed(value: Any) -> Chunk:
    return read(json.dumps(value).encode(), CHUNK)


def test_members_of_others_are_skipped_and_null_is_absent() -> None:
    delta = {"role": "assistant", "content": "a", "tool_calls": None, "annotations": []}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, "content_filter_results": {}}
    chunk = parsed({"id": "x", "choices": [choice], "usage": None, "system_fingerprint": 5, "x_groq": {"id": "y"}})
    (made,) = chunk.choices or ()
    assert made.delta is not None
    assert (made.delta.content, made.delta.tool_calls, made.finish_reason, chunk.usage) == ("a", None, None, None)
    assert parsed({}) == Chunk()


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"choices": {}},
        {"choices": [{"index": "0"}]},
        {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": 5}}]}}]},
        {"choices": [{"delta": {"refusal": {}}}]},
    ],
)
def test_what_cannot_be_meant(value: Any) -> None:
    with pytest.raises(UNREADABLE):
        parsed(value)
