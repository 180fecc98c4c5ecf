"""Responses for the tests: bodies in, questions out; events in, the bytes of an answer out; the SDK as judge of them.

In: members of a body, events. Out: what the protocol makes of them. Refuses to know pytest.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from openai_sdk import Client
from strategies import request, say

from cw_proxy.events import Collector, Event, Text, Thought, ToolClose, ToolInput, ToolOpen
from cw_proxy.interfaces import Caller, Stamp
from cw_proxy.protocols.openai_responses import OpenAIResponses, ResponsesAsk
from cw_proxy.protocols.openai_responses.encoder import Finished, ResponseEncoder, Wanted, whole
from cw_proxy.protocols.openai_responses.response import shown
from cw_proxy.protocols.openai_responses.shapes import Body
from cw_proxy.protocols.openai_responses.tools import Called
from cw_proxy.wire import sse

NOW = 1_700_000_000
REQUEST = request(say("user", "hello"), model="auto")
_NUMBERS = itertools.count(10_000)
CUSTOM = {"patch": Called("custom", "patch"), "crm__find": Called("function", "find", "crm")}


def stamp() -> Stamp:
    """Ids that differ, and are the same each time."""
    numbers = itertools.count(1)
    return Stamp(NOW, lambda: f"{next(numbers):04}")


def caller(owner: bytes = b"me", **members: Any) -> Caller:
    ids = stamp().new_id
    return Caller(owner=owner, **{"path": "/v1/responses", "stamp": lambda: Stamp(NOW, ids), **members})


def body(**members: Any) -> bytes:
    return json.dumps({"model": "auto", "input": "hello", **members}).encode()


def ask(protocol: OpenAIResponses | None = None, by: Caller | None = None, **members: Any) -> ResponsesAsk:
    [asked] = (protocol or OpenAIResponses()).session(by or caller()).receive(body(**members))
    assert isinstance(asked, ResponsesAsk)
    return asked


def streamed_ask(asked: ResponsesAsk, events: list[Event], by: Stamp | None = None) -> bytes:
    """With ids that no other answer has, unless they are given."""
    return asked.encoder(by or Stamp(NOW, lambda: f"{next(_NUMBERS)}")).feed(events)


def wanted(
    *, lane: str | None = None, encrypted: bool = False, settle: Callable[[Finished | None], None] = lambda done: None
) -> Wanted:
    return Wanted(
        shown=shown(Body(model="auto")), called=CUSTOM, encrypted=encrypted, lane=lane, now=lambda: NOW, settle=settle
    )


def streamed(events: list[Event], batches: list[int] | None = None, **members: Any) -> bytes:
    encoder = ResponseEncoder(REQUEST, wanted(**members), stamp())
    borders = [0, *sorted(batches or []), len(events)]
    return b"".join(encoder.feed(events[start:end]) for start, end in itertools.pairwise(borders))


def frames(stream: bytes) -> list[Any]:
    return [json.loads(data) for data in sse.SseDecoder().feed(stream)]


def final(stream: bytes) -> Any:
    return frames(stream)[-1]["response"]


def rendered(events: list[Event], **members: Any) -> Any:
    collector = Collector()
    collector.feed(events)
    return json.loads(whole(REQUEST, wanted(**members), collector.reply(), stamp()))


def meant(events: list[Event]) -> list[tuple[str, ...]]:
    """What the events say, told without the code under test: texts, summaries and calls, in their order."""
    said: list[list[str]] = []
    sealed = False
    for event in events:
        match event:
            case Text():
                _extend(said, "message", event.text, new=False)
            case Thought():
                _extend(said, "reasoning", event.text, new=sealed)
                sealed = bool(event.signature or event.redacted)
                continue
            case ToolOpen():
                said.append(["function_call", "", event.name, event.id])
            case ToolInput():
                said[-1][1] += event.fragment
            case ToolClose():
                said[-1][1] = said[-1][1] or "{}"
            case _:
                continue
        sealed = False
    return [tuple(one) for one in said]


def _extend(said: list[list[str]], kind: str, text: str, *, new: bool) -> None:
    if new or not said or said[-1][0] != kind:
        said.append([kind, ""])
    said[-1][1] += text


def told(response: Response) -> list[tuple[str, ...]]:
    """The same of a response of the SDK's."""
    said: list[tuple[str, ...]] = []
    for item in response.output:
        match item.type:
            case "message":
                said.append(("message", "".join(part.text for part in item.content if part.type == "output_text")))
            case "reasoning":
                said.append(("reasoning", "".join(part.text for part in item.summary)))
            case "function_call":
                said.append(("function_call", item.arguments, item.name, item.call_id))
            case other:
                raise AssertionError(other)
    return said


class Judge(Client):
    def events(self, stream: list[bytes]) -> Iterator[ResponseStreamEvent]:
        yield from self.streaming(stream).responses.create(model="auto", input="", stream=True)

    def full(self, answer: bytes) -> Response:
        return self.answering(answer).responses.create(model="auto", input="")

    def fold(self, stream: list[bytes]) -> tuple[Any, Response]:
        """What the client's own accumulator makes of the deltas, and the response at the end."""
        state: ResponseStreamState[Any] = ResponseStreamState(input_tools=openai.omit, text_format=openai.omit)
        last: Any = None
        for last in self.events(stream):
            state.handle_event(last)
        return vars(state)["_ResponseStreamState__current_snapshot"], last.response


JUDGE = Judge()
