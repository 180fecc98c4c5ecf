"""Chat Completions: bodies in, questions out; events in, and what openai-python reads out of the bytes."""

from __future__ import annotations

import itertools
import json
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_sdk import Call, Folded, Judge, folded
from strategies import TRICKY, answers, cut, cuts, frames_of, request, say

from cw_proxy import errors
from cw_proxy.backends.codewhisperer.reply import ReplyDecoder
from cw_proxy.events import Begin, Collector, End, Event, Fail, Note, Reply, Text, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.interfaces import Http, Stamp
from cw_proxy.model import Message, TextPart
from cw_proxy.protocols import PROTOCOLS
from cw_proxy.protocols.openai_chat import IGNORED, ChatAsk, OpenAIChat
from cw_proxy.wire import sse

JUDGE = Judge()
STAMP = Stamp(1_700_000_000, lambda: "0123")
REQUEST = request(say("user", "hello"), model="auto")


def ask(**members: Any) -> ChatAsk:
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], **members}
    [asked] = OpenAIChat().session().receive(json.dumps(body).encode())
    assert isinstance(asked, ChatAsk)
    return asked


def streamed(events: list[Event], *, include_usage: bool = False, batches: list[int] | None = None) -> bytes:
    encoder = ChatAsk(REQUEST, True, include_usage).encoder(STAMP)
    borders = [0, *sorted(batches or []), len(events)]
    return b"".join(encoder.feed(events[start:end]) for start, end in itertools.pairwise(borders))


def frames(stream: bytes) -> list[Any]:
    """The JSON of each frame; what is not JSON as bytes."""
    return [data if data == b"[DONE]" else json.loads(data) for data in sse.SseDecoder().feed(stream)]


def reply_of(events: list[Event]) -> Reply:
    collector = Collector()
    collector.feed(events)
    return collector.reply()


def rendered(events: list[Event]) -> bytes:
    return ChatAsk(REQUEST, False, False).render(reply_of(events), STAMP)


def meant(events: list[Event]) -> Folded:
    """The text and calls of the events, told without the code under test."""
    calls: list[Call] = []
    for event in events:
        match event:
            case ToolOpen():
                calls.append(Call(event.id, event.name, ""))
            case ToolInput():
                calls[-1] = Call(calls[-1].id, calls[-1].name, calls[-1].arguments + event.fragment)
            case ToolClose():
                calls[-1] = Call(calls[-1].id, calls[-1].name, calls[-1].arguments or "{}")
    text = "".join(event.text for event in events if isinstance(event, Text))
    return Folded(text, calls, events[-1].finish_reason)  # type: ignore[union-attr]


# --- the answer, judged by the official client ---


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


@given(answers())
@settings(deadline=None)
def test_the_whole_answer_says_what_the_stream_says(events: list[Event]) -> None:
    whole = JUDGE.full(rendered(events))
    assert folded(whole) == meant(events) == JUDGE.fold([streamed(events)])
    *_, last, done = frames(streamed(events, include_usage=True))
    assert done == b"[DONE]"
    body = json.loads(rendered(events))
    assert last["usage"] == body["usage"]
    assert last.get("x_cw") == body.get("x_cw")


@given(answers(), st.booleans(), st.lists(st.integers(0, 12)))
@settings(max_examples=50)
def test_batches_do_not_show_in_the_bytes(events: list[Event], include_usage: bool, batches: list[int]) -> None:
    batches = [min(at, len(events)) for at in batches]
    assert streamed(events, include_usage=include_usage, batches=batches) == streamed(
        events, include_usage=include_usage
    )


@pytest.mark.parametrize("text", TRICKY)
def test_text_that_looks_like_what_carries_it(text: str) -> None:
    events = [Begin(), Text(text), Text(text), ToolOpen("t1", "ls"), ToolInput(json.dumps({"a": text})), ToolClose()]
    assert JUDGE.fold([streamed([*events, End("stop")])]) == meant([*events, End("stop")])


def test_every_delta_is_a_chunk_of_its_own() -> None:
    chunks = list(JUDGE.chunks([streamed([Begin(), Text("ha"), Text("ha"), End("stop")])]))
    deltas = [(chunk.choices[0].delta.role, chunk.choices[0].delta.content) for chunk in chunks]
    assert deltas == [("assistant", ""), (None, "ha"), (None, "ha"), (None, None)]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert {(chunk.id, chunk.created, chunk.model, chunk.object) for chunk in chunks} == {
        ("chatcmpl-0123", 1_700_000_000, "auto", "chat.completion.chunk")
    }


