"""What one exchange came to, in numbers and names: for the access log, the usage history and the metrics.

In: what its parts notice on the way, each when it happens; its events, to count tokens. Out: an Entry. Refuses to know
who keeps it, and keeps no text: what was said is weighed, and thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from cw_proxy.errors import ProxyError
from cw_proxy.events import End, Event, Fail, Text, Usage, choice_of
from cw_proxy.interfaces import Encoder
from cw_proxy.model import Request
from cw_proxy.secret import digest
from cw_proxy.usage import AnswerTally, Source, TokenCount, count, together

OK, CLIENT_GONE = "ok", "client_gone"
NO_ROUTE = "none"
# Characters of what clients write themselves.
_LONGEST = 100
_NO_KEY = digest("")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange, once it is over: a request, a turn on a WebSocket, or a message.

    `time` is its beginning in epoch seconds. `method` is HTTP's, or what another transport is called; `route` is the
    pattern, never the path; `key` is a name, never the key. `model_asked` is the client's own text, cut; `model` what
    the upstream is asked for, cut as well, None for its default. `outcome` is ok, an error's code, or client_gone.
    Times are milliseconds from the beginning: until the model was asked, until the first of its answer, until the end.
    """

    id: str
    time: float
    method: str
    route: str
    status: int
    outcome: str
    key: str | None = None
    agent: str | None = None
    model_asked: str | None = None
    model: str | None = None
    backend: str | None = None
    stream: bool | None = None
    finish: str | None = None
    queue_ms: float | None = None
    first_ms: float | None = None
    total_ms: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    tokens_source: Source | None = None
    credits: float | None = None


Sink = Callable[[Entry], None]


class Record:
    """Of one exchange, while it goes on. `finish` makes the Entry, once."""

    __slots__ = (
        *("_answers", "_began", "_clock", "_first", "_names", "_queued", "_request", "_sinks", "_time"),
        *("agent", "backend", "id", "key", "method", "model", "outcome", "route", "stream"),
    )

    def __init__(
        self,
        id: str,
        method: str,
        *,
        time: float,
        clock: Callable[[], float],
        names: Mapping[str, str] = {},
        sinks: Sequence[Sink] = (),
    ) -> None:
        self.id = id
        self.method = method
        self.route = NO_ROUTE
        self.key: str | None = None
        self.agent: str | None = None
        self.model: str | None = None
        self.backend: str | None = None
        self.stream: bool | None = None
        self.outcome: str | None = None
        self._time = time
        self._clock = clock
        self._began = clock()
        self._queued: float | None = None
        self._first: float | None = None
        self._request: Request | None = None
        self._answers: list[_Answer] = []
        self._names = names
        self._sinks = sinks

    def turn(self, number: int) -> Record:
        """Of a turn on the WebSocket that this one is about."""
        made = Record(
            f"{self.id}.{number}", "WS", time=self._time, clock=self._clock, names=self._names, sinks=self._sinks
        )
        made._time += made._began - self._began
        made.route, made.key, made.agent = self.route, self.key, self.agent
        return made

    # --- what is noticed ---

    def came_from(self, owner: bytes, agent: str | None) -> None:
        """`owner` is the digest of the client's key."""
        short = owner.hex()[:8]
        self.key = None if owner == _NO_KEY else self._names.get(short, short)
        self.agent = _cut(agent) if agent else None

    def asks(self, request: Request, *, stream: bool) -> None:
        self._request = request
        self.stream = stream
        self._answers = [_Answer() for _ in range(request.choices)]

    def planned(self, model: str | None, backend: str) -> None:
        """The question goes to the upstream now."""
        self.model, self.backend = model, backend
        self._queued = self._clock()

    def feed(self, events: Sequence[Event]) -> None:
        """A batch of the answer."""
        answer = self._answers[choice_of(events) if len(self._answers) > 1 else 0]
        said = answer.said.text.feed
        for event in events:
            if type(event) is Text:
                said(event.text)
            else:
                answer.take(event)
        if self._first is None:
            self._first = self._clock()

    def watching(self, encoder: Encoder) -> Encoder:
        return _Watching(encoder, self)

    def failed(self, error: ProxyError) -> None:
        self.outcome = self.outcome or error.code

    def gone(self) -> None:
        self.outcome = self.outcome or CLIENT_GONE

    # --- the end ---

    def finish(self, status: int) -> None:
        entry = self._entry(status)
        for sink in self._sinks:
            sink(entry)

    def _entry(self, status: int) -> Entry:
        tokens = self._tokens()
        credits = [answer.usage.credits for answer in self._answers if answer.usage.credits is not None]
        return Entry(
            id=self.id,
            time=round(self._time, 3),
            method=self.method,
            route=self.route,
            status=status,
            outcome=self.outcome or self._failure() or OK,
            key=self.key,
            agent=self.agent,
            model_asked=_cut(self._request.model) if self._request else None,
            # With open names, the client's own words.
            model=_cut(self.model) if self.model is not None else None,
            backend=self.backend,
            stream=self.stream,
            finish=next((answer.ending for answer in self._answers if answer.ending), None),
            queue_ms=self._milliseconds(self._queued),
            first_ms=self._milliseconds(self._first),
            total_ms=self._milliseconds(self._clock()) or 0.0,
            input_tokens=tokens.input if tokens else None,
            output_tokens=tokens.output if tokens else None,
            cached_tokens=tokens.cached if tokens else None,
            tokens_source=tokens.source if tokens else None,
            credits=sum(credits) if credits else None,
        )

    def _failure(self) -> str | None:
        return next((answer.failure for answer in self._answers if answer.failure), None)

    def _tokens(self) -> TokenCount | None:
        """None where nothing was answered. Weighing a long prompt takes some time; the answer is out by now."""
        if self._request is None or self._first is None:
            return None
        request = self._request
        return together([count(request, answer.usage, answer.said) for answer in self._answers])

    def _milliseconds(self, at: float | None) -> float | None:
        return None if at is None else round((at - self._began) * 1000, 1)


