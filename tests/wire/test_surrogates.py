"""Pieces cut anywhere, also inside a pair, join to the text they were cut from."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.wire.surrogates import Pieces, whole

HIGH, LOW = "\ud83d", "\ude00"


@given(st.text(), st.lists(st.integers(0, 40), max_size=8))
def test_a_text_cut_in_utf16_units_comes_out_whole(text: str, cuts: list[int]) -> None:
    units = text.encode("utf-16-le")
    borders = sorted({0, len(units), *(2 * cut for cut in cuts if 2 * cut < len(units))})
    halves = itertools.pairwise(borders)
    cut = [units[start:end].decode("utf-16-le", "surrogatepass") for start, end in halves]
    pieces = Pieces()
    joined = [pieces.join(piece) for piece in cut]
    assert "".join(joined) + pieces.rest() == text
    for piece in joined:
        piece.encode()


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([HIGH, LOW], "😀"),
        (["a" + HIGH, LOW + "b"], "a😀b"),
        ([HIGH, "b"], "\ufffdb"),
        ([LOW], "\ufffd"),
        ([HIGH], "\ufffd"),
        ([HIGH, HIGH, LOW], "\ufffd😀"),
    ],
)
def test_halves(pieces: list[str], text: str) -> None:
    joining = Pieces()
    assert "".join(map(joining.join, pieces)) + joining.rest() == text
    assert joining.rest() == ""


def test_whole() -> None:
    assert whole("a" + HIGH + LOW + HIGH) == "a😀\ufffd"
