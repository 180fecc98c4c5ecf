"""A body without roles goes in, a question comes out; events go in, `text_completion` comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from openai.types import Completion
from strategies import answers, say

from cw_proxy.errors import InvalidJson, InvalidValue, ProxyError, UnsupportedParameter, UpstreamTruncated
from cw_proxy.events import Begin, Collector, End, Event, Fail, Text, Usage
from cw_proxy.interfaces import Ask, Stamp
from cw_proxy.protocols import simple_completions
from cw_proxy.protocols.simple_completions import SimpleCompletions

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "completions.md"
STAMP = Stamp(1_700_000_000, lambda: "0" * 32)


def asked(**members: Any) -> Ask:
    said = {"model": "auto", "prompt": "Once upon", **members}
    [ask] = SimpleCompletions().session().receive(json.dumps(said).encode())
    return ask


@pytest.mark.parametrize("prompt", ["Once upon", ["Once upon"]])
def test_the_prompt_is_one_user_turn(prompt: str | list[str]) -> None:
    assert asked(prompt=prompt).request.messages == (say("user", "Once upon"),)


@pytest.mark.parametrize(("stop", "wanted"), [(None, ()), ("a", ("a",)), (["a", "", "b"], ("a", "b")), ([], ())])
def test_stop_sequences(stop: Any, wanted: tuple[str, ...]) -> None:
    assert asked(stop=stop).request.stop == wanted


@pytest.mark.parametrize("name", simple_completions.OPTIONS)
def test_what_changes_nothing_is_named(name: str) -> None:
    value = {"logit_bias": {"a": 1}, "user": "ann"}.get(name, 1)
    assert asked(**{name: value}).request.options == {name: value}
    assert asked(**{name: None}).request.options == {}


REFUSED: list[tuple[dict[str, Any], type[ProxyError], str]] = [
    ({"stop": "x" * 257}, InvalidValue, "stop"),
    ({"user": {"a": 1}}, InvalidValue, "user"),
    ({"suffix": "the end"}, UnsupportedParameter, "suffix"),
    ({"echo": True}, UnsupportedParameter, "echo"),
    ({"logprobs": 0}, UnsupportedParameter, "logprobs"),
    ({"best_of": 2}, UnsupportedParameter, "best_of"),
    ({"n": 0}, InvalidValue, "n"),
    ({"best_of": 2}, UnsupportedParameter, "best_of"),
    ({"max_tokens": 0}, InvalidValue, "max_tokens"),
    ({"prompt": ["a", "b"]}, UnsupportedParameter, "prompt"),
    ({"prompt": [1, 2]}, UnsupportedParameter, "prompt"),
    ({"prompt": [[1, 2]]}, UnsupportedParameter, "prompt"),
    ({"prompt": []}, UnsupportedParameter, "prompt"),
    ({"prompt": ""}, InvalidValue, "prompt"),
    ({"prompt": 5}, InvalidValue, "prompt"),
    ({"prompt": None}, InvalidValue, "prompt"),
    ({"stop": ["a", "b", "c", "d", "e"]}, InvalidValue, "stop"),
    ({"model": None}, InvalidValue, "model"),
]


@pytest.mark.parametrize(("members", "error", "param"), REFUSED)
def test_what_cannot_be_met_is_refused_with_its_path(
    members: dict[str, Any], error: type[ProxyError], param: str
) -> None:
    with pytest.raises(error) as raised:
        asked(**members)
    assert raised.value.param == param


def test_a_harmless_value_of_what_is_refused_is_taken() -> None:
    asked(suffix="", echo=False, logprobs=None, best_of=1, n=1)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 500])
def test_no_json_is_said_so(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        SimpleCompletions().session().receive(body)


# --- the answer ---


def chunks(body: bytes) -> list[Any]:
    frames = [frame.removeprefix(b"data: ") for frame in body.split(b"\n\n") if frame]
    return [frame if frame == b"[DONE]" else json.loads(frame) for frame in frames]


@given(answers())
def test_streamed_and_whole_say_the_same_and_fit_the_sdk(events: list[Event]) -> None:
    streamed = chunks(asked(stream=True, stream_options={"include_usage": True}).encoder(STAMP).feed(events))
    collector = Collector()
    collector.feed(events)
    whole = json.loads(asked().render([collector.reply()], STAMP))
    Completion.model_validate(whole, strict=True)
    assert streamed.pop() == b"[DONE]"
    *pieces, ending, last = streamed
    assert "".join(chunk["choices"][0]["text"] for chunk in pieces) == whole["choices"][0]["text"]
    assert ending["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] != "tool_calls"
    assert (last["choices"], last.get("x_cw")) == ([], whole.get("x_cw"))
    assert {chunk["usage"] for chunk in pieces} <= {None}


def test_without_include_usage_there_is_none_and_x_cw_stands_on_the_last_chunk() -> None:
    events = [Begin(), Text("a"), Usage(credits=1.0), End("length")]
    *frames, done = chunks(asked(stream=True).encoder(STAMP).feed(events))
    assert done == b"[DONE]"
    assert not any("usage" in frame for frame in frames)
    assert frames[-1]["choices"][0]["finish_reason"] == "length"
    assert [frame.get("x_cw") for frame in frames] == [None, {"credits": 1.0}]


def test_a_failure_is_the_last_frame() -> None:
    *_, last = chunks(asked(stream=True).encoder(STAMP).feed([Begin(), Text("a"), Fail(UpstreamTruncated("Cut."))]))
    assert last["error"]["code"] == "upstream_truncated"


def test_errors_have_openais_shape() -> None:
    shown = SimpleCompletions().error(UnsupportedParameter("No.", param="echo"))
    assert (shown.status, json.loads(shown.body)["error"]["param"]) == (400, "echo")


def test_every_parameter_is_documented() -> None:
    page = PAGE.read_text()
    for field in msgspec.structs.fields(simple_completions._Body):
        assert f"`{field.name}`" in page