def _cut(text: str) -> str:
    """Half a surrogate pair, which clients can send, is no text that could be written anywhere."""
    return text[:_LONGEST].encode("utf-8", "backslashreplace").decode()


class _Answer:
    """One of several answers to the question."""

    __slots__ = ("ending", "failure", "said", "usage")

    def __init__(self) -> None:
        self.said = AnswerTally()
        self.usage = Usage()
        self.ending: Literal["stop", "length", "tool_calls", "content_filter"] | None = None
        self.failure: str | None = None

    def take(self, event: Event) -> None:
        match event:
            case Usage():
                self.usage = self.usage.updated(event)
            case End():
                self.ending = event.finish_reason
            case Fail():
                self.failure = event.error.code
            case _:
                self.said.feed(event)


class _Watching:
    """An encoder, and a record that sees what it is fed: no generator around the batches, which costs at every read."""

    __slots__ = ("_encoder", "_record", "ping")

    def __init__(self, encoder: Encoder, record: Record) -> None:
        self._encoder = encoder
        self._record = record
        self.ping = encoder.ping

    @property
    def ended(self) -> bool:
        return self._encoder.ended

    def feed(self, events: Sequence[Event]) -> bytes:
        self._record.feed(events)
        return self._encoder.feed(events)


class Recorder:
    """Makes records for a server; with nobody to tell, none. `time` is epoch seconds, `clock` only goes forward."""

    def __init__(
        self,
        sinks: Sequence[Sink] = (),
        names: Mapping[str, str] = {},
        *,
        time: Callable[[], float] = lambda: 0.0,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._sinks = tuple(sinks)
        self._names = names
        self._time = time
        self._clock = clock

    def begin(self, id: str, method: str) -> Record | None:
        if not self._sinks:
            return None
        return Record(id, method, time=self._time(), clock=self._clock, names=self._names, sinks=self._sinks)
