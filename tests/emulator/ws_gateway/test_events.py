"""Events as AWS documents them, and the cutting of texts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.emulator.ws_gateway.events import Place, connect, disconnect, in_frames, message, status_of, trouble

PLACE = Place("an-id=", "203.0.113.9", 1.0)


@pytest.mark.parametrize(
    ("event", "kind", "route"),
    [
        (connect(PLACE, "r", 2.0, [("X-A", "1"), ("X-A", "2")]), "CONNECT", "$connect"),
        (message(PLACE, "r", 2.0, "é"), "MESSAGE", "$default"),
        (disconnect(PLACE, "r", 2.0, 1001), "DISCONNECT", "$disconnect"),
    ],
)
def test_each_says_which_it_is(event: bytes, kind: str, route: str) -> None:
    context = json.loads(event)["requestContext"]
    assert (context["eventType"], context["routeKey"], context["connectionId"]) == (kind, route, "an-id=")
    assert (context["identity"]["sourceIp"], context["connectedAt"], context["requestTimeEpoch"]) == (
        "203.0.113.9",
        1000,
        2000,
    )


def test_each_carries_what_belongs_to_it() -> None:
    told = json.loads(connect(PLACE, "r", 2.0, [("X-A", "1"), ("X-A", "2")]))
    assert (told["headers"], told["multiValueHeaders"]) == ({"X-A": "2"}, {"X-A": ["1", "2"]})
    assert json.loads(message(PLACE, "r", 2.0, "é"))["body"] == "é"
    assert json.loads(disconnect(PLACE, "r", 2.0, 1001))["disconnectStatusCode"] == 1001
    assert json.loads(trouble("t", "i", "r")) == {"message": "t", "connectionId": "i", "requestId": "r"}


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b'{"statusCode": 200}', 200),
        (b'{"statusCode": 401}', 401),
        (b'{"statusCode": "200"}', 502),
        (b'{"statusCode": 7}', 502),
        (b"null", 502),
        (b"{}", 502),
        (b"x", 502),
    ],
)
def test_what_is_no_answer_is_a_bad_gateway(answer: bytes, status: int) -> None:
    assert status_of(answer) == status


@given(st.text(), st.integers(4, 9))
def test_frames_are_the_text_and_each_fits(text: str, size: int) -> None:
    frames = in_frames(text, size)
    assert "".join(frames) == text
    assert all(len(frame.encode()) <= size for frame in frames)
