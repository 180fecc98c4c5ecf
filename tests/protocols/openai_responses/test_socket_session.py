"""Frames go in; turns, and frames at once, come out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from responses import caller, frames, stamp, streamed_ask
from strategies import say

from cw_proxy import errors
from cw_proxy.events import Begin, End, Event, Fail, Text
from cw_proxy.interfaces import Later, Send
from cw_proxy.model import Message
from cw_proxy.protocols.openai_responses import OpenAIResponses, ResponsesAsk, ResponsesSocket, socket_session

ANSWER: list[Event] = [Begin(), Text("a"), End("stop")]
NOT_FOUND = "previous_response_not_found"


@pytest.fixture
def protocol() -> OpenAIResponses:
    return OpenAIResponses()


@pytest.fixture
def socket(protocol: OpenAIResponses) -> ResponsesSocket:
    return protocol.socket(caller())


def later(socket: ResponsesSocket, **members: Any) -> Later:
    [turn] = socket.receive(json.dumps({"type": "response.create", "model": "auto", **members}).encode())
    assert isinstance(turn, Later)
    return turn


def ask(socket: ResponsesSocket, **members: Any) -> ResponsesAsk:
    [asked] = later(socket, **members).then()
    assert isinstance(asked, ResponsesAsk)
    return asked


def turn(socket: ResponsesSocket, events: Sequence[Event] = ANSWER, **members: Any) -> Any:
    """The response of a turn, in its own lane."""
    asked = ask(socket, **{"input": "hello", "store": False, **members})
    return frames(streamed_ask(asked, list(events)))[-1]["response"]


def refused(socket: ResponsesSocket, **members: Any) -> Any:
    """The frame of a turn that cannot begin, as the transport has it made."""
    begun = later(socket, **{"input": "hello", "store": False, **members})
    with pytest.raises(errors.ProxyError) as raised:
        begun.then()
    return json.loads(socket.failure(raised.value, begun.lane))


def test_an_events_data_is_a_message_as_it_is(socket: ResponsesSocket) -> None:
    assert socket.frame(b'{"a": "b"}') == b'{"a": "b"}'


def said(socket: ResponsesSocket, **members: Any) -> list[Message]:
    return list(ask(socket, **members).request.messages)


def test_a_frame_is_a_body_with_a_type(socket: ResponsesSocket) -> None:
    asked = ask(socket, input="hello", stream=True, background=True, client_metadata={"a": "b"})
    assert asked.request.messages == (say("user", "hello"),)


def test_a_body_may_be_wrapped(socket: ResponsesSocket) -> None:
    frame = {"type": "response.create", "response": {"model": "auto", "input": "hello"}}
    [turn] = socket.receive(json.dumps(frame).encode())
    assert isinstance(turn, Later)
    [asked] = turn.then()
    assert isinstance(asked, ResponsesAsk)


def test_lanes_are_named_in_every_event(socket: ResponsesSocket) -> None:
    assert later(socket, stream_id="a").lane == "a"
    assert later(socket).lane is None
    events = frames(streamed_ask(ask(socket, input="x", stream_id="a"), ANSWER))
    assert {event["stream_id"] for event in events} == {"a"}


@pytest.mark.parametrize(
    ("frame", "code", "param", "lane"),
    [
        (b"{not json", "invalid_json", None, None),
        (b"[]", "invalid_value", None, None),
        (b'{"type":"no.such.event"}', "invalid_value", "type", None),
        (b'{"type":"no.such.event","stream_id":"a"}', "invalid_value", "type", "a"),
        (b'{"type":"response.create","stream_id":""}', "invalid_value", "stream_id", None),
        (b'{"type":"response.create","stream_id":5}', "invalid_value", "stream_id", None),
    ],
)
def test_a_frame_that_is_none(
    socket: ResponsesSocket, frame: bytes, code: str, param: str | None, lane: str | None
) -> None:
    [sent] = socket.receive(frame)
    assert isinstance(sent, Send)
    told = json.loads(sent.frame)
    assert (told["type"], told["status"], told["error"]["code"], told["error"]["param"]) == ("error", 400, code, param)
    assert told.get("stream_id") == lane


def test_a_body_that_is_none_is_told_in_its_lane_s_order(socket: ResponsesSocket) -> None:
    for members, param in (({"model": None}, "model"), ({"input": 5}, "input"), ({"input": []}, "input")):
        told = refused(socket, stream_id="a", **members)
        assert (told["error"]["param"], told["stream_id"]) == (param, "a")


def test_an_error_has_its_headers_in_the_frame(socket: ResponsesSocket) -> None:
    error = errors.RateLimited("slow", retry_after=2)
    assert json.loads(socket.failure(error, None)) == {
        "type": "error",
        "status": 429,
        "headers": {"retry-after": "2", "retry-after-ms": "2000"},
        "error": error.fields(),
    }


# --- going on ---


def test_a_lane_s_latest_response_can_be_gone_on_from_without_being_stored(
    protocol: OpenAIResponses, socket: ResponsesSocket
) -> None:
    first = turn(socket)["id"]
    assert said(socket, input="b", previous_response_id=first)[1:] == [say("assistant", "a"), say("user", "b")]
    assert refused(protocol.socket(caller()), previous_response_id=first)["error"]["code"] == NOT_FOUND


def test_a_stored_one_can_be_gone_on_from_anywhere(protocol: OpenAIResponses, socket: ResponsesSocket) -> None:
    first = turn(socket, store=True)["id"]
    assert said(protocol.socket(caller()), input="b", previous_response_id=first)
    assert protocol.session(caller(method="GET", path=f"/v1/responses/{first}")).receive(b"")
    assert refused(protocol.socket(caller(b"you")), previous_response_id=first)["error"]["code"] == NOT_FOUND


def test_only_the_latest_of_a_lane_is_kept(socket: ResponsesSocket) -> None:
    first, second = turn(socket)["id"], turn(socket)["id"]
    other = turn(socket, stream_id="b", previous_response_id=second)["id"]
    assert refused(socket, previous_response_id=first)["error"]["code"] == NOT_FOUND
    for lane, known in (("c", second), ("d", other)):
        assert said(socket, input="x", stream_id=lane, previous_response_id=known)


def test_what_a_turn_goes_on_from_is_looked_up_when_its_time_comes(socket: ResponsesSocket) -> None:
    first = ask(socket, input="one", store=False)
    second = later(socket, input="two", store=False, previous_response_id="resp_0001")
    assert frames(streamed_ask(first, ANSWER, stamp()))[-1]["response"]["id"] == "resp_0001"
    [asked] = second.then()
    assert isinstance(asked, ResponsesAsk)
    assert [message.text for message in asked.request.messages] == ["one", "a", "two"]


def test_a_warm_up_answers_at_once_and_can_be_gone_on_from(socket: ResponsesSocket) -> None:
    warm = later(socket, input="be ready", instructions="i", generate=False, store=False, stream_id="a")
    created, completed = (json.loads(sent.frame) for sent in warm.then() if isinstance(sent, Send))
    assert (created["type"], completed["type"]) == ("response.created", "response.completed")
    on = said(socket, input="go", previous_response_id=completed["response"]["id"])
    assert on == [say("user", "be ready"), say("user", "go")]


def test_a_warm_up_may_be_empty(socket: ResponsesSocket) -> None:
    assert len(later(socket, generate=False).then()) == 2


ORPHAN = [{"type": "function_call_output", "call_id": "call_missing", "output": "x"}]


def fails_before(socket: ResponsesSocket, first: str) -> None:
    refused(socket, input=ORPHAN, previous_response_id=first)


def fails_upstream(socket: ResponsesSocket, first: str) -> None:
    ask(socket, input="x", previous_response_id=first)
    socket.failure(errors.RateLimited("slow"), None)


def fails_midway(socket: ResponsesSocket, first: str) -> None:
    turn(socket, [Begin(), Text("a"), Fail(errors.UpstreamTruncated("cut"))], previous_response_id=first)


@pytest.mark.parametrize("fails", [fails_before, fails_upstream, fails_midway])
def test_a_turn_that_fails_takes_what_it_went_on_from_with_it(socket: ResponsesSocket, fails: Any) -> None:
    first = turn(socket)["id"]
    fails(socket, first)
    assert refused(socket, previous_response_id=first)["error"]["code"] == NOT_FOUND


@pytest.mark.parametrize("error", [errors.SocketLimit("many"), errors.ShuttingDown("soon")])
def test_a_frame_that_never_became_a_turn_takes_nothing(socket: ResponsesSocket, error: errors.ProxyError) -> None:
    first = turn(socket)["id"]
    ask(socket, input="x", previous_response_id=first, store=False)
    socket.failure(error, None)
    assert said(socket, input="y", previous_response_id=first)


def test_a_connection_s_memory_has_a_limit(socket: ResponsesSocket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_session, "MOST_BYTES", 6000)
    ids = [turn(socket, stream_id=str(lane), input="x" * 1000)["id"] for lane in range(4)]
    assert refused(socket, previous_response_id=ids[0])["error"]["code"] == NOT_FOUND
    assert said(socket, input="x", previous_response_id=ids[-1])
