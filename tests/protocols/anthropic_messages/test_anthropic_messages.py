"""Messages: from the service's bytes to what anthropic-python reads out of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from message_bodies import bodies
from messages import JUDGE, REQUEST, STAMP, ask_of, meant, reply_of, streamed
from strategies import TRICKY, answers, broken_answers, cut, cuts, frames_of

from cw_proxy import errors
from cw_proxy.backends.codewhisperer.reply import ReplyDecoder
from cw_proxy.backends.codewhisperer.request import Payload
from cw_proxy.backends.codewhisperer.rules import broken
from cw_proxy.emulator.checks import check_request
from cw_proxy.emulator.settings import Settings
from cw_proxy.events import Begin, End, Event
from cw_proxy.interfaces import Caller, Http, Send
from cw_proxy.model import Message, TextPart
from cw_proxy.protocols import protocols
from cw_proxy.protocols.anthropic_messages import AnthropicMessages, MessageAsk


@given(answers(), cuts, cuts)
def test_from_the_services_bytes_to_the_clients_hands(
    events: list[Event], upstream: list[float], downstream: list[float]
) -> None:
    """Any answer, any cut of the service's bytes, any cut of ours: text and arguments arrive unchanged."""
    decoder = ReplyDecoder()
    encoder = MessageAsk(REQUEST, True, "shown").encoder(STAMP)
    chunks = cut(b"".join(frames_of(events)), upstream)
    stream = b"".join(encoder.feed(decoder.feed(chunk)) for chunk in chunks) + encoder.feed(decoder.finish())
    assert JUDGE.fold(cut(stream, downstream)) == meant(events)


@pytest.mark.parametrize("body", broken_answers(), ids=len)
def test_a_broken_body_is_never_a_clean_end(body: bytes) -> None:
    """The service's bytes end anywhere inside a frame: the client's user gets an exception."""
    decoder = ReplyDecoder()
    stream = streamed(decoder.feed(body) + decoder.finish())
    assert b"message_stop" not in stream
    with pytest.raises(anthropic.APIError):
        JUDGE.fold([stream])


def test_it_is_served_at_its_paths() -> None:
    assert [made.name for made in protocols()].count("anthropic_messages") == 1
    assert list(AnthropicMessages().bindings) == [
        Http("POST", "/v1/messages"),
        Http("POST", "/v1/messages/count_tokens"),
    ]


@given(st.text() | st.sampled_from(TRICKY), st.booleans())
def test_text_is_taken_as_it_is(text: str, ascii_only: bool) -> None:
    body = {"messages": [{"content": text, "role": "user"}], "model": text, "max_tokens": 1}
    [asked] = AnthropicMessages().session().receive(json.dumps(body, ensure_ascii=ascii_only).encode())
    assert isinstance(asked, MessageAsk)
    assert asked.request.messages == (Message("user", (TextPart(text),)),)
    assert JUDGE.full(asked.render([reply_of([Begin(), End("stop")])], STAMP)).model == text


@given(bodies)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_a_client_asks_the_payload_keeps_all_rules(body: dict[str, Any]) -> None:
    """By our own rules, and by the emulator's, which share no line with them; and no text is lost on the way."""
    request = ask_of(body).request
    try:
        made = json.loads(Payload(request, model=None, origin="CLI", max_bytes=10**6).body("c", None))
    except errors.InvalidRequest as error:
        assert error.param == "messages"
        assert not any(message.role != "system" or message.text.strip() for message in request.messages)
        return
    assert broken(made) == []
    check_request(made, Settings(overflow_threshold=10**9))
    whole = json.dumps(made, ensure_ascii=False)
    for text in texts_of([body["system"], body["messages"]]):
        assert json.dumps(text, ensure_ascii=False)[1:-1] in whole


def texts_of(said: Any) -> Iterator[str]:
    """Every text of a body that says something, found without the code under test."""
    if isinstance(said, str) and said.strip():
        yield said
    elif isinstance(said, list):
        for one in said:
            yield from texts_of(one)
    elif isinstance(said, dict):
        for name in ("text", "content"):
            if not (name == "content" and isinstance(said.get(name), dict)):
                yield from texts_of(said.get(name))


def counted(**members: Any) -> int:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], **members}
    caller = Caller(path="/v1/messages/count_tokens", query="beta=true")
    [action] = AnthropicMessages().session(caller).receive(json.dumps(body).encode())
    assert isinstance(action, Send)
    tokens: int = json.loads(action.frame)["input_tokens"]
    return tokens


def test_counting_needs_no_length_and_counts_all_there_is() -> None:
    tool = {"name": "weather", "description": "What the weather is like", "input_schema": {"type": "object"}}
    longer = [counted(), counted(system="be brief"), counted(system="be brief", tools=[tool])]
    assert 0 < longer[0] < longer[1] < longer[2]


def test_a_count_of_what_is_no_question_is_an_error() -> None:
    with pytest.raises(errors.InvalidValue) as raised:
        counted(messages=[])
    assert raised.value.param == "messages"
