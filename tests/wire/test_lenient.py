"""JSON of every kind goes in: values come out, or one of UNREADABLE."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.wire.lenient import UNREADABLE, is_object, read, text_of


class Said(msgspec.Struct):
    text: str | None = None


SAID = msgspec.json.Decoder(Said)


def test_half_a_pair_is_read_as_it_is() -> None:
    assert read(b'{"text":"a\\ud83d","more":1}', SAID) == Said("a\ud83d")


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_else(payload: bytes) -> None:
    with contextlib.suppress(UNREADABLE):
        read(payload, SAID)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{}", True),
        (' {"a": 1e999, "b": 1' + "0" * 5000 + "} ", True),
        ('{"a":"\\ud83d"}', True),
        ("[]", False),
        ("null", False),
        ('{"a":NaN}', False),
        ('{"a":', False),
        ("", False),
    ],
)
def test_is_object(text: str, answer: bool) -> None:
    assert is_object(text) is answer


def test_text_of() -> None:
    assert text_of(None) == ""
    assert text_of({"a": "é", "b": [1]}) == '{"a":"é","b":[1]}'
