"""A small body goes in, a question comes out; events go in, `{"content": …}` comes out, whole or streamed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import answers, say

from cw_proxy.errors import (
    InvalidJson,
    InvalidValue,
    ModelNotFound,
    ProxyError,
    UnsupportedParameter,
    UpstreamTruncated,
)
from cw_proxy.events import Begin, Collector, End, Event, Fail, Text, Usage
from cw_proxy.interfaces import Caller, Options, Stamp
from cw_proxy.protocols import simple_api
from cw_proxy.protocols.simple_api import PATH, STREAM, SimpleApi, SimpleAsk

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "simple-api.md"
STAMP = Stamp(0, lambda: "0" * 32)
HELLO = [{"role": "user", "content": "Hello"}]


def asked(path: str = PATH, **members: Any) -> SimpleAsk:
    session = SimpleApi(Options(simple_api=True, default_model="m")).session(Caller(path=path))
    [ask] = session.receive(json.dumps({"messages": HELLO, **members}).encode())
    assert isinstance(ask, SimpleAsk)
    return ask


# --- the question ---


def test_the_chat_and_its_parameters() -> None:
    roles = ["system", "developer", "user", "assistant"]
    request = asked(
        messages=[{"role": role, "content": "x"} for role in roles], model="n", max_tokens=5, stop="a"
    ).request
    assert request.messages == (say("system", "x"), say("system", "x"), say("user", "x"), say("assistant", "x"))
    assert (request.model, request.max_tokens, request.stop) == ("n", 5, ("a",))


@pytest.mark.parametrize("members", [{}, {"model": None}, {"model": ""}])
def test_without_a_model_the_servers_is_asked(members: dict[str, Any]) -> None:
    assert asked(**members).request.model == "m"


@pytest.mark.parametrize("name", simple_api.OPTIONS)
def test_what_a_backend_may_use_or_not(name: str) -> None:
    value = {"user": "ann"}.get(name, 1)
    assert asked(**{name: value}).request.options == {name: value}
    assert asked(**{name: None}).request.options == {}


def test_the_path_says_whether_it_is_a_stream() -> None:
    assert [asked(path).stream for path in (PATH, STREAM)] == [False, True]
    assert [asked(PATH, stream=False).stream, asked(STREAM, stream=True).stream] == [False, True]
    for path, stream in ((PATH, True), (STREAM, False)):
        with pytest.raises(InvalidValue, match=STREAM):
            asked(path, stream=stream)


REFUSED: list[tuple[dict[str, Any], type[ProxyError], str]] = [
    ({"messages": []}, InvalidValue, "messages"),
    ({"messages": None}, InvalidValue, "messages"),
    ({"messages": HELLO * 10_001}, InvalidValue, "messages"),
    ({"messages": [{"role": "tool", "content": "x"}]}, InvalidValue, "messages[0].role"),
    ({"messages": [{"role": "user", "content": None}]}, InvalidValue, "messages[0].content"),
    ({"temperature": 2.1}, InvalidValue, "temperature"),
    ({"temperature": -1}, InvalidValue, "temperature"),
    ({"temperature": "warm"}, InvalidValue, "temperature"),
    ({"max_tokens": 0}, InvalidValue, "max_tokens"),
    ({"model": 5}, InvalidValue, "model"),
    ({"n": 2}, UnsupportedParameter, "n"),
    ({"tools": [{}]}, UnsupportedParameter, "tools"),
    ({"response_format": {"type": "json_object"}}, UnsupportedParameter, "response_format"),
    ({"logprobs": True}, UnsupportedParameter, "logprobs"),
]


@pytest.mark.parametrize(("members", "error", "param"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_wrong_is_a_400_with_its_path(members: dict[str, Any], error: type[ProxyError], param: str) -> None:
    with pytest.raises(error) as raised:
        asked(**members)
    shown = SimpleApi().error(raised.value)
    assert (shown.status, json.loads(shown.body)["error"]["param"]) == (400, param)


def test_a_harmless_value_of_what_is_refused_is_taken() -> None:
    asked(n=1, tools=[], logprobs=False, response_format=None)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 500])
def test_no_json_is_said_so(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        SimpleApi().session().receive(body)


# --- the answer ---


def read_naively(chunks: list[bytes]) -> tuple[list[Any], bool]:
    """As the clients do for which this is made: each chunk by itself, split on blank lines."""
    found, done = [], False
    for chunk in chunks:
        for line in chunk.decode().split("\n\n"):
            if line.startswith("data: "):
                text = line.replace("data: ", "", 1)
                done = text == "[DONE]"
                found += [] if done else [json.loads(text)]
            else:
                assert line in ("", ": ping")
    return found, done


@given(answers(), st.data())
def test_a_naive_reader_gets_all_the_text_however_events_come_together(
    events: list[Event], data: st.DataObject
) -> None:
    encoder = asked(STREAM).encoder(STAMP)
    writes = []
    rest = list(events)
    while rest:
        number = data.draw(st.integers(1, len(rest)))
        writes.append(encoder.feed(rest[:number]))
        rest = rest[number:]
        if rest and data.draw(st.booleans()):
            writes.append(encoder.ping)
    collector = Collector()
    collector.feed(events)
    reply = collector.reply()
    # The network may join writes; where it does, the chunks are longer.
    chunks = [b"".join(writes)] if data.draw(st.booleans()) else writes
    found, done = read_naively(chunks)
    assert done
    assert encoder.ended
    assert "".join(event["content"] for event in found) == reply.text
    reasons = [event["finish_reason"] for event in found if "finish_reason" in event]
    assert reasons == ([] if reply.finish_reason in ("stop", "tool_calls") else [reply.finish_reason])


def test_a_whole_answer() -> None:
    collector = Collector()
    collector.feed([Begin(), Text("Hi"), Usage(input_tokens=3, output_tokens=2, credits=1.0), End("length")])
    whole = json.loads(asked(model="n").render([collector.reply()], STAMP))
    usage = whole.pop("usage")
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (3, 2, 5)
    assert whole == {
        "id": "cmpl-" + "0" * 32,
        "model": "n",
        "content": "Hi",
        "finish_reason": "length",
        "x_cw": {"credits": 1.0},
    }


def test_a_failure_in_a_stream_is_its_last_event() -> None:
    encoder = asked(STREAM).encoder(STAMP)
    found, done = read_naively(
        [encoder.feed([Begin(), Text("a")]), encoder.feed([Fail(UpstreamTruncated("Of gpt-5."))])]
    )
    assert not done
    assert found[0] == {"content": "a"}
    assert found[1]["error"]["code"] == "upstream_truncated"
    assert "gpt-5" not in str(found)
    assert encoder.ended


def test_an_error_does_not_name_the_servers_model() -> None:
    shown = SimpleApi().error(ModelNotFound("There is no gpt-5.", param="model"))
    assert (shown.status, b"gpt-5" in shown.body) == (404, False)


def test_every_parameter_is_documented() -> None:
    page = PAGE.read_text()
    for field in msgspec.structs.fields(simple_api._Body):
        assert f"`{field.name}`" in page
