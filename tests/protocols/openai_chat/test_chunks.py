"""The streamed answer, judged by the official client."""

from __future__ import annotations

import json

import openai
import pytest
from chat import JUDGE, frames, meant, streamed
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import TRICKY, answers

from cw_proxy import errors
from cw_proxy.events import Begin, End, Event, Fail, Text, ToolClose, ToolInput, ToolOpen, Usage


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
