"""Responses over HTTP: asked, asked for again, deleted, listed, counted.

In: a request line and a body. Out: an Ask, or an answer at once. Refuses to know sockets and the model's side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from cw_proxy import body
from cw_proxy.errors import InvalidRequest, NotFound, UnsupportedParameter
from cw_proxy.interfaces import Ask, Caller, Send
from cw_proxy.protocols.openai_responses.listing import page
from cw_proxy.protocols.openai_responses.question import question
from cw_proxy.protocols.openai_responses.shapes import Body, TokensBody
from cw_proxy.protocols.openai_responses.store import Kept, Store
from cw_proxy.usage import prompt_tokens

PATH = "/v1/responses"
_body = msgspec.json.Decoder(Body)
_counted_body = msgspec.json.Decoder(TokensBody)


class OwnersMemory:
    """What one key's owner may go on from."""

    def __init__(self, store: Store, caller: Caller) -> None:
        self._store = store
        self._caller = caller

    def now(self) -> int:
        return self._caller.stamp().now

    def find(self, response_id: str) -> Kept | None:
        return self._store.find(self._caller.owner, response_id, self.now())

    def recent(self) -> Iterable[Kept]:
        return self._store.all_of(self._caller.owner, self.now())

    def keep(self, kept: Kept) -> None:
        self._store.keep(self._caller.owner, kept, self.now())

    def delete(self, response_id: str) -> None:
        self._store.delete(self._caller.owner, response_id)


class ResponsesSession:
    def __init__(self, store: Store, caller: Caller) -> None:
        self._caller = caller
        self._memory = OwnersMemory(store, caller)

    def receive(self, frame: bytes) -> Sequence[Ask | Send]:
        names = [name for name in self._caller.path.removeprefix(PATH).split("/") if name]
        match (self._caller.method, *names):
            case ("POST",):
                return [self._ask(frame)]
            case ("POST", "input_tokens"):
                return [self._count(frame)]
            case ("POST", response_id, "cancel"):
                return [self._cancel(response_id)]
            case ("GET" | "HEAD", response_id):
                return [self._get(response_id)]
            case ("GET" | "HEAD", response_id, "input_items"):
                return [self._input_items(response_id)]
            case ("DELETE", response_id):
                return [self._delete(response_id)]
            case _:
                raise NotFound("There is nothing at this path.")

    def _ask(self, frame: bytes) -> Ask:
        said = body.parse(frame, _body)
        if said.background:
            raise UnsupportedParameter("Nothing goes on in the background here.", param="background")

        def keep(kept: Kept | None) -> None:
            if kept is not None and said.store is not False:
                self._memory.keep(kept)

        return question(said, self._memory).ask(keep, self._memory.now)

    def _count(self, frame: bytes) -> Send:
        asked = question(body.parse(frame, _counted_body), self._memory).asked
        tokens = max(1, round(prompt_tokens(asked.request)))
        return _json({"object": "response.input_tokens", "input_tokens": tokens})

    # --- what is kept ---

    def _kept(self, response_id: str) -> Kept:
        kept = self._memory.find(response_id)
        if kept is None:
            raise NotFound(f"Response with id {response_id[:80]!r} not found.", code="response_not_found")
        return kept

    def _get(self, response_id: str) -> Send:
        kept = self._kept(response_id)
        if "stream=true" in self._caller.query.lower().split("&"):
            raise UnsupportedParameter("A response is streamed once, when it is made.", param="stream")
        return Send(kept.body)

    def _input_items(self, response_id: str) -> Send:
        kept = self._kept(response_id)
        return _json(page(kept.id, kept.input, self._caller.query))

    def _delete(self, response_id: str) -> Send:
        kept = self._kept(response_id)
        self._memory.delete(kept.id)
        return _json({"id": kept.id, "object": "response", "deleted": True})

    def _cancel(self, response_id: str) -> Send:
        self._kept(response_id)
        raise InvalidRequest("Only a response in the background can be cancelled: break off the request instead.")


def _json(value: object) -> Send:
    return Send(msgspec.json.encode(value))
