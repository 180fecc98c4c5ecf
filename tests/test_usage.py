"""Numbers of the service, or texts, go in; tokens and how they are known come out."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cut_text, cuts, request, say, texts

from cw_proxy.events import Reply, Thought, ToolCall, Usage
from cw_proxy.model import DocumentPart, ImagePart, Message, Tool, ToolResultPart, ToolUsePart
from cw_proxy.usage import AnswerTally, Calibration, Tally, TokenCount, count, prompt_tokens, reply_tally, tally_of

PROSE = "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness. "
CODE = "def getUserName(user_id: int) -> str:\n    return self._users[user_id].name.strip()\n\n\n"
DATA = '{"id": 12345, "items": [{"name": "alpha", "price": 19.99}, {"name": "beta", "price": 5}]}\n'
CHINESE = "我们在这里讨论如何估计文本的长度。"
RUSSIAN = "Быстрая коричневая лиса прыгает через ленивую собаку. "

# A text, and the least and the most tokens it may have by the usual rules of thumb: a word one and a bit, three digits
# one or more, a Chinese character about one, a Russian word two and more.
KNOWN = [
    (PROSE, 27, 29),
    (CODE, 24, 30),
    (DATA, 34, 45),
    (CHINESE, 12, 20),
    (RUSSIAN, 14, 30),
    ("👍👍👍", 3, 9),
    ("", 0, 0),
    (" \t ", 0, 2),
]


@pytest.mark.parametrize(("text", "least", "most"), KNOWN)
def test_an_estimate_keeps_to_the_rules_of_thumb(text: str, least: int, most: int) -> None:
    assert least * 0.75 <= tally_of(text * 20).tokens / 20 <= most * 1.25


@given(st.lists(texts | st.sampled_from([PROSE, CODE, CHINESE])).map("".join), cuts)
def test_the_cut_does_not_matter(text: str, fractions: list[float]) -> None:
    whole, pieces = Tally(), Tally()
    whole.feed(text)
    for piece in cut_text(text, fractions):
        pieces.feed(piece)
        assert pieces.tokens <= whole.tokens + 1e-6  # asked in between, as well
    assert pieces.tokens == pytest.approx(whole.tokens)


@given(st.text(st.characters(codec=None)))
def test_any_text_can_be_weighed(text: str) -> None:
    assert 0 <= tally_of(text).tokens <= 4 * len(text)


def test_many_small_pieces_take_time_as_they_are_many() -> None:
    def seconds(pieces: int) -> float:
        tally, started = Tally(), time.perf_counter()
        for _ in range(pieces):
            tally.feed("token ")
        assert tally.tokens > pieces
        return time.perf_counter() - started

    assert min(seconds(100_000) for _ in range(3)) < 40 * min(seconds(10_000) for _ in range(3))


ASKED = request(say("system", "one two"), say("user", PROSE))
GUESSED = round(prompt_tokens(ASKED))
SAID = "three words here"  # 3 words, 14 letters: 3.34 tokens
SERVICE = Usage(input_tokens=10, output_tokens=5)

COUNTS = [
    (SERVICE, TokenCount(10, 5, 0, "exact")),
    (SERVICE.updated(Usage(cache_read_tokens=3, cache_write_tokens=2)), TokenCount(15, 5, 3, "exact")),
    (SERVICE.updated(Usage(context_percent=50, window=1000, scale=2.0)), TokenCount(10, 5, 0, "exact")),
    (Usage(input_tokens=0, output_tokens=0), TokenCount(0, 0, 0, "exact")),
    (Usage(context_percent=5, window=1000), TokenCount(47, 3, 0, "derived")),
    (Usage(context_percent=5, window=1000, scale=2.0), TokenCount(43, 7, 0, "derived")),
    # The percentage is rounded: nothing of ours may become negative.
    (Usage(context_percent=0.1, window=1000), TokenCount(1, 3, 0, "derived")),
    (Usage(context_percent=0, window=1000), TokenCount(GUESSED, 3, 0, "estimated")),
    (Usage(context_percent=5), TokenCount(GUESSED, 3, 0, "estimated")),
    (Usage(window=1000), TokenCount(GUESSED, 3, 0, "estimated")),
    (Usage(), TokenCount(GUESSED, 3, 0, "estimated")),
    (Usage(scale=2.0), TokenCount(round(2 * prompt_tokens(ASKED)), 7, 0, "estimated")),
    (Usage(input_tokens=10), TokenCount(GUESSED, 3, 0, "estimated")),
    (Usage(output_tokens=5, cache_read_tokens=3), TokenCount(GUESSED, 3, 0, "estimated")),
]


@pytest.mark.parametrize(("usage", "counted"), COUNTS)
def test_exact_before_derived_before_estimated(usage: Usage, counted: TokenCount) -> None:
    assert count(ASKED, usage, tally_of(SAID)) == counted
    assert counted.total == counted.input + counted.output


def test_nothing_is_one() -> None:
    assert count(request(say("user", "")), Usage(), AnswerTally()) == TokenCount(1, 1, 0, "estimated")


def test_everything_in_a_prompt_counts() -> None:
    parts = (
        ToolUsePart("t", "ls", {"path": "a"}),
        ToolResultPart("t", "a b c"),
        ImagePart("png", b""),
        DocumentPart("d", "txt", b"x" * 1000),
    )
    before = prompt_tokens(ASKED)
    for part in parts:
        assert prompt_tokens(request(*ASKED.messages, Message("user", (part,)))) > before
    assert prompt_tokens(request(*ASKED.messages, tools=(Tool("ls", "lists", {"type": "object"}),))) > before


def test_a_reply_is_its_text_calls_and_thoughts() -> None:
    reply = Reply(
        text="one",
        thoughts=(Thought("two"), Thought(signature="no text")),
        tool_calls=(ToolCall("id", "three", "{}"),),
        notes=(),
        usage=Usage(),
        finish_reason="stop",
    )
    assert reply_tally(reply).tokens == pytest.approx(tally_of("one", "two", "three", "{}").tokens)


# --- calibration ---

LONG = request(say("user", PROSE * 20))
GUESS = prompt_tokens(LONG)


def exact(ratio: float) -> Usage:
    return Usage(input_tokens=round(GUESS * ratio), output_tokens=1)


@pytest.mark.parametrize(("ratio", "scale"), [(1.0, 1.0), (1.3, 1.3), (0.8, 0.8), (10, 2.0), (0.01, 0.5)])
def test_exact_numbers_pull_estimates_within_bounds(ratio: float, scale: float) -> None:
    calibration = Calibration()
    assert calibration.scale("m") is None
    calibration.learn("m", LONG, exact(ratio))
    assert calibration.scale("m") == pytest.approx(scale, rel=0.01)
    assert calibration.scale("other") is None


def test_what_is_in_the_cache_counts_too() -> None:
    calibration = Calibration()
    calibration.learn("m", LONG, Usage(input_tokens=0, output_tokens=1, cache_read_tokens=round(GUESS)))
    assert calibration.scale("m") == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(("asked", "usage"), [(ASKED, exact(1)), (LONG, Usage()), (LONG, Usage(output_tokens=1))])
def test_small_prompts_and_missing_numbers_teach_nothing(asked: object, usage: Usage) -> None:
    calibration = Calibration()
    calibration.learn("m", asked, usage)
    assert calibration.scale("m") is None


def test_lessons_and_models_are_bounded() -> None:
    calibration = Calibration(capacity=2)
    for _ in range(100):
        calibration.learn("a", LONG, exact(1.0))
    calibration.learn("a", LONG, exact(1000.0))
    assert calibration.scale("a") == pytest.approx(1.0, rel=0.01)
    for model in ("b", "c"):
        calibration.learn(model, LONG, exact(1.0))
    assert [calibration.scale(model) is None for model in ("a", "b", "c")] == [True, False, False]
