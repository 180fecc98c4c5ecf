"""What is answered: the events of one exchange, their legal order, and how they add up to a reply.

In: events from a backend's decoder. Out: the order check, and `Collector` for those who want the whole. Refuses to
know wire formats of either side, clocks and ids.

An exchange is IDLE until Begin, OPEN between blocks, inside a TOOL while one call's input streams, and then DONE or
FAILED, after which nothing may come. One tool is open at a time: a backend whose calls interleave queues them.
`Fail` is an ending like `End`: an encoder shows it as an error, never as a clean finish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum, auto
from itertools import groupby
from typing import Any, Literal, assert_never

import msgspec

from cw_proxy.errors import ProxyError, UpstreamProtocol

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]


class Begin(msgspec.Struct, frozen=True):
    """`conversation_id` is the service's own, when it sends one."""

    conversation_id: str | None = None


class Text(msgspec.Struct, frozen=True, gc=False):
    text: str


class Thought(msgspec.Struct, frozen=True):
    """Reasoning: a piece of its text, or its signature, or an opaque (base64) block."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None


class Note(msgspec.Struct, frozen=True):
    """What comes beside the text: `kind` is references, web_links, followup, citation or document_citation."""

    kind: str
    data: Any


class Spent(msgspec.Struct, frozen=True):
    """What an earlier round of the same answer took; `source` is how the tokens are known (usage.py)."""

    input: int
    output: int
    source: Literal["exact", "derived", "estimated"]
    credits: float | None = None


class Usage(msgspec.Struct, frozen=True):
    """Tokens, per cent and credits as the service gives them; a later event's numbers overrule an earlier one's.

    The last four are ours: the model's window in tokens, what estimates are multiplied with, the estimate of what was
    written and is not shown, and what an earlier round took.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    context_percent: float | None = None
    credits: float | None = None
    window: int | None = None
    scale: float | None = None
    unshown: float | None = None
    earlier: Spent | None = None

    def updated(self, later: Usage) -> Usage:
        merged = (
            old if new is None else new
            for old, new in zip(msgspec.structs.astuple(self), msgspec.structs.astuple(later), strict=True)
        )
        return Usage(*merged)


class ToolOpen(msgspec.Struct, frozen=True):
    id: str
    name: str


class ToolInput(msgspec.Struct, frozen=True):
    """A fragment of the call's JSON text, cut anywhere."""

    fragment: str


class ToolClose(msgspec.Struct, frozen=True):
    """The call is whole: its fragments, joined, are a JSON object (no fragments: an empty one)."""


class End(msgspec.Struct, frozen=True):
    """`stop_sequence` is the one of the request's `stop` that ended the answer."""

    finish_reason: FinishReason
    stop_sequence: str | None = None


class Fail(msgspec.Struct, frozen=True):
    error: ProxyError


class Choice(msgspec.Struct, frozen=True):
    """Where several answers to one question come at the same time: the whole batch belongs to this one.

    It stands first in a batch, and only there. It is about who speaks, so the order below does not know it.
    """

    index: int


Event = Begin | Text | Thought | Note | Usage | ToolOpen | ToolInput | ToolClose | End | Fail | Choice


class State(Enum):
    IDLE = auto()
    OPEN = auto()
    TOOL = auto()
    DONE = auto()
    FAILED = auto()


ORDER: dict[State, dict[type[Event], State]] = {
    State.IDLE: {Begin: State.OPEN, Fail: State.FAILED},
    State.OPEN: {
        Text: State.OPEN,
        Thought: State.OPEN,
        Note: State.OPEN,
        Usage: State.OPEN,
        ToolOpen: State.TOOL,
        End: State.DONE,
        Fail: State.FAILED,
    },
    State.TOOL: {
        ToolInput: State.TOOL,
        Usage: State.TOOL,
        ToolClose: State.OPEN,
        Fail: State.FAILED,
    },
    State.DONE: {},
    State.FAILED: {},
}


class OrderViolation(ProxyError):
    """A backend's decoder broke the table above: a bug of ours, said as such."""

    default_code = "event_order"


