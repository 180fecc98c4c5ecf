"""One question with its chat: what it goes on from, how it is asked, and what is kept of the answer.

In: a Body, what is kept. Out: an Ask, or the frames of a response without an answer. Refuses to know HTTP and
WebSockets, and where responses are kept.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from cw_proxy.errors import InvalidRequest, InvalidValue, NotFound
from cw_proxy.events import Reply, Usage
from cw_proxy.interfaces import Encoder, Stamp
from cw_proxy.model import Request
from cw_proxy.protocols.openai_responses import shapes
from cw_proxy.protocols.openai_responses.ask import ENCRYPTED, Asked, read_request
from cw_proxy.protocols.openai_responses.encoder import Finished, ResponseEncoder, Wanted, envelope, whole
from cw_proxy.protocols.openai_responses.items import items_of, kind_of
from cw_proxy.protocols.openai_responses.output import Frames
from cw_proxy.protocols.openai_responses.response import shown, usage_of
from cw_proxy.protocols.openai_responses.store import Kept
from cw_proxy.usage import AnswerTally, TokenCount
from cw_proxy.wire import sse


class Memory(Protocol):
    """What one client may go on from."""

    def find(self, response_id: str) -> Kept | None: ...

    def recent(self) -> Iterable[Kept]: ...


class ResponsesAsk(msgspec.Struct, frozen=True):
    request: Request
    stream: bool
    wanted: Wanted

    def encoder(self, stamp: Stamp) -> Encoder:
        return ResponseEncoder(self.request, self.wanted, stamp)

    def render(self, replies: Sequence[Reply], stamp: Stamp) -> bytes:
        [reply] = replies
        return whole(self.request, self.wanted, reply, stamp)


class Question(msgspec.Struct, frozen=True):
    """A body with the items of its whole chat."""

    said: shapes.Body
    asked: Asked
    items: tuple[bytes, ...]

    def ask(self, keep: Callable[[Kept | None], None], now: Callable[[], int], lane: str | None = None) -> ResponsesAsk:
        """`keep` hears of the response, None for a failure."""
        if not self.asked.request.messages:
            raise InvalidValue("There is nothing to answer: 'input' is empty.", param="input")

        def settle(done: Finished | None) -> None:
            keep(Kept(done.id, done.body, self.items, done.output) if done else None)

        wanted = Wanted(
            shown=shown(self.said),
            called=self.asked.box.called,
            encrypted=ENCRYPTED in (self.said.include or []),
            lane=lane,
            now=now,
            settle=settle,
        )
        return ResponsesAsk(self.asked.request, bool(self.said.stream), wanted)

    def unanswered(self, stamp: Stamp, lane: str | None = None) -> tuple[list[bytes], Kept]:
        """A response that nobody was asked for: its frames, and what is kept to go on from."""
        response = envelope(shown(self.said), stamp)
        nothing = usage_of(TokenCount(0, 0, 0, "exact"), Usage(), AnswerTally())
        done: dict[str, Any] = {**response, "status": "completed", "completed_at": stamp.now, "usage": nothing}
        frames = Frames(lane)
        written = frames.event("response.created", response=response) + frames.event(
            "response.completed", response=done
        )
        return sse.payloads(written), Kept(response["id"], msgspec.json.encode(done), self.items, ())


def question(said: shapes.Body, memory: Memory) -> Question:
    """Raises what is wrong with the body, and with what it goes on from."""
    before = _before(said.previous_response_id, memory)
    known = _Items(memory)
    new = tuple(_resolved(raw, f"input[{at}]", known) for at, raw in enumerate(items_of(said.input)))
    paths = ["previous_response_id"] * len(before) + [f"input[{at}]" for at in range(len(new))]
    items = (*before, *new)
    return Question(said, read_request(said, zip(items, paths, strict=True)), items)


def _before(response_id: str | None, memory: Memory) -> tuple[bytes, ...]:
    if not response_id:
        return ()
    kept = memory.find(response_id)
    if kept is None:
        raise InvalidRequest(
            f"Previous response with id {response_id[:80]!r} not found.",
            code="previous_response_not_found",
            param="previous_response_id",
        )
    return kept.chat


class _Items:
    """What was answered, by the ids of its items: read once, by the first reference in a body."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @functools.cached_property
    def by_id(self) -> dict[str | None, bytes]:
        latest_last = (raw for kept in reversed([*self._memory.recent()]) for raw in kept.output)
        return {kind_of(raw, "input")[1].id: raw for raw in latest_last}


def _resolved(raw: bytes, path: str, known: _Items) -> bytes:
    """An item that only names another one is that one."""
    kind, item = kind_of(raw, path)
    if kind != "item_reference":
        return raw
    if item.id in known.by_id:
        return known.by_id[item.id]
    raise NotFound(f"Item with id {(item.id or '')[:80]!r} not found.", code="item_not_found", param=f"{path}.id")
