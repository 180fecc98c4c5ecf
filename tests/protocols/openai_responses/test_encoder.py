"""Events go in; the events of a response come out, judged by the official client and by the order of the API."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from responses import JUDGE, REQUEST, final, frames, meant, rendered, stamp, streamed, told, wanted
from strategies import TRICKY, answers, cuts

from cw_proxy import errors
from cw_proxy.events import Begin, End, Event, Fail, Note, Text, Thought, ToolClose, ToolInput, ToolOpen, Usage
from cw_proxy.protocols.openai_responses.encoder import Finished, ResponseEncoder

# What may follow what, between the events of a response: by their types without `response.`.
_MESSAGE = ["content_part.added", "output_text.delta", "output_text.done", "content_part.done"]
_SUMMARY = [f"reasoning_summary_{kind}" for kind in ("part.added", "text.delta", "text.done", "part.done")]
FOLLOWING = {
    "": {"created"},
    "created": {"in_progress"},
    "in_progress": {"output_item.added", "completed", "incomplete", "failed"},
    "output_item.added": {
        *(_MESSAGE[0], _SUMMARY[0], "function_call_arguments.delta", "custom_tool_call_input.delta"),
        *("custom_tool_call_input.done", "output_item.done", "failed"),
    },
    **{kind: {kind, *_MESSAGE[at + 1 : at + 2], "failed"} for at, kind in enumerate(_MESSAGE)},
    **{kind: {kind, *_SUMMARY[at + 1 : at + 2], "output_item.done", "failed"} for at, kind in enumerate(_SUMMARY)},
    "content_part.done": {"output_item.done"},
    "function_call_arguments.delta": {
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "failed",
    },
    "function_call_arguments.done": {"output_item.done"},
    "custom_tool_call_input.delta": {"custom_tool_call_input.delta", "custom_tool_call_input.done", "failed"},
    "custom_tool_call_input.done": {"output_item.done"},
    "output_item.done": {"output_item.added", "completed", "incomplete", "failed"},
    "completed": set(),
    "incomplete": set(),
    "failed": set(),
}


def check_order(events: list[Any]) -> None:
    kinds = ["", *(event["type"].removeprefix("response.") for event in events)]
    for before, after in itertools.pairwise(kinds):
        assert after in FOLLOWING[before], (before, after)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert not FOLLOWING[kinds[-1]]


@given(answers(), st.lists(st.integers(0, 12)), cuts)
@settings(max_examples=100, deadline=None)
def test_the_official_client_understands_any_legal_answer(
    events: list[Event], batches: list[int], fractions: list[float]
) -> None:
    stream = streamed(events, [min(at, len(events)) for at in batches])
    assert stream == streamed(events)
    check_order(frames(stream))
    snapshot, response = JUDGE.fold([stream])
    assert told(response) == meant(events)
    # The accumulator adds up deltas of text and arguments; it leaves summaries to the end.
    assert [one for one in told(snapshot) if one[0] != "reasoning"] == [
        one for one in meant(events) if one[0] != "reasoning"
    ]


@given(answers())
@settings(max_examples=50, deadline=None)
def test_the_deltas_of_every_item_add_up(events: list[Event]) -> None:
    written = frames(streamed(events))
    deltas: dict[str, str] = {}
    for event in written:
        if event["type"].endswith(".delta"):
            deltas[event["item_id"]] = deltas.get(event["item_id"], "") + event["delta"]
    for item in written[-1]["response"]["output"]:
        text = item.get("arguments", item.get("summary", item.get("content")))
        assert deltas.get(item["id"], "") == (text if isinstance(text, str) else "".join(part["text"] for part in text))


@given(answers(), st.booleans())
@settings(max_examples=50, deadline=None)
def test_the_whole_answer_is_the_last_event_s(events: list[Event], encrypted: bool) -> None:
    full = rendered(events, encrypted=encrypted)
    assert full == final(streamed(events, encrypted=encrypted))
    assert told(JUDGE.full(json.dumps(full).encode())) == meant(events)


@pytest.mark.parametrize("text", TRICKY)
def test_text_that_looks_like_what_carries_it(text: str) -> None:
    events = [Begin(), Text(text), Text(text), ToolOpen("t1", "ls"), ToolInput(json.dumps({"a": text})), ToolClose()]
    assert told(JUDGE.fold([streamed([*events, End("stop")])])[1]) == meant(events)


def test_every_delta_is_an_event_of_its_own() -> None:
    written = frames(streamed([Begin(), Text("ha"), Text("ha"), End("stop")]))
    assert [event["delta"] for event in written if "delta" in event] == ["ha", "ha"]
    assert {event["response"]["id"] for event in written if "response" in event} == {"resp_0001"}
    assert [event["response"]["status"] for event in written if "response" in event] == [
        "in_progress",
        "in_progress",
        "completed",
    ]


def test_an_empty_text_is_nothing() -> None:
    assert final(streamed([Begin(), Text(""), End("stop")]))["output"] == []


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_how_it_ended(reason: Any, status: str, why: str | None) -> None:
    written = frames(streamed([Begin(), Text("a"), End(reason)]))
    response = written[-1]["response"]
    assert written[-1]["type"] == f"response.{status}"
    assert (response["status"], response["incomplete_details"]) == (status, why and {"reason": why})
    assert response["output"][0]["status"] == status
    assert (response["completed_at"] is None) == (status != "completed")


def test_usage_and_what_else_the_service_says() -> None:
    numbers = Usage(input_tokens=3, cache_read_tokens=2, cache_write_tokens=1, output_tokens=5, credits=0.5)
    note = Note("references", [{"licenseName": "MIT"}])
    response = final(streamed([Begin(), Text("a"), note, numbers, End("stop")]))
    assert response["usage"] == {
        "input_tokens": 6,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 11,
        "cw_usage_source": "exact",
    }
    assert response["x_cw"] == {"credits": 0.5, "references": [{"licenseName": "MIT"}]}


def test_tokens_of_thoughts_are_a_part_of_the_output() -> None:
    usage = final(streamed([Begin(), Thought("Let me think about it."), Text("Yes."), End("stop")]))["usage"]
    assert 0 < usage["output_tokens_details"]["reasoning_tokens"] < usage["output_tokens"]


THOUGHTS: list[Event] = [
    *[Begin(), Thought("Let me "), Thought("think."), Thought(signature="signed"), Thought("More.")],
    *[Thought(redacted="b3BhcXVl"), Text("a"), End("stop")],
]


@pytest.mark.parametrize("encrypted", [True, False])
def test_reasoning_is_a_summary_and_what_seals_it(encrypted: bool) -> None:
    *reasoning, message = final(streamed(THOUGHTS, encrypted=encrypted))["output"]
    assert message["type"] == "message"
    assert [[part["text"] for part in item["summary"]] for item in reasoning] == [["Let me think."], ["More."]]
    seals = [item.get("encrypted_content") for item in reasoning]
    assert seals == (["signed", "b3BhcXVl"] if encrypted else [None, None])


def test_a_custom_tool_s_input_is_text() -> None:
    events: list[Event] = [Begin(), ToolOpen("t1", "patch"), ToolInput('{"inp'), ToolInput('ut": "a\\')]
    events += [ToolInput("n\\ud83d"), ToolInput('\\udc4d"}'), ToolClose(), End("tool_calls")]
    written = frames(streamed(events))
    check_order(written)
    [item] = written[-1]["response"]["output"]
    assert item == {
        "id": "ctc_0002",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": "t1",
        "name": "patch",
        "input": "a\n👍",
    }
    assert [event["delta"] for event in written if "delta" in event] == ["a", "\n", "👍"]
    JUDGE.fold([streamed(events)])


def test_a_tool_of_a_namespace_is_called_by_its_own_name() -> None:
    [item] = final(streamed([Begin(), ToolOpen("t1", "crm__find"), ToolClose(), End("tool_calls")]))["output"]
    assert (item["type"], item["name"], item["namespace"], item["arguments"]) == ("function_call", "find", "crm", "{}")


def test_events_of_a_lane_say_so() -> None:
    assert {event["stream_id"] for event in frames(streamed([Begin(), Text("a"), End("stop")], lane="é"))} == {"é"}
    assert not any("stream_id" in event for event in frames(streamed([Begin(), Text("a"), End("stop")])))


@pytest.mark.parametrize("open_with", [Text("a"), Thought("a"), ToolOpen("t1", "ls")])
def test_an_answer_without_an_end_does_not_fill_the_memory(open_with: Event) -> None:
    encoder = ResponseEncoder(REQUEST, wanted(), stamp())
    encoder.feed([Begin(), open_with])
    piece = "x" * 1_000_000
    more = {Text: Text(piece), Thought: Thought(piece), ToolOpen: ToolInput(piece)}[type(open_with)]
    with pytest.raises(errors.UpstreamProtocol, match="characters") as raised:
        for _ in range(20):
            encoder.feed([more])
    assert frames(encoder.feed([Fail(raised.value)]))[-1]["type"] == "response.failed"


@pytest.mark.parametrize("before", [[], [Begin()], [Begin(), Text("a")], [Begin(), ToolOpen("t1", "ls")]])
def test_a_failure_is_the_last_event(before: list[Event]) -> None:
    settled: list[Finished | None] = []
    error = errors.UpstreamTruncated('cut\n\noff "here"')
    stream = streamed([*before, Fail(error)], settle=settled.append)
    written = frames(stream)
    check_order(written)
    response = written[-1]["response"]
    assert written[-1]["type"] == "response.failed"
    assert (response["status"], response["error"]) == ("failed", {"code": "server_error", "message": error.message})
    assert response["x_cw"]["error"] == "upstream_truncated"
    assert settled == [None]
    assert list(JUDGE.events([stream]))[-1].type == "response.failed"


def test_the_end_is_told_with_what_can_be_asked_for_again() -> None:
    settled: list[Finished | None] = []
    response = final(streamed([Begin(), Text("a"), End("stop")], settle=settled.append))
    [done] = settled
    assert done is not None
    assert (done.id, json.loads(done.body), [json.loads(item) for item in done.output]) == (
        response["id"],
        response,
        response["output"],
    )
