"""Answers and a schema go in; only what conforms comes out, in one piece."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import cut_text, cuts, request, say

from cw_proxy.demands.json_answer import JsonDemand, json_check
from cw_proxy.errors import DemandUnmet, InvalidValue, ProxyError, UpstreamTruncated
from cw_proxy.events import (
    Begin,
    End,
    Event,
    Fail,
    FinishReason,
    Note,
    Text,
    Thought,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
)
from cw_proxy.model import JsonAnswer
from cw_proxy.usage import tally_of

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
ASKED = request(say("user", "Give me a."), json_answer=JsonAnswer(SCHEMA))
CALL: list[Event] = [ToolOpen("1", "t"), ToolInput("{}"), ToolClose()]


def demand(schema: dict[str, Any] | None = SCHEMA) -> JsonDemand:
    return JsonDemand(json_check(JsonAnswer(schema)))


def answered(*events: Event) -> tuple[JsonDemand, list[Event], list[Event] | ProxyError]:
    checked = demand()
    return checked, checked.feed(events), checked.settled()


@given(st.sampled_from(['{"a":1}', ' {"a": -7, "b": "é"}\n']), cuts)
def test_what_conforms_goes_out_as_it_is(text: str, fractions: list[float]) -> None:
    beside = [Thought("t"), Note("references", []), Usage(credits=1.0)]
    _, early, rest = answered(Begin(), *beside, *map(Text, cut_text(text, fractions)), End("stop"))
    assert early == []
    assert rest == [Begin(), *beside, Text(text), End("stop")]


def test_a_fence_around_the_whole_is_taken_off_and_said() -> None:
    _, _, rest = answered(Begin(), Text('```json\n{"a":\n 1}\n```'), End("stop"))
    assert isinstance(rest, list)
    assert [rest[0], rest[1], rest[3]] == [Begin(), Note("unwrapped", "code fence"), End("stop")]
    assert isinstance(rest[2], Text)
    assert rest[2].text.strip() == '{"a":\n 1}'


@pytest.mark.parametrize("text", ["", "No.", '{"a":"x"}', '{"a":1} Here you are.', '```\n{"a":"x"}\n```', '{"a":'])
def test_what_does_not_conform_is_asked_for_again(text: str) -> None:
    checked, _, error = answered(Begin(), Text(text), End("stop"))
    assert isinstance(error, DemandUnmet)
    assert error.code == "invalid_structured_output"
    again = checked.corrected(ASKED, error)
    assert again is not None
    said = [say("assistant", text)] if text else []
    assert again.messages[:-1] == (*ASKED.messages, *said)
    assert again.messages[-1].text.startswith("That is not what was asked for: ")


@pytest.mark.parametrize(
    ("reason", "words"), [("length", "limit of tokens"), ("content_filter", "withheld"), ("stop", "did not answer")]
)
def test_why_it_is_not_right(reason: FinishReason, words: str) -> None:
    checked, _, error = answered(Begin(), Text('{"a":'), End(reason))
    assert isinstance(error, DemandUnmet)
    assert words in error.message
    # Asked again, it would be cut off again.
    assert (checked.corrected(ASKED, error) is None) == (reason != "stop")


def test_an_answer_that_broke_off_stays_broken() -> None:
    error = UpstreamTruncated("Cut.")
    checked, early, rest = answered(Begin(), Text('{"a":1}'), Fail(error))
    assert (early, rest) == ([], error)
    assert checked.corrected(ASKED, error) is None


def test_calls_go_out_at_once_and_what_is_said_beside_them_is_a_note() -> None:
    checked = demand()
    assert checked.feed([Begin(), Text("Let me ")]) == []
    assert checked.feed([Text("see."), *CALL]) == [Begin(), *CALL]
    assert checked.feed([Text(" Done."), End("tool_calls")]) == [
        Note("text_beside_calls", "Let me see. Done."),
        Usage(unshown=tally_of("Let me see. Done.").tokens),
        End("tool_calls"),
    ]
    assert checked.settled() == []


def test_any_object_will_do_without_a_schema() -> None:
    checked = demand(None)
    checked.feed([Begin(), Text('{"anything":[1]}'), End("stop")])
    assert isinstance(checked.settled(), list)
    other = demand(None)
    other.feed([Begin(), Text("[1]"), End("stop")])
    assert isinstance(other.settled(), DemandUnmet)


def test_a_schema_that_is_none_is_refused_with_its_place() -> None:
    with pytest.raises(InvalidValue) as raised:
        json_check(JsonAnswer({"type": "nothing"}, param="response_format.json_schema.schema"))
    assert raised.value.param == "response_format.json_schema.schema"
