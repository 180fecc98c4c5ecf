"""Questions and a scripted service go in; answers come out, side by side or in the second try."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from stage import ME, TAIL, Answer, Stage, ok, refused, text
from strategies import frame, request, say

from cw_proxy import errors
from cw_proxy.errors import ProxyError
from cw_proxy.events import Begin, Choice, Choices, End, Event, Fail, Note, Reply, Text, ToolOpen, Usage
from cw_proxy.model import JsonAnswer, Request, Tool
from cw_proxy.rounds import Batches, answers, until
from cw_proxy.usage import count, reply_tally

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
JSON = request(say("user", "Give me a."), json_answer=JsonAnswer(SCHEMA))
CALLING = request(say("user", "Weather?"), tools=(Tool("weather", "", {}),), tool_choice="required")


def call(name: str = "weather") -> bytes:
    opened = frame("toolUseEvent", {"toolUseId": "1", "name": name})
    return opened + frame("toolUseEvent", {"toolUseId": "1", "name": name, "input": "{}", "stop": True})


def tokens(prompt: int, answer: int) -> bytes:
    usage = {"uncachedInputTokens": prompt, "outputTokens": answer, "totalTokens": prompt + answer}
    return frame("metadataEvent", {"tokenUsage": usage})


async def batches(stage: Stage, asked: Request) -> list[list[Event]]:
    async with aclosing(answers(stage.exchange, await stage.exchange.plan(asked), ME)) as found:
        return [batch async for batch in found]


async def replies(stage: Stage, asked: Request) -> list[Reply]:
    choices = Choices(asked.choices)
    for batch in await batches(stage, asked):
        choices.feed(batch)
    return choices.replies()


def said(stage: Stage) -> list[str]:
    """The current message of each call."""
    return [state["currentMessage"]["userInputMessage"]["content"] for state in stage.service.states()]


# --- a time limit ---


async def scripted(*steps: list[Event] | float | ProxyError) -> Batches:
    for step in steps:
        if isinstance(step, float):
            await asyncio.sleep(step)
        elif isinstance(step, ProxyError):
            raise step
        else:
            yield step


NEVER = 3600.0
LATE = errors.UpstreamTimeout("Too late.")


async def test_an_answer_in_time_is_as_it_was() -> None:
    deadline = asyncio.get_running_loop().time() + NEVER
    found = [batch async for batch in until(scripted([Begin()], [Text("a")]), deadline, LATE)]
    assert found == [[Begin()], [Text("a")]]


@pytest.mark.parametrize("first", [[], [[Begin(), Text("a")]]])
async def test_what_is_too_late_is_broken_off(first: list[list[Event]]) -> None:
    deadline = asyncio.get_running_loop().time() + 0.01
    batches = scripted(*first, NEVER, [Text("b")])
    limited = until(batches, deadline, LATE)
    assert [await anext(limited) for _ in first] == first
    with pytest.raises(errors.UpstreamTimeout) as raised:
        await anext(limited)
    assert raised.value is LATE
    # The answer is closed: nothing goes on behind it.
    with pytest.raises(StopAsyncIteration):
        await anext(batches)


async def test_other_failures_stay_what_they_are() -> None:
    deadline = asyncio.get_running_loop().time() + NEVER
    with pytest.raises(errors.RateLimited):
        await anext(until(scripted(errors.RateLimited("x")), deadline, LATE))


# --- one round ---


async def test_a_plain_question_is_the_exchanges() -> None:
    asked = request(say("user", "hello"))
    assert await batches(Stage(ok()), asked) == await Stage(ok()).batches(asked)


@pytest.mark.parametrize(
    ("asked", "answer"), [(JSON, Answer(text('{"a":'), text("1}"), TAIL)), (CALLING, Answer(text("I"), call(), TAIL))]
)
async def test_an_answer_as_demanded_is_enough(asked: Request, answer: Answer) -> None:
    stage = Stage(answer)
    [reply] = await replies(stage, asked)
    assert (reply.text, len(reply.tool_calls)) in [('{"a":1}', 0), ("I", 1)]
    assert not reply.notes
    assert len(stage.service.calls) == 1


async def test_a_call_streams_as_it_comes() -> None:
    *early, last = await batches(Stage(Answer(text("I see."), call()[:80], call()[80:], TAIL)), CALLING)
    assert [type(event) for event in early[0]][:3] == [Begin, Text, ToolOpen]
    assert last == [End("tool_calls")]


# --- two rounds ---


async def test_the_second_try_counts_and_costs_both() -> None:
    first = Answer(text("Sure: a is 1."), tokens(10, 5))
    stage = Stage(first, Answer(text('{"a":1}'), tokens(20, 7)))
    [reply] = await replies(stage, JSON)
    assert reply.text == '{"a":1}'
    assert reply.notes == (Note("rounds", 2),)
    counted = count(JSON, reply.usage, reply_tally(reply))
    assert (counted.input, counted.output, counted.source) == (30, 12, "exact")
    one, two = stage.service.states()
    assert one["conversationId"] == two["conversationId"]
    assert two["history"][-1] == {"assistantResponseMessage": {"content": "Sure: a is 1."}}
    assert said(stage)[1].startswith("That is not what was asked for: ")
    assert "Schema" in said(stage)[1]


async def test_estimates_of_both_tries_count() -> None:
    stage = Stage(Answer(text("Sure: a is 1. " * 20), TAIL), Answer(text('{"a":1}'), TAIL))
    [reply] = await replies(stage, JSON)
    counted = count(JSON, reply.usage, reply_tally(reply))
    assert counted.source == "estimated"
    assert counted.output > 80


async def test_a_second_try_that_is_too_long_is_not_the_clients_fault() -> None:
    stage = Stage(ok("No. " * 2000))
    with pytest.raises(errors.DemandUnmet):
        # Our question with the first answer in it passes the stage's largest body.
        await batches(stage, request(say("user", "x" * 5000), json_answer=JsonAnswer(SCHEMA)))


async def test_a_tool_is_asked_for_twice() -> None:
    stage = Stage(Answer(text("It is warm."), TAIL), Answer(call(), tokens(20, 7)))
    [reply] = await replies(stage, CALLING)
    assert [one.name for one in reply.tool_calls] == ["weather"]
    assert reply.text == ""
    assert reply.notes == (Note("rounds", 2),)
    assert "without calling a tool" in said(stage)[1]


@pytest.mark.parametrize(("asked", "code"), [(JSON, "invalid_structured_output"), (CALLING, "tool_choice_unmet")])
async def test_after_two_tries_it_is_an_error_and_nothing_has_gone_out(asked: Request, code: str) -> None:
    stage = Stage(ok("No."), ok("Never."))
    with pytest.raises(errors.DemandUnmet) as raised:
        await batches(stage, asked)
    assert raised.value.code == code
    assert len(stage.service.calls) == 2


@pytest.mark.parametrize("asked", [JSON, CALLING])
async def test_what_breaks_off_unseen_is_raised(asked: Request) -> None:
    with pytest.raises(errors.UpstreamTruncated):
        await batches(Stage(Answer(text("It"), text(" is")[:-1])), asked)


async def test_what_breaks_off_in_a_call_is_a_fail() -> None:
    *_, last = await batches(Stage(Answer(call()[:-20], errors.UpstreamTruncated("Lost."))), CALLING)
    assert isinstance(last[-1], Fail)


async def test_a_limit_that_cuts_the_json_is_no_reason_to_ask_again() -> None:
    stage = Stage(Answer(text('{"a": "one two three four five"}'), TAIL))
    asked = request(say("user", "a"), json_answer=JsonAnswer(), max_tokens=3)
    with pytest.raises(errors.DemandUnmet, match="limit of tokens"):
        await batches(stage, asked)
    assert len(stage.service.calls) == 1


async def test_a_schema_that_is_none_asks_nobody() -> None:
    stage = Stage()
    asked = request(say("user", "a"), json_answer=JsonAnswer({"type": 5}, param="p"))
    with pytest.raises(errors.InvalidValue):
        await batches(stage, asked)
    assert not stage.service.calls


# --- several answers ---


def several(number: int, **settings: Any) -> Request:
    return request(say("user", "hello"), choices=number, **settings)


async def test_each_answer_is_a_call_of_its_own() -> None:
    stage = Stage(ok("a"), ok("b"), ok("c"))
    found = await replies(stage, several(3))
    assert sorted(reply.text for reply in found) == ["a", "b", "c"]
    ids = [state["conversationId"] for state in stage.service.states()]
    assert len(set(ids)) == 3


async def test_every_batch_says_whose_it_is() -> None:
    for batch in await batches(Stage(ok("a"), ok("b")), several(2)):
        assert isinstance(batch[0], Choice)
        assert not any(isinstance(event, Choice) for event in batch[1:])


async def test_a_slow_answer_does_not_hold_the_other_back() -> None:
    slow = Answer(text("a"), text("b"), TAIL)
    slow.gate = asyncio.Event()
    stage = Stage(slow, ok("c"))
    seen: list[Event] = []
    async with aclosing(answers(stage.exchange, await stage.exchange.plan(several(2)), ME)) as found:
        async for batch in found:
            seen += batch
            if End("stop") in batch:
                slow.gate.set()
    assert seen.count(End("stop")) == 2


async def test_demands_hold_for_each() -> None:
    stage = Stage(ok('{"a":1}'), ok("No."), ok('{"a":2}'))
    found = await replies(stage, several(2, json_answer=JsonAnswer(SCHEMA)))
    assert sorted(reply.text for reply in found) == ['{"a":1}', '{"a":2}']


async def test_one_refusal_ends_all() -> None:
    open_ended = Answer(text("a"), text("b"), TAIL)
    open_ended.gate = asyncio.Event()
    stage = Stage(open_ended, refused(400, "ValidationException"))
    with pytest.raises(errors.UpstreamRejected):
        await batches(stage, several(2))
    assert open_ended.closed


async def test_one_that_breaks_off_ends_all() -> None:
    open_ended = Answer(text("a"), text("b"), TAIL)
    open_ended.gate = asyncio.Event()
    stage = Stage(open_ended, Answer(text("a"), text("b")[:-1]))
    *_, last = await batches(stage, several(2))
    assert isinstance(last[-1], Fail)
    assert open_ended.closed


async def test_a_client_that_leaves_ends_all() -> None:
    waiting = [Answer(text("a"), TAIL), Answer(text("b"), TAIL)]
    for answer in waiting:
        answer.gate = asyncio.Event()
    stage = Stage(*waiting)
    async with aclosing(answers(stage.exchange, await stage.exchange.plan(several(2)), ME)) as found:
        await anext(found)
        await anext(found)
    assert all(answer.closed for answer in waiting)


async def test_a_slow_client_holds_the_answers_back() -> None:
    long = [Answer(*[text("a")] * 100, TAIL) for _ in range(2)]
    stage = Stage(*long)
    async with aclosing(answers(stage.exchange, await stage.exchange.plan(several(2)), ME)) as found:
        await anext(found)
        for _ in range(500):
            await asyncio.sleep(0)
        assert not any(answer.closed for answer in long)


async def test_too_many_are_refused() -> None:
    with pytest.raises(errors.InvalidValue) as raised:
        await batches(Stage(), several(9))
    assert raised.value.param == "n"


async def test_costs_of_each_stay_apart() -> None:
    stage = Stage(Answer(text("a"), tokens(10, 1)), Answer(text("b"), tokens(10, 2)))
    found = await replies(stage, several(2))
    assert [reply.usage for reply in found] == [
        Usage(input_tokens=10, output_tokens=reply.usage.output_tokens) for reply in found
    ]
    assert sum(reply.usage.output_tokens or 0 for reply in found) == 3
