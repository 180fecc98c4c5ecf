"""Fragments of JSON go in, cut anywhere; the one string in it comes out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cut_text, cuts, texts

from cw_proxy.protocols.openai_responses.custom_input import CustomInput


def read(fragments: list[str]) -> tuple[list[str], str]:
    """The deltas, and what is left for the end."""
    decoder = CustomInput()
    return [decoder.feed(fragment) for fragment in fragments], decoder.rest()


@given(texts, st.booleans(), st.sampled_from(["", " ", "\n\t "]), cuts)
def test_the_text_comes_out_whatever_the_cuts(text: str, escaped: bool, blank: str, fractions: list[float]) -> None:
    inner = json.dumps(text, ensure_ascii=escaped)
    written = f'{blank}{{{blank}"input"{blank}:{blank}{inner}{blank}}}{blank}'
    deltas, rest = read(cut_text(written, fractions))
    assert ("".join(deltas), rest) == (text, "")


def test_nothing_that_is_known_is_held_back() -> None:
    written = r'{"input":"a\n\u00e9\ud83d\udc4d\\\"\/"}'
    deltas, _ = read(list(written))
    known = [(at, delta) for at, delta in enumerate(deltas) if delta]
    assert known == [(10, "a"), (12, "\n"), (18, "é"), (30, "👍"), (32, "\\"), (34, '"'), (36, "/")]


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r'{"input":"a\ud83db"}', "a\ufffdb"),
        (r'{"input":"\ud83d"}', "\ufffd"),
        (r'{"input":"\ud83d\ud83d\udc4d"}', "\ufffd👍"),
        (r'{"input":"\udc4d"}', "\ufffd"),
        (r'{"input":"\ud83d\n"}', "\ufffd\n"),
    ],
)
def test_half_a_pair_is_no_character(written: str, text: str) -> None:
    deltas, rest = read(list(written))
    assert "".join(deltas) + rest == text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ('{"a":1,"input":"x"}', "x"),
        ('{"a":1,"input":"\\ud83d"}', "\ufffd"),
        ('{"input":1}', '{"input":1}'),
        ('{"patch":"x"}', '{"patch":"x"}'),
        ("{}", ""),
        ("", ""),
        ("{", "{"),
        (" " * 1000 + '{"input":"x"}', "x"),
    ],
)
def test_other_arguments_come_at_the_end(written: str, text: str) -> None:
    assert read(list(written)) == ([""] * len(written), text)
