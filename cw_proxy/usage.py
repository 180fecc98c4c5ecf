"""How many tokens an exchange took, and how we know.

In: the service's own numbers where it sent some, and the texts. Out: a TokenCount with its provenance: `exact` (the
service counted), `derived` (from the part of the model's window that it says is used) or `estimated`. Refuses to know
protocols, prices and any real tokenizer.

An estimate weighs what a text is made of: words, letters, numbers, punctuation, scripts. It reads a text once, in any
pieces, and the same text gives the same number however it was cut.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import msgspec

from cw_proxy.events import Event, Reply, Text, Thought, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.model import (
    DocumentPart,
    ImageLink,
    ImagePart,
    Part,
    Request,
    TextPart,
    Tool,
    ToolResultPart,
    ToolUsePart,
)

Source = Literal["exact", "derived", "estimated"]

# Tokens for each thing in a text: rules of thumb for prose, code and JSON. Exact numbers of the service correct them.
_WORD, _LETTER, _DIGIT, _MARK, _LINE = 0.6, 0.11, 0.5, 0.6, 0.5
_SHORT, _LONG, _ASTRAL = 0.45, 1.0, 2.0  # a character of two, three, four bytes: é Ж, 漢 ก, 👍
_IMAGE = 1000
_DOCUMENT_BYTE = 0.05
# How far the service's numbers may pull estimates, how many of them are looked at, and from which size on: in a small
# prompt what the service adds by itself outweighs the text.
_RATIOS = (0.5, 2.0)
_LESSONS = 32
_LEAST = 200


class TokenCount(msgspec.Struct, frozen=True):
    input: int
    output: int
    cached: int
    source: Source

    @property
    def total(self) -> int:
        return self.input + self.output


# --- the estimate -----------------------------------------------------------------------------------------


def _classes() -> bytes:
    """Which class a byte puts its character in: w d s n p (ASCII), x c e (by length); n is a line's end."""
    table = bytearray(b"s" * 33 + b"p" * 95 + b"x" * 96 + b"c" * 16 + b"e" * 16)
    table[ord("\n")] = ord("n")
    for start, end, kind in (("0", "9", "d"), ("A", "Z", "w"), ("a", "z", "w")):
        table[ord(start) : ord(end) + 1] = kind.encode() * (ord(end) - ord(start) + 1)
    return bytes(table)


_CLASSES = _classes()
_CONTINUATION = bytes(range(0x80, 0xC0))
_WORDS_ONLY = bytes(byte if byte == ord("w") else ord(" ") for byte in range(256))
_WEIGHTS = {b"w": _LETTER, b"d": _DIGIT, b"p": _MARK, b"n": _LINE, b"x": _SHORT, b"c": _LONG, b"e": _ASTRAL}


class Tally:
    """Estimates a text that comes in pieces. `feed` only keeps them: what they weigh is found many at a time."""

    __slots__ = ("_last", "_pieces", "_weight")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._last = b""
        self._weight = 0.0

    def feed(self, text: str) -> None:
        self._pieces.append(text)
        if len(self._pieces) >= 256:
            self._weigh()

    @property
    def tokens(self) -> float:
        self._weigh()
        return self._weight

    def fitting(self, text: str, room: float) -> int:
        """How many characters of `text` can follow before the weight grows by more than `room`."""
        self._weigh()
        if self._growth(text) <= room:
            return len(text)
        # Weight only grows with every character.
        return max(0, bisect_right(range(len(text)), room, key=lambda end: self._growth(text[:end])) - 1)

    def _growth(self, text: str) -> float:
        following = Tally()
        following._last = self._last
        following.feed(text)
        return following.tokens

    def _weigh(self) -> None:
        data = "".join(self._pieces).encode("utf-8", "surrogatepass")
        self._pieces.clear()
        if not data:
            return
        classes = data.translate(_CLASSES, _CONTINUATION)
        # A word that goes on from the last piece is no new one.
        words = len((self._last + classes).translate(_WORDS_ONLY).split()) - (self._last == b"w")
        self._last = classes[-1:]
        self._weight += words * _WORD + sum(classes.count(kind) * weight for kind, weight in _WEIGHTS.items())


def tally_of(*texts: str) -> Tally:
    """Texts that do not run on into each other."""
    tally = Tally()
    for text in texts:
        tally.feed(text)
        tally.feed(" ")
    return tally