class OrderCheck:
    """Walks ORDER; `feed` raises OrderViolation at the first event that may not come here."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state = State.IDLE

    @property
    def ended(self) -> bool:
        return not ORDER[self.state]

    def feed(self, events: Iterable[Event]) -> None:
        state = self.state
        for event in events:
            following = ORDER[state].get(type(event))
            if following is None:
                raise OrderViolation(f"internal error: {type(event).__name__} cannot follow in state {state.name}")
            state = following
        self.state = state


class ToolCall(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str


Part = Text | Thought | ToolCall


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer: its events, folded. `parts` are the same text, thoughts and calls in their order; no two texts
    stand side by side."""

    parts: tuple[Part, ...] = ()
    text: str
    thoughts: tuple[Thought, ...]
    tool_calls: tuple[ToolCall, ...]
    notes: tuple[Note, ...]
    usage: Usage
    finish_reason: FinishReason
    stop_sequence: str | None = None


# Far beyond any model's window: an answer without an end must not fill the memory.
MAX_CHARACTERS = 16 * 1024 * 1024


class Collector:
    """Folds events into a Reply. `feed` raises UpstreamProtocol beyond MAX_CHARACTERS; `reply()` raises the error of
    a Fail, and is legal only after the end."""

    def __init__(self) -> None:
        self._characters = 0
        self._parts: list[Part] = []
        self._notes: list[Note] = []
        self._open: ToolOpen | None = None
        self._input: list[str] = []
        self._usage = Usage()
        self._ending: End | Fail | None = None

    def feed(self, events: Iterable[Event]) -> None:
        for event in events:
            self._take(event)

    def _take(self, event: Event) -> None:
        match event:
            case Text():
                self._count(len(event.text))
                self._parts.append(event)
            case ToolInput():
                self._count(len(event.fragment))
                self._input.append(event.fragment)
            case ToolOpen():
                self._open = event
            case ToolClose():
                self._close()
            case Thought():
                self._count(len(event.text) + len(event.signature or "") + len(event.redacted or ""))
                self._parts.append(event)
            case Note():
                self._count(len(msgspec.json.encode(event.data)))
                self._notes.append(event)
            case Usage():
                self._usage = self._usage.updated(event)
            case End() | Fail():
                self._ending = event
            case Begin() | Choice():
                pass
            case _:
                assert_never(event)

    def _count(self, characters: int) -> None:
        self._characters += characters
        if self._characters > MAX_CHARACTERS:
            raise UpstreamProtocol(f"The service's answer has more than {MAX_CHARACTERS} characters.")

    def _close(self) -> None:
        if self._open is not None:
            arguments = "".join(self._input) or "{}"
            self._parts.append(ToolCall(self._open.id, self._open.name, arguments))
        self._open = None
        self._input.clear()

    def check(self) -> None:
        """Raises the error of a Fail."""
        if isinstance(self._ending, Fail):
            raise self._ending.error

    def reply(self) -> Reply:
        self.check()
        if not isinstance(self._ending, End):
            raise OrderViolation("internal error: the events have no end")
        parts = tuple(_joined(self._parts))
        return Reply(
            parts=parts,
            text="".join(part.text for part in parts if isinstance(part, Text)),
            thoughts=tuple(part for part in parts if isinstance(part, Thought)),
            tool_calls=tuple(part for part in parts if isinstance(part, ToolCall)),
            notes=tuple(self._notes),
            usage=self._usage,
            finish_reason=self._ending.finish_reason,
            stop_sequence=self._ending.stop_sequence,
        )


def _joined(parts: Iterable[Part]) -> Iterator[Part]:
    for kind, run in groupby(parts, type):
        if kind is Text:
            yield Text("".join(part.text for part in run if isinstance(part, Text)))
        else:
            yield from run


class Choices:
    """Folds the answers to one question, each by itself. `replies()` raises the error of the first that failed."""

    def __init__(self, number: int) -> None:
        self._collectors = [Collector() for _ in range(number)]

    def feed(self, events: Sequence[Event]) -> None:
        self._collectors[choice_of(events)].feed(events)

    def replies(self) -> list[Reply]:
        # The others were left where they were when one failed.
        for collector in self._collectors:
            collector.check()
        return [collector.reply() for collector in self._collectors]


def choice_of(events: Sequence[Event]) -> int:
    """Which of several answers a batch belongs to."""
    first = events[0] if events else None
    return first.index if isinstance(first, Choice) else 0
