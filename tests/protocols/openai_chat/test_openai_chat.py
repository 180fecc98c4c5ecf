"""Chat Completions: from the service's bytes to what openai-python reads out of ours."""

from __future__ import annotations

import json

import openai
import pytest
from chat import JUDGE, REQUEST, STAMP, meant, reply_of, streamed
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import TRICKY, answers, broken_answers, cut, cuts, frames_of

from cw_proxy import errors
from cw_proxy.backends.codewhisperer.reply import ReplyDecoder
from cw_proxy.events import Begin, End, Event
from cw_proxy.interfaces import Http, Subject
from cw_proxy.model import Message, TextPart
from cw_proxy.protocols import protocols
from cw_proxy.protocols.openai_chat import ChatAsk, OpenAIChat


@given(answers(), st.booleans(), cuts, cuts)
@settings(deadline=None)
def test_from_the_services_bytes_to_the_clients_hands(
    events: list[Event], include_usage: bool, upstream: list[float], downstream: list[float]
) -> None:
    """Any answer, any cut of the service's bytes, any cut of ours: text and arguments arrive unchanged."""
    decoder = ReplyDecoder()
    encoder = ChatAsk(REQUEST, True, include_usage).encoder(STAMP)
    chunks = cut(b"".join(frames_of(events)), upstream)
    stream = b"".join(encoder.feed(decoder.feed(chunk)) for chunk in chunks) + encoder.feed(decoder.finish())
    assert JUDGE.fold(cut(stream, downstream)) == meant(events)


@pytest.mark.parametrize("body", broken_answers(), ids=len)
def test_a_broken_body_is_never_a_clean_end(body: bytes) -> None:
    """The service's bytes end anywhere inside a frame: the client's user gets an exception."""
    decoder = ReplyDecoder()
    stream = streamed(decoder.feed(body) + decoder.finish())
    assert b"[DONE]" not in stream
    with pytest.raises(openai.APIError):
        JUDGE.fold([stream])


def test_an_error_has_its_own_status_headers_and_body() -> None:
    error = errors.InvalidValue("No.", param="n")
    assert OpenAIChat().error(error).status == 400
    assert json.loads(OpenAIChat().error(error).body)["error"]["param"] == "n"


def test_it_is_served_at_its_path() -> None:
    assert [made.name for made in protocols()].count("openai_chat") == 1
    assert list(OpenAIChat().bindings) == [Http("POST", "/v1/chat/completions"), Subject("messages")]


@given(st.text() | st.sampled_from(TRICKY), st.booleans())
def test_text_is_taken_as_it_is(text: str, ascii_only: bool) -> None:
    body = {"messages": [{"content": text, "role": "user"}], "model": text}
    [asked] = OpenAIChat().session().receive(json.dumps(body, ensure_ascii=ascii_only).encode())
    assert asked.request.messages == (Message("user", (TextPart(text),)),)
    assert asked.request.model == text
    assert JUDGE.full(asked.render([reply_of([Begin(), End("stop")])], STAMP)).model == text
