"""Answers go in; what has no call stays inside."""

from __future__ import annotations

from strategies import request, say

from cw_proxy.demands.tool_call import ToolDemand
from cw_proxy.errors import DemandUnmet, UpstreamTruncated
from cw_proxy.events import Begin, End, Event, Fail, Text, ToolClose, ToolInput, ToolOpen
from cw_proxy.model import Tool

CALL: list[Event] = [ToolOpen("1", "a"), ToolInput("{}"), ToolClose()]
ASKED = request(say("user", "Weather?"), tools=(Tool("a", "", {}), Tool("b", "", {})), tool_choice="required")


def test_what_is_said_before_a_call_waits_for_it() -> None:
    demand = ToolDemand()
    assert demand.feed([Begin(), Text("Let me ")]) == demand.feed([Text("see.")]) == []
    assert demand.feed([CALL[0]]) == [Begin(), Text("Let me "), Text("see."), CALL[0]]
    assert demand.feed(CALL[1:]) == CALL[1:]
    assert demand.feed([End("tool_calls")]) == [End("tool_calls")]
    assert demand.settled() == []


def test_an_answer_without_a_call_is_asked_for_again() -> None:
    demand = ToolDemand()
    assert demand.feed([Begin(), Text("It is warm."), End("stop")]) == []
    error = demand.settled()
    assert isinstance(error, DemandUnmet)
    assert (error.status, error.code, error.should_retry) == (502, "tool_choice_unmet", False)
    again = demand.corrected(ASKED, error)
    assert again is not None
    assert again.messages[:2] == (*ASKED.messages, say("assistant", "It is warm."))
    assert again.messages[2].text == "You answered without calling a tool. Call one of these tools now: a, b."
    assert again.tools == ASKED.tools


def test_an_answer_that_broke_off_is_not() -> None:
    demand, error = ToolDemand(), UpstreamTruncated("Cut.")
    assert demand.feed([Begin(), Text("It"), Fail(error)]) == []
    assert demand.settled() is error
    assert demand.corrected(ASKED, error) is None


def test_silence_is_no_turn_of_its_own() -> None:
    demand = ToolDemand()
    demand.feed([Begin(), Text(" "), End("stop")])
    error = demand.settled()
    assert isinstance(error, DemandUnmet)
    again = demand.corrected(ASKED, error)
    assert again is not None
    assert [message.role for message in again.messages] == ["user", "user"]
