"""Values say little about themselves, however large they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.structured.values import Unfit, clipped, parsed, size_of, tree

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(values)
def test_a_tree_is_equal_to_what_it_copies(value: Any) -> None:
    assert tree(value) == value == parsed(json.dumps(value))


SHOWN: list[tuple[Any, str]] = [
    ([], "[]"),
    ({}, "{}"),
    ("a'b", '"a\'b"'),
    ("x" * 60, repr("x" * 60)),
    ("x" * 61, repr("x" * 60) + "…"),
    ([1, [2], {"a": 3}, [], {}], "[1, […], {…}, [], {}]"),
    ({"a": {"b": "c"}, "d": 1}, "{'a': {…}, 'd': 1}"),
    (list(range(12)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]"),
]


@pytest.mark.parametrize(("value", "wanted"), SHOWN)
def test_what_is_shown(value: Any, wanted: str) -> None:
    assert repr(tree(value)) == wanted


@given(values)
def test_nothing_is_shown_at_length(value: Any) -> None:
    assert len(repr(tree([value] * 20))) < 10_000


def test_sizes() -> None:
    assert size_of(tree({"a": [1, 2], "b": "x" * 1024})) == 1 + 2 + 3 + 5
    assert size_of(1) == 1


@pytest.mark.parametrize("text", ["", "{", "1 2", "NaN", "1e999", "9" * 301, '{"a":1,"a":1}', '"\n"', "\ufeff1"])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(Unfit):
        parsed(text)


def test_half_an_emoji_is_a_text() -> None:
    assert parsed('"\\ud83d"') == "\ud83d"
    repr(parsed('"\\ud83d"')).encode()


def test_clipping() -> None:
    assert (clipped("abc", 3), clipped("abcd", 3)) == ("abc", "ab…")