def test_usage_comes_on_a_last_chunk_without_choices_if_asked_for() -> None:
    events = [Begin(), Text("a"), Usage(input_tokens=3, cache_read_tokens=2, output_tokens=5), End("stop")]
    *chunks, last, _ = frames(streamed(events, include_usage=True))
    assert all(chunk["usage"] is None and len(chunk["choices"]) == 1 for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 5,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
        "cw_usage_source": "exact",
    }
    assert all("usage" not in chunk for chunk in frames(streamed(events))[:-1])


@pytest.mark.parametrize("include_usage", [True, False])
def test_what_the_service_says_beside_the_text_stands_on_the_last_chunk_only(include_usage: bool) -> None:
    events: list[Event] = [
        *[Begin(), Text("a"), Note("references", [{"url": "u"}]), Note("references", [{"url": "v"}])],
        *[Note("followup", {"content": "?"}), Usage(context_percent=1.5), Usage(credits=0.25), End("stop")],
    ]
    extension = {
        "context_percent": 1.5,
        "credits": 0.25,
        "references": [{"url": "u"}, {"url": "v"}],
        "followup": [{"content": "?"}],
    }
    *chunks, last, _ = frames(streamed(events, include_usage=include_usage))
    assert last["x_cw"] == json.loads(rendered(events))["x_cw"] == extension
    assert not any("x_cw" in chunk for chunk in chunks)


@pytest.mark.parametrize("before", [[], [Begin()], [Begin(), Text("a")], [Begin(), ToolOpen("t1", "ls")]])
@pytest.mark.parametrize("include_usage", [True, False])
def test_a_failure_is_an_error_frame_and_nothing_after_it(before: list[Event], include_usage: bool) -> None:
    error = errors.UpstreamTruncated('cut\n\noff "here"')
    stream = streamed([*before, Fail(error)], include_usage=include_usage)
    *chunks, last = frames(stream)
    assert last == {"error": error.fields()}
    assert all(choice["finish_reason"] is None for chunk in chunks for choice in chunk["choices"])
    with pytest.raises(openai.APIError) as raised:
        JUDGE.fold([stream])
    assert (raised.value.message, raised.value.code, raised.value.type) == (
        'cut\n\noff "here"',
        "upstream_truncated",
        "upstream_error",
    )


@pytest.mark.parametrize("at", range(0, 1000, 7))
def test_a_broken_body_is_never_a_clean_end(at: int) -> None:
    """The service's bytes end anywhere inside a frame: the client's user gets an exception."""
    body = b"".join(frames_of([Begin(), Text("a"), ToolOpen("t1", "ls"), ToolInput("{}"), ToolClose(), Text("b")]))
    frame_borders = {len(b"".join(frames_of(part))) for part in ([Begin()], [Begin(), Text("a")])}
    decoder = ReplyDecoder()
    stream = streamed(decoder.feed(body[: at % len(body)]) + decoder.finish())
    if at % len(body) in frame_borders:
        return
    assert b"[DONE]" not in stream
    with pytest.raises(openai.APIError):
        JUDGE.fold([stream])


