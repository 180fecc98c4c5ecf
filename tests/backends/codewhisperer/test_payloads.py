"""Payloads go in, values come out, or one of UNREADABLE."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.backends.codewhisperer.payloads import (
    CONTENT,
    METADATA,
    TOOL_USE,
    Content,
    ToolUse,
    read_object,
)
from cw_proxy.wire.lenient import UNREADABLE, read


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"content":"a"}', Content("a")),
        (b'{"modelId":"m","content":"a","x":{"y":[1]}}', Content("a")),
        (b'{"content":null}', Content(None)),
        (b"{}", Content(None)),
        (b'{"content":"\\ud83d"}', Content("\ud83d")),
    ],
)
def test_content(payload: bytes, value: Content) -> None:
    assert read(payload, CONTENT) == value


def test_tool_use() -> None:
    assert read(b'{"toolUseId":"t","name":"n","input":"{","stop":true}', TOOL_USE) == ToolUse("t", "n", "{", True)
    assert read(b'{"toolUseId":"t","input":{"a":1}}', TOOL_USE) == ToolUse("t", None, {"a": 1})


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'"a"', b'{"content":5}', b'{"content":"\xff"}', b'{"content":' + b"[" * 100_000]
)
def test_what_cannot_be_read_raises_what_is_expected(payload: bytes) -> None:
    for attempt in (lambda: read(payload, CONTENT), lambda: read_object(payload) and read(payload, CONTENT)):
        with pytest.raises(UNREADABLE):
            attempt()


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_else(payload: bytes) -> None:
    for attempt in (lambda: read(payload, CONTENT), lambda: read_object(payload)):
        with contextlib.suppress(UNREADABLE):
            attempt()


def test_an_object_that_is_passed_on_can_be_written() -> None:
    assert read_object(b'{"a":"\\ud83d","b":"\\ud83d\\ude00"}') == {"a": "\ufffd", "b": "😀"}
    deep = b'{"a":' + b"[" * 150 + b"]" * 150 + b"}"
    with pytest.raises(ValueError, match="nested"):
        read_object(deep)


@pytest.mark.parametrize("number", [-1, 2**40 + 1, 2**63 - 1])
def test_absurd_numbers_of_tokens_cannot_be_read(number: int) -> None:
    with pytest.raises(UNREADABLE):
        read(b'{"tokenUsage":{"outputTokens":%d}}' % number, METADATA)
