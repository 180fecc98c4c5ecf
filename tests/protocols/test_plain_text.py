"""Bytes go in, a question comes out; a whole answer's text goes back."""

from __future__ import annotations

import pytest
from strategies import say

from cw_proxy.errors import InvalidRequest, ModelNotFound, UnsupportedParameter
from cw_proxy.events import Begin, Collector, End, Text, Thought
from cw_proxy.interfaces import Ask, Stamp, Subject
from cw_proxy.protocols.plain_text import PlainText

STAMP = Stamp(0, str)


def asked(text: str) -> Ask:
    [ask] = PlainText().session().receive(text.encode())
    return ask


@pytest.mark.parametrize("text", ["List the last 10 presidents", " é 漢字\n", "{not json", '{"neither": "nor"}'])
def test_the_bytes_are_one_user_turn(text: str) -> None:
    ask = asked(text)
    assert ask.request.messages == (say("user", text),)
    assert (ask.request.model, ask.stream) == ("auto", False)


@pytest.mark.parametrize("frame", [b"", b" \n", b"\xff"])
def test_what_is_no_text_is_refused(frame: bytes) -> None:
    with pytest.raises(InvalidRequest):
        PlainText().session().receive(frame)


def test_the_answer_is_its_text() -> None:
    collector = Collector()
    collector.feed([Begin(), Thought("Let me think."), Text("é "), Text("漢"), End("stop")])
    assert asked("x").render([collector.reply()], STAMP) == "é 漢".encode()


def test_it_does_not_stream() -> None:
    with pytest.raises(UnsupportedParameter):
        asked("x").encoder(STAMP)


def test_an_error_is_its_message() -> None:
    shown = PlainText().error(ModelNotFound("There is none."))
    assert (shown.status, shown.body) == (404, b"There is none.")


def test_it_takes_what_no_other_protocol_wants() -> None:
    assert list(PlainText.bindings) == [Subject()]