def test_a_whole_answer_of_calls_alone_has_no_text() -> None:
    events: list[Event] = [Begin(), ToolOpen("t1", "ls"), ToolClose(), End("tool_calls")]
    message = json.loads(rendered(events))["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "ls", "arguments": "{}"}


def test_a_whole_answer_without_anything_has_an_empty_text() -> None:
    assert json.loads(rendered([Begin(), End("stop")]))["choices"][0]["message"]["content"] == ""


def test_an_error_has_its_own_status_headers_and_body() -> None:
    error = errors.InvalidValue("No.", param="n")
    assert OpenAIChat().error(error).status == 400
    assert json.loads(OpenAIChat().error(error).body)["error"]["param"] == "n"


# --- the question ---


def test_it_is_served_at_its_path() -> None:
    assert [protocol.name for protocol in PROTOCOLS].count("openai_chat") == 1
    assert list(OpenAIChat().bindings) == [Http("POST", "/v1/chat/completions")]


def test_roles_and_parts() -> None:
    asked = ask(
        messages=[
            {"role": "system", "content": "s"},
            {"role": "developer", "content": [{"type": "text", "text": "d"}], "name": "x"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "tool_calls": []},
            {"role": "user", "content": ""},
        ]
    )
    assert asked.request.messages == (
        say("system", "s"),
        say("system", "d"),
        say("user", "a", "b"),
        Message("assistant", ()),
        say("assistant", "no"),
        say("user", ""),
    )


@given(st.text() | st.sampled_from(TRICKY), st.booleans())
def test_text_is_taken_as_it_is(text: str, ascii_only: bool) -> None:
    body = {"messages": [{"content": text, "role": "user"}], "model": text}
    [asked] = OpenAIChat().session().receive(json.dumps(body, ensure_ascii=ascii_only).encode())
    assert asked.request.messages == (Message("user", (TextPart(text),)),)
    assert asked.request.model == text
    assert JUDGE.full(asked.render(reply_of([Begin(), End("stop")]), STAMP)).model == text


@pytest.mark.parametrize(
    ("members", "stream", "include_usage"),
    [
        ({}, False, False),
        ({"stream": None, "stream_options": None}, False, False),
        ({"stream": True}, True, False),
        ({"stream": True, "stream_options": {}}, True, False),
        ({"stream": True, "stream_options": {"include_usage": True}}, True, True),
    ],
)
def test_streaming(members: dict[str, Any], stream: bool, include_usage: bool) -> None:
    assert (ask(**members).stream, ask(**members).include_usage) == (stream, include_usage)


@pytest.mark.parametrize(
    ("said", "stop"),
    [(None, ()), ("", ()), ("a", ("a",)), ([], ()), (["a", "", "b"], ("a", "b")), (list("abcd"), tuple("abcd"))],
)
def test_stop(said: Any, stop: tuple[str, ...]) -> None:
    assert ask(stop=said).request.stop == stop


def test_what_changes_nothing_is_named() -> None:
    said = {"temperature": 0.2, "seed": 1, "user": "u", "metadata": {"a": "b"}, "max_tokens": 5, "new_parameter": 1}
    assert ask(**said).request.ignored == ("temperature", "seed", "user", "metadata", "max_tokens")
    assert ask(temperature=None).request.ignored == ()
    assert all(name.isascii() and name.replace("_", "").isalpha() for name in IGNORED)  # they go into a header


def test_the_cache_key_names_the_thread() -> None:
    assert ask(prompt_cache_key="k").request.thread == "k"


REFUSED = [
    ({"n": 2}, errors.UnsupportedParameter, "n"),
    ({"n": 0}, errors.UnsupportedParameter, "n"),
    ({"logprobs": True}, errors.UnsupportedParameter, "logprobs"),
    ({"top_logprobs": 3}, errors.UnsupportedParameter, "top_logprobs"),
    ({"modalities": ["text", "audio"]}, errors.UnsupportedParameter, "modalities"),
    ({"audio": {}}, errors.UnsupportedParameter, "audio"),
    ({"messages": []}, errors.InvalidValue, "messages"),
    ({"messages": "hello"}, errors.InvalidValue, "messages"),
    ({"messages": [{"role": "user", "content": 1}]}, errors.InvalidValue, "messages[0].content"),
    ({"messages": [{"role": "user"}]}, errors.InvalidValue, "messages[0].content"),
    ({"messages": [{"role": "user", "content": None}]}, errors.InvalidValue, "messages[0].content"),
    ({"messages": [{"content": "a"}]}, errors.InvalidValue, "messages[0]"),
    ({"messages": [{"role": "robot", "content": "a"}]}, errors.InvalidValue, "messages[0].role"),
    (
        {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
        errors.InvalidValue,
        "messages[0].content[0].type",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
        errors.InvalidValue,
        "messages[0].content[0].text",
    ),
    ({"stop": list("abcde")}, errors.InvalidValue, "stop"),
    ({"stop": 1}, errors.InvalidValue, "stop"),
    ({"stop": ["a", 1]}, errors.InvalidValue, "stop[1]"),
    ({"stream": "yes"}, errors.InvalidValue, "stream"),
    ({"stream_options": {"include_usage": 1}}, errors.InvalidValue, "stream_options.include_usage"),
    ({"model": 1}, errors.InvalidValue, "model"),
]


@pytest.mark.parametrize(("members", "error", "param"), REFUSED)
def test_what_is_refused_names_its_place(members: dict[str, Any], error: type[errors.ProxyError], param: str) -> None:
    with pytest.raises(error) as raised:
        ask(**members)
    assert (type(raised.value), raised.value.status, raised.value.param) == (error, 400, param)