class AnswerTally:
    """An answer's text, thoughts and calls, each weighed by itself: so a stream and the whole weigh the same."""

    __slots__ = ("_bare", "_calls", "text", "thoughts")

    def __init__(self) -> None:
        self.text = Tally()
        self.thoughts = Tally()
        self._calls = Tally()
        self._bare = False

    def feed(self, event: Event) -> None:
        match event:
            case Text():
                self.text.feed(event.text)
            case Thought():
                self.thoughts.feed(event.text)
            case ToolOpen():
                self._bare = True
                self._calls.feed(event.name + " ")
            case ToolInput():
                self._bare = False
                self._calls.feed(event.fragment)
            case ToolClose():
                # No input at all is an empty object.
                self._calls.feed("{} " if self._bare else " ")
            case _:
                pass

    @property
    def tokens(self) -> float:
        return self.text.tokens + self.thoughts.tokens + self._calls.tokens


def reply_tally(reply: Reply) -> AnswerTally:
    tally = AnswerTally()
    tally.feed(Text(reply.text))
    for thought in reply.thoughts:
        tally.feed(thought)
    for call in reply.tool_calls:
        for event in (ToolOpen(call.id, call.name), ToolInput(call.arguments), ToolClose()):
            tally.feed(event)
    return tally


def prompt_tokens(request: Request) -> float:
    parts = (part for message in request.messages for part in message.parts)
    return sum(map(_part, parts)) + sum(map(_tool, request.tools))


def _part(part: Part) -> float:
    match part:
        case TextPart():
            return tally_of(part.text).tokens
        case ToolUsePart():
            return tally_of(part.name, _json(part.input)).tokens
        case ToolResultPart():
            return tally_of(part.text).tokens
        case ImagePart() | ImageLink():
            return _IMAGE
        case DocumentPart():
            return len(part.data) * _DOCUMENT_BYTE


def _tool(tool: Tool) -> float:
    return tally_of(tool.name, tool.description, _json(tool.schema)).tokens


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


# --- the count --------------------------------------------------------------------------------------------


def count(request: Request, usage: Usage, said: AnswerTally) -> TokenCount:
    counted = _counted(request, usage, said)
    if usage.earlier is None:
        return counted
    earlier, source = usage.earlier, _worse(counted.source, usage.earlier.source)
    return TokenCount(counted.input + earlier.input, counted.output + earlier.output, counted.cached, source)


def _counted(request: Request, usage: Usage, said: AnswerTally) -> TokenCount:
    if (prompt := exact_input(usage)) is not None and usage.output_tokens is not None:
        return TokenCount(prompt, usage.output_tokens, usage.cache_read_tokens or 0, "exact")
    scale = usage.scale or 1.0
    output = _whole((said.tokens + (usage.unshown or 0.0)) * scale)
    if request.max_tokens is not None:
        # However it is estimated: no answer has more than it may have.
        output = min(output, request.max_tokens)
    if usage.context_percent and usage.window:
        # Per cent of the window is the whole chat, this answer included.
        total = _whole(usage.context_percent / 100 * usage.window)
        return TokenCount(max(1, total - output), output, 0, "derived")
    return TokenCount(_whole(prompt_tokens(request) * scale), output, 0, "estimated")


def together(counts: Sequence[TokenCount]) -> TokenCount:
    """Several answers to one question: the question counts once, and the least certain number tells for all."""
    source = _worse(*(one.source for one in counts))
    return TokenCount(counts[0].input, sum(one.output for one in counts), counts[0].cached, source)


def _worse(*sources: Source) -> Source:
    order: tuple[Source, ...] = ("exact", "derived", "estimated")
    return max(sources, key=order.index)


def exact_input(usage: Usage) -> int | None:
    """The service's input number leaves out what was read from and written to its cache."""
    if usage.input_tokens is None:
        return None
    return usage.input_tokens + (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)


def _whole(tokens: float) -> int:
    """At least 1: clients divide by these numbers."""
    return max(1, round(tokens))


class Calibration:
    """How far estimates are off, for each model: the first exact numbers decide. Bounded in models and lessons."""

    def __init__(self, *, capacity: int = 100) -> None:
        self._capacity = capacity
        self._sums: OrderedDict[str, tuple[float, float, int]] = OrderedDict()  # exact, estimated, lessons

    def scale(self, model: str) -> float | None:
        """What to multiply an estimate with; None while nothing is known."""
        if model not in self._sums:
            return None
        exact, estimated, _ = self._sums[model]
        return min(max(exact / estimated, _RATIOS[0]), _RATIOS[1])

    def learn(self, model: str, request: Request, usage: Usage) -> None:
        prompt = exact_input(usage)
        exact, estimated, lessons = self._sums.get(model, (0.0, 0.0, 0))
        if prompt is None or lessons >= _LESSONS:
            return
        guess = prompt_tokens(request)
        if guess < _LEAST:
            return
        self._sums[model] = (exact + prompt, estimated + guess, lessons + 1)
        if len(self._sums) > self._capacity:
            self._sums.popitem(last=False)
