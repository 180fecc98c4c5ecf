"""Responses over a WebSocket: each frame asks, in its lane; the latest response of every lane can be gone on from.

In: frames. Out: turns, and frames at once. Refuses to know sockets and the model's side.

What a turn goes on from is looked up when its time has come: it may be the answer to the turn before. With `store` off
a response lives as long as its connection, and until its lane has a later one. A turn that fails takes what it went
on from out of this memory, as OpenAI does: the client then sends the whole chat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

import msgspec

from cw_proxy import body
from cw_proxy.errors import InvalidValue, ProxyError, ShuttingDown, SocketLimit
from cw_proxy.interfaces import Ask, Caller, Later, Send
from cw_proxy.protocols.openai_responses.question import question
from cw_proxy.protocols.openai_responses.session import OwnersMemory
from cw_proxy.protocols.openai_responses.shapes import Body, Frame
from cw_proxy.protocols.openai_responses.store import Kept, Store

# Bytes of chats that one connection may hold: beyond it, the lane that answered first forgets.
MOST_BYTES = 8 * 1024 * 1024
_MOST_NAME = 256
_frame = msgspec.json.Decoder(Frame)
_body = msgspec.json.Decoder(Body)


class ResponsesSocket:
    """One connection's."""

    def __init__(self, store: Store, caller: Caller) -> None:
        self._caller = caller
        self._owners = OwnersMemory(store, caller)
        self._latest: dict[str | None, Kept] = {}  # by lane, the one that answered last at the end
        self._continued: dict[str | None, str | None] = {}  # by lane: what its turn goes on from

    def receive(self, frame: bytes) -> Sequence[Later | Send]:
        lane = None
        try:
            said = body.parse(frame, _frame)
            lane = _lane(said)
            if said.type != "response.create":
                raise InvalidValue("Frames are of type 'response.create'.", param="type")
        except ProxyError as error:
            return [Send(error_frame(error, lane))]
        return [Later(lane, self._turn(said.wrapped or frame, lane))]

    def frame(self, data: bytes) -> bytes:
        return data

    def failure(self, error: ProxyError, lane: str | None) -> bytes:
        # These two are about frames that never became turns.
        if not isinstance(error, (SocketLimit, ShuttingDown)):
            self._evict(self._continued.pop(lane, None))
        return error_frame(error, lane)

    # --- turns ---

    def _turn(self, frame: bytes, lane: str | None) -> Callable[[], Sequence[Ask | Send]]:
        """What is wrong with a body is told in its lane's order."""
        try:
            said = body.parse(frame, _body)
        except ProxyError as error:
            return _raising(error)
        return lambda: self._begun(said, lane)

    def _begun(self, said: Body, lane: str | None) -> Sequence[Ask | Send]:
        self._continued[lane] = said.previous_response_id

        def keep(kept: Kept | None) -> None:
            continued = self._continued.pop(lane, None)
            if kept is None:
                self._evict(continued)
            else:
                self._keep(kept, lane, stored=said.store is not False)

        asked = question(said, self)
        if said.generate is not False:
            return [asked.ask(keep, self._owners.now, lane)]
        frames, kept = asked.unanswered(self._caller.stamp(), lane)
        keep(kept)
        return [Send(frame) for frame in frames]

    # --- what is remembered ---

    def find(self, response_id: str) -> Kept | None:
        here = (kept for kept in self._latest.values() if kept.id == response_id)
        return next(here, None) or self._owners.find(response_id)

    def recent(self) -> Iterable[Kept]:
        return [*self._latest.values(), *self._owners.recent()]

    def _keep(self, kept: Kept, lane: str | None, *, stored: bool) -> None:
        if stored:
            self._owners.keep(kept)
        self._latest.pop(lane, None)
        self._latest[lane] = kept
        while self._latest and sum(one.size for one in self._latest.values()) > MOST_BYTES:
            del self._latest[next(iter(self._latest))]

    def _evict(self, response_id: str | None) -> None:
        for lane in [lane for lane, kept in self._latest.items() if kept.id == response_id]:
            del self._latest[lane]


def _lane(said: Frame) -> str | None:
    if said.stream_id is not None and not 1 <= len(said.stream_id) <= _MOST_NAME:
        raise InvalidValue(f"The name of a lane has 1 to {_MOST_NAME} characters.", param="stream_id")
    return said.stream_id


def _raising(error: ProxyError) -> Callable[[], NoReturn]:
    def then() -> NoReturn:
        raise error

    return then


def error_frame(error: ProxyError, lane: str | None) -> bytes:
    """The headers stand in the frame: there are no others."""
    frame = {
        "type": "error",
        "status": error.status,
        "headers": {name.lower(): value for name, value in error.headers().items()},
        "error": error.fields(),
    }
    return msgspec.json.encode(frame | ({"stream_id": lane} if lane is not None else {}))
