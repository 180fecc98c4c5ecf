"""A WebSocket API's events, and ours to ourselves: which is which, and what nobody else can make."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lambda_front import event_of

from cw_proxy.wire.socket_event import (
    MAX_FRAME,
    MAX_MESSAGE,
    Connect,
    Disconnect,
    Message,
    NotSocket,
    SocketEvent,
    Turn,
    answer,
    parse,
    pieces,
    turn,
)

ID = "L0SM9cOFvHcCIhw="


def context(kind: str, **more: Any) -> dict[str, Any]:
    told = {"eventType": kind, "connectionId": ID, "domainName": "d.example", "stage": "s"}
    return {"requestContext": {**told, "identity": {"sourceIp": "203.0.113.9"}, **more}}


def read(event: Any) -> SocketEvent:
    return parse(json.dumps(event).encode())


def test_each_kind_is_known() -> None:
    connect = read({**context("CONNECT"), "headers": {"X-Api-Key": "k", "Empty": None}})
    assert connect == Connect(ID, "203.0.113.9", {"x-api-key": "k"}, False)
    message = Message(ID, "203.0.113.9", "https://d.example/s", b"hello")
    assert read({**context("MESSAGE"), "body": "hello"}) == message
    assert read({**context("MESSAGE"), "body": "aGVsbG8=", "isBase64Encoded": True}) == message
    assert read({**context("DISCONNECT"), "headers": {"Host": "h"}}) == Disconnect(ID)


@pytest.mark.parametrize("more", [{"authorizer": {"principalId": "p"}}, {"identity": {"userArn": "arn:aws:iam::1:u"}}])
def test_whom_aws_has_authenticated_is_known(more: dict[str, Any]) -> None:
    event = read(context("CONNECT", **more))
    assert isinstance(event, Connect)
    assert event.identified


OTHERS: list[Any] = [
    {},
    [],
    "x",
    {"requestContext": {}},
    context("AUTHORIZE"),
    context("MESSAGE", connectionId=""),
    context("MESSAGE", connectionId="../x y"),
    {**context("MESSAGE"), "body": "not base64", "isBase64Encoded": True},
    {"cw-proxy.turn": {}},
    *(event_of(kind, "POST", "/", "", {"host": ["h"]}, b"{}") for kind in ("function_url", "rest_api")),
]


@pytest.mark.parametrize("event", OTHERS, ids=range(len(OTHERS)))
def test_all_else_is_none(event: Any) -> None:
    with pytest.raises(NotSocket):
        read(event)


def test_a_message_comes_back_as_a_turn() -> None:
    message = Message(ID, "203.0.113.9", "https://d.example/s", "é\0".encode())
    assert parse(turn(message, "https://other")) == Turn(ID, "203.0.113.9", "https://other", "é\0".encode())


def test_a_client_cannot_make_a_turn() -> None:
    """All that it says stands below a context."""
    message = Message(ID, "", "https://d.example/s", b"x")
    forged = json.loads(turn(message, "https://attacker.example"))
    assert isinstance(read({**context("MESSAGE"), "body": json.dumps(forged)}), Message)
    assert isinstance(read({**forged, **context("MESSAGE"), "body": ""}), Message)
    assert isinstance(read({**context("CONNECT"), "headers": {"cw-proxy.turn": json.dumps(forged)}}), Connect)


def test_the_largest_message_passes_as_a_turn() -> None:
    """Lambda takes 256 KB for an event that nobody waits for."""
    largest = Message(ID, "203.0.113.9", "https://d.example/s", b"\0" * MAX_MESSAGE)
    assert len(turn(largest, largest.endpoint)) < 256 * 1000


def test_an_answer_is_what_a_front_takes() -> None:
    assert json.loads(answer()) == {"statusCode": 200, "body": ""}
    assert json.loads(answer(401, b'{"a":1}')) == {"statusCode": 401, "body": '{"a":1}'}


@given(st.text(), st.integers(4, 9))
def test_pieces_are_the_text_and_each_is_text_that_fits(text: str, size: int) -> None:
    data = text.encode()
    cut = pieces(data, size)
    assert b"".join(cut) == data
    assert all(len(piece) <= size for piece in cut)
    assert [piece.decode() for piece in cut]
    assert len(cut) <= 2 * len(data) // size + 1 or size < 8


def test_what_fits_a_frame_is_one_piece() -> None:
    assert [len(piece) for piece in pieces(b"x" * MAX_FRAME)] == [MAX_FRAME]
    assert [len(piece) for piece in pieces(b"x" * (MAX_FRAME + 1))] == [MAX_FRAME, 1]


def test_what_is_nested_deeply_is_none() -> None:
    with pytest.raises(NotSocket):
        parse(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_a_turn_of_no_connection_is_none() -> None:
    forged = {"cw-proxy.turn": {"id": "x/../../y", "address": "", "endpoint": "https://a", "body": ""}}
    with pytest.raises(NotSocket):
        parse(json.dumps(forged).encode())


def test_a_front_that_names_no_place() -> None:
    event = {"requestContext": {"eventType": "MESSAGE", "connectionId": "id="}, "body": "x"}
    found = parse(json.dumps(event).encode())
    assert isinstance(found, Message)
    assert found.endpoint == ""
