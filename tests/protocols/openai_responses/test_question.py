"""What a question goes on from, and what is kept of its answer."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from responses import JUDGE, NOW, meant, stamp, streamed_ask
from strategies import say

from cw_proxy import errors
from cw_proxy.events import Begin, End, Fail, Text
from cw_proxy.protocols.openai_responses.question import question
from cw_proxy.protocols.openai_responses.shapes import Body
from cw_proxy.protocols.openai_responses.store import Kept


def item(**members: Any) -> bytes:
    return json.dumps(members).encode()


BEFORE = Kept(
    "resp_1",
    b"{}",
    (item(role="user", content="q"),),
    (item(type="message", id="msg_1", role="assistant", content=[{"type": "output_text", "text": "a"}]),),
)


class OneResponse:
    def find(self, response_id: str) -> Kept | None:
        return BEFORE if response_id == BEFORE.id else None

    def recent(self) -> list[Kept]:
        return [BEFORE]


def asked(**members: Any) -> Any:
    body = msgspec.json.decode(json.dumps({"model": "auto", **members}).encode(), type=Body)
    return question(body, OneResponse())


def test_a_chat_goes_on_without_the_instructions_of_before() -> None:
    on = asked(input="next", previous_response_id="resp_1", instructions="new")
    said = [say("system", "new"), say("user", "q"), say("assistant", "a"), say("user", "next")]
    assert list(on.asked.request.messages) == said
    assert on.items[:2] == BEFORE.chat


def test_a_chat_may_go_on_without_anything_new() -> None:
    assert asked(previous_response_id="resp_1").ask(lambda kept: None, lambda: NOW).request.messages


def test_what_was_answered_is_read_once_however_many_items_are_named() -> None:
    class Counted(OneResponse):
        reads = 0

        def recent(self) -> list[Kept]:
            self.reads += 1
            return super().recent()

    memory = Counted()
    references = [{"type": "item_reference", "id": "msg_1"}] * 50
    body = msgspec.json.decode(json.dumps({"model": "auto", "input": references}).encode(), type=Body)
    assert question(body, memory).items == (BEFORE.output[0],) * 50
    assert memory.reads == 1


def test_an_unknown_response_is_told_by_its_code() -> None:
    with pytest.raises(errors.InvalidRequest) as raised:
        asked(input="x", previous_response_id="resp_2")
    error = raised.value
    assert (error.status, error.code, error.param) == (400, "previous_response_not_found", "previous_response_id")


@pytest.mark.parametrize("reference", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}])
def test_an_item_may_name_another(reference: dict[str, str]) -> None:
    on = asked(input=[{"role": "user", "content": "u"}, reference])
    assert list(on.asked.request.messages) == [say("user", "u"), say("assistant", "a")]
    assert on.items[1] == BEFORE.output[0]


def test_an_unknown_item_is_told_with_its_place() -> None:
    with pytest.raises(errors.NotFound) as raised:
        asked(input=[{"type": "item_reference", "id": "msg_2"}])
    assert (raised.value.code, raised.value.param) == ("item_not_found", "input[0].id")


def test_what_is_kept_is_the_chat_with_its_answer() -> None:
    kept: list[Kept | None] = []
    ask = asked(input="next", previous_response_id="resp_1").ask(kept.append, lambda: NOW)
    events = [Begin(), Text("b"), End("stop")]
    streamed_ask(ask, events, stamp())
    [one] = kept
    assert one is not None
    assert (one.id, len(one.input), json.loads(one.output[0])["content"][0]["text"]) == ("resp_0001", 3, "b")
    assert JUDGE.full(one.body).output_text == meant(events)[0][1]
    streamed_ask(ask, [Begin(), Fail(errors.UpstreamTruncated("cut"))])
    assert kept[1:] == [None]


def test_a_response_that_nobody_was_asked_for() -> None:
    written, kept = asked(input="x", instructions="i").unanswered(stamp(), "lane")
    created, completed = map(json.loads, written)
    assert [created["type"], completed["type"]] == ["response.created", "response.completed"]
    assert [event["sequence_number"] for event in (created, completed)] == [0, 1]
    assert {created["stream_id"], completed["stream_id"]} == {"lane"}
    assert (completed["response"]["output"], completed["response"]["usage"]["total_tokens"]) == ([], 0)
    assert (json.loads(kept.body), kept.output, len(kept.input)) == (completed["response"], (), 1)
