"""Bytes go in; a value comes out, or the error that says what is wrong and where."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values

from cw_proxy.body import MAX_BRACKETS, MAX_DEPTH, parse
from cw_proxy.errors import InvalidJson, InvalidRequest, InvalidValue


class Inner(msgspec.Struct):
    text: str = ""
    number: int | None = None


class Shape(msgspec.Struct):
    items: list[Inner] = []
    text: str = ""
    number: int = 0
    any: Any = None


SHAPE = msgspec.json.Decoder(Shape)
ANYTHING = msgspec.json.Decoder(Any)


@given(json_values, st.booleans())
def test_json_is_read_as_json(value: Any, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only, indent=1).encode(), ANYTHING) == value


def test_unknown_members_are_skipped_and_the_last_of_two_counts() -> None:
    assert parse(b'{"new":[1],"text":"a","text":"b"}', SHAPE).text == "b"


NOT_JSON = [
    *[
        b"",
        b" ",
        b"{",
        b"nul",
        b"{'text':1}",
        b'{"text":"a",}',
        b'{"text":"a"} x',
        b'{"text":"a\nb"}',
        b"\xef\xbb\xbf{}",
    ],
    *[b'{"any":NaN}', b'{"any":Infinity}', b'{"any":-Infinity}', b'{"any":01}', b'{"any":"\\x"}', b'{"any":"\\u12"}'],
    *[b'{"text":"\xff"}', b'{"text":"\xed\xa0\x80"}', b'{"text":"\xc3', '{"text":"a"}'.encode("utf-16")],
    b"[" * 200_000,
]


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_not_json_is_said_to_be_that(body: bytes) -> None:
    with pytest.raises(InvalidJson) as raised:
        parse(body, SHAPE)
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, "invalid_json", None)


WRONG = [
    (b"[]", None),
    (b'{"text":1}', "text"),
    (b'{"text":null}', "text"),
    (b'{"number":1.5}', "number"),
    (b'{"number":"1"}', "number"),
    (b'{"number":true}', "number"),
    (b'{"number":' + b"9" * 5000 + b"}", "number"),
    (b'{"items":[{},{"text":1}]}', "items[1].text"),
    (b'{"items":[{"number":[]}]}', "items[0].number"),
    (b'{"items":{}}', "items"),
]


@pytest.mark.parametrize(("body", "param"), WRONG)
def test_a_wrong_type_names_its_path(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidValue) as raised:
        parse(body, SHAPE)
    assert (raised.value.status, raised.value.code, raised.value.param) == (400, "invalid_value", param)
    assert "`$" not in raised.value.message


def test_a_number_beyond_all_bounds_is_an_invalid_value() -> None:
    for number in (b"1e999", b"9" * 5000):
        with pytest.raises(InvalidValue):
            parse(b'{"any":' + number + b"}", SHAPE)


@pytest.mark.parametrize("body", [b'{"text":1,"any":"canary"}', b'{"number":"canary"}', b'{"any":"canary'])
def test_the_message_does_not_repeat_the_body(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse(body, SHAPE)
    assert "canary" not in raised.value.message


# --- half a surrogate pair ---

HALVES = [
    (rb"\ud83d", "\ufffd"),
    (rb"\uDC4D", "\ufffd"),
    (rb"a\ud83db", "a\ufffdb"),
    (rb"\ud83d\ud83d\udc4d", "\ufffd👍"),
    (rb"\ud83d\udc4d\udc4d", "👍\ufffd"),
    (rb"\ud83d\n", "\ufffd\n"),
    (rb"\ud83d\\udc4d", "\ufffd\\udc4d"),
    (rb"\\ud83d\udc4d", "\\ud83d\ufffd"),
    (rb"\"\ud83d", '"\ufffd'),
]


@pytest.mark.parametrize(("escaped", "text"), HALVES)
def test_half_a_pair_becomes_the_replacement_character(escaped: bytes, text: str) -> None:
    assert parse(b'{"text":"' + escaped + b'"}', SHAPE).text == text


@given(st.text(st.characters(codec=None)))
def test_any_text_a_javascript_client_may_send(text: str) -> None:
    wanted = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    assert parse(json.dumps({"text": text}).encode(), SHAPE).text == wanted


# --- depth ---


def nested(depth: int, inside: str = "1") -> bytes:
    return ("[" * depth + inside + "]" * depth).encode()


def test_nesting_has_a_limit() -> None:
    assert parse(nested(MAX_DEPTH), ANYTHING)
    for depth in (MAX_DEPTH + 1, 1000, 100_000):
        with pytest.raises(InvalidJson, match="nested"):
            parse(nested(depth), ANYTHING)
    with pytest.raises(InvalidJson, match="nested"):
        parse(b'{"any":' * 200 + b"1" + b"}" * 200, SHAPE)


def test_a_body_of_brackets_alone_is_refused_without_counting_them_one_by_one() -> None:
    with pytest.raises(InvalidJson, match="more than"):
        parse(b"[" + b"[]," * MAX_BRACKETS + b"[]]", ANYTHING)


def test_brackets_in_a_text_are_text() -> None:
    text = "[" * (MAX_BRACKETS + 1)
    assert parse(json.dumps([[text]]).encode(), ANYTHING) == [[text]]


def test_brackets_side_by_side_or_in_texts_are_not_nesting() -> None:
    assert len(parse(b"[" + b"[]," * 1000 + b"[]]", ANYTHING)) == 1001
    for text in ("[" * 1000, '"[' * 1000, '\\"[{' * 1000, "\\" * 1001 + "[" * 1000):
        assert parse(json.dumps([text]).encode(), ANYTHING) == [text]


@given(st.recursive(st.text('[]{}"\\ ', max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_depth_is_counted_outside_texts_only(value: Any) -> None:
    body = b"[" * (MAX_DEPTH - 6) + json.dumps(value).encode() + b"]" * (MAX_DEPTH - 6)
    depth = MAX_DEPTH - 6 + depth_of(value)
    if depth <= MAX_DEPTH:
        parse(body, ANYTHING)
    else:
        with pytest.raises(InvalidJson):
            parse(body, ANYTHING)


def depth_of(value: Any) -> int:
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


HOSTILE = {
    "a text that never ends": b"[" * 101 + b'"' + b'\\"' * 500_000,
    "quotes": b"[" * 101 + b'"' * 500_000,
    "backslashes": b"[" * 101 + b'"' + b"\\" * 500_001,
    "half pairs": b'{"text":"' + rb"\ud83d" * 200_000,
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_body_takes_no_longer_than_its_length(case: str) -> None:
    """Linear work is done in a blink; quadratic work would take hours."""
    with pytest.raises(InvalidJson):
        parse(HOSTILE[case], SHAPE)


@given(st.binary(max_size=50) | st.text('{}[]":,\\u0d8x1n', max_size=30).map(str.encode))
def test_any_bytes_are_a_value_or_an_invalid_request(body: bytes) -> None:
    try:
        parse(body, SHAPE)
    except InvalidRequest as error:
        assert error.status == 400
