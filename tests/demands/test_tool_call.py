"""Answers go in; what has no call stays inside."""

from __future__ import annotations

import msgspec
import pytest
from strategies import request, say

from cw_proxy.demands.tool_call import ToolDemand
from cw_proxy.errors import DemandUnmet, UpstreamTruncated
from cw_proxy.events import Begin, End, Event, Fail, FinishReason, Note, Text, ToolClose, ToolInput, ToolOpen
from cw_proxy.model import JsonAnswer, Tool

CALL: list[Event] = [ToolOpen("1", "a"), ToolInput("{}"), ToolClose()]
ASKED = request(say("user", "Weather?"), tools=(Tool("a", "", {}), Tool("b", "", {})), tool_choice="required")


def test_what_is_said_before_a_call_waits_for_it() -> None:
    demand = ToolDemand(ASKED)
    assert demand.feed([Begin(), Text("Let me ")]) == demand.feed([Text("see.")]) == []
    assert demand.feed([CALL[0]]) == [Begin(), Text("Let me "), Text("see."), CALL[0]]
    assert demand.feed(CALL[1:]) == CALL[1:]
    assert demand.feed([End("tool_calls")]) == [End("tool_calls")]
    assert demand.settled() == []


def test_an_answer_without_a_call_is_asked_for_again() -> None:
    demand = ToolDemand(ASKED)
    assert demand.feed([Begin(), Text("It is warm."), End("stop")]) == []
    error = demand.settled()
    assert isinstance(error, DemandUnmet)
    assert (error.status, error.code, error.should_retry) == (502, "tool_choice_unmet", False)
    again = demand.corrected(ASKED, error)
    assert again is not None
    assert again.messages[:2] == (*ASKED.messages, say("assistant", "It is warm."))
    assert again.messages[2].text == "You answered without calling a tool that you may call."
    assert again.tools == ASKED.tools


def test_an_answer_that_broke_off_is_not() -> None:
    demand, error = ToolDemand(ASKED), UpstreamTruncated("Cut.")
    assert demand.feed([Begin(), Text("It"), Fail(error)]) == []
    assert demand.settled() is error
    assert demand.corrected(ASKED, error) is None


def test_silence_is_no_turn_of_its_own() -> None:
    demand = ToolDemand(ASKED)
    demand.feed([Begin(), Text(" "), End("stop")])
    error = demand.settled()
    assert isinstance(error, DemandUnmet)
    again = demand.corrected(ASKED, error)
    assert again is not None
    assert [message.role for message in again.messages] == ["user", "user"]


OTHER: list[Event] = [ToolOpen("2", "other"), ToolInput("{}"), ToolClose()]


def test_a_call_of_another_tool_is_no_answer() -> None:
    demand = ToolDemand(ASKED)
    assert demand.feed([Begin(), *OTHER, End("tool_calls")]) == []
    error = demand.settled()
    assert isinstance(error, DemandUnmet)
    assert demand.corrected(ASKED, error) is not None


def test_calls_of_other_tools_are_left_out_and_counted() -> None:
    for events in ([*OTHER, *CALL], [*CALL, *OTHER]):
        demand = ToolDemand(ASKED)
        passed = [one for event in [Begin(), *events, End("tool_calls")] for one in demand.feed([event])]
        assert passed == [Begin(), *CALL, Note("tool_calls_left_out", 1), End("tool_calls")]


@pytest.mark.parametrize(("reason", "words"), [("length", "limit of tokens"), ("content_filter", "called no tool")])
def test_what_was_cut_off_is_not_asked_for_again(reason: FinishReason, words: str) -> None:
    demand = ToolDemand(ASKED)
    demand.feed([Begin(), Text("Let me"), End(reason)])
    error = demand.settled()
    assert isinstance(error, DemandUnmet)
    assert words in error.message
    assert demand.corrected(ASKED, error) is None


def test_where_the_text_is_to_be_json_it_stands_aside() -> None:
    demand = ToolDemand(msgspec.structs.replace(ASKED, json_answer=JsonAnswer()))
    passed = demand.feed([Begin(), Text("Let me see."), *CALL, End("tool_calls")])
    assert [event for event in passed if isinstance(event, Text)] == []
    assert Note("text_beside_calls", "Let me see.") in passed
