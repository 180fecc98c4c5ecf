"""Playbooks of one exchange: what the service answers to each call, what comes out, which calls went in."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest
from stage import ME, TAIL, TAIL_EVENT, Answer, Stage, Tokens, listed, ok, refused, text
from strategies import exception, frame, request, say

from cw_proxy import errors
from cw_proxy.events import Begin, Choices, End, Event, Fail, Note, Text, Usage
from cw_proxy.exchange import Asker
from cw_proxy.filters.references import OnLicensedCode
from cw_proxy.model import Tool
from cw_proxy.rounds import answers

# --- the answer ---


async def test_one_batch_for_each_read_that_says_something() -> None:
    stage = Stage(Answer(text("a") + text("b"), text("c")[:20], text("c")[20:], TAIL))
    assert await stage.batches() == [[Begin(), Text("a"), Text("b")], [Text("c")], [TAIL_EVENT], [End("stop")]]
    assert stage.service.paths == ["generateAssistantResponse"]


BROKEN_OFF = errors.UpstreamTruncated("The connection was lost.")


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([text("a"), exception("error")], errors.UpstreamUnavailable),
        ([text("a") + exception("throttlingException")], errors.RateLimited),
        ([text("a"), text("b")[:-1]], errors.UpstreamTruncated),
        ([text("a"), b"\0" * 12], errors.UpstreamTruncated),
        ([text("a"), BROKEN_OFF], errors.UpstreamTruncated),
        ([text("a"), errors.UpstreamTimeout("Silent.")], errors.UpstreamTimeout),
    ],
)
async def test_a_failure_after_the_first_event_comes_as_the_last_event(
    pieces: list[bytes | errors.ProxyError], error: type[errors.ProxyError]
) -> None:
    stage = Stage(Answer(*pieces))
    *events, fail = await stage.events()
    assert events == [Begin(), Text("a")]
    assert isinstance(fail, Fail)
    assert type(fail.error) is error
    assert len(stage.service.calls) == 1


async def test_a_missing_tail_is_a_cut_once_the_account_has_shown_one() -> None:
    stage = Stage(Answer(text("a")), ok(), Answer(text("a")), tokens=Tokens("old", "new"))
    assert (await stage.events())[-1] == End("stop")
    await stage.events()
    # Another token of the same account changes nothing.
    stage.tokens.tokens.pop(0)
    fail = (await stage.events())[-1]
    assert isinstance(fail, Fail)
    assert type(fail.error) is errors.UpstreamTruncated


METADATA = frame("messageMetadataEvent", {"conversationId": "c-1"})


@pytest.mark.parametrize("before", [[], [METADATA], [METADATA, frame("initial-response", {})]])
async def test_a_failure_right_after_the_metadata_is_raised(before: list[bytes]) -> None:
    stage = Stage(Answer(*before, exception("throttlingException", "Slow down.")))
    with pytest.raises(errors.RateLimited, match=r"Slow down\."):
        await stage.events()


async def test_metadata_alone_waits_for_what_follows() -> None:
    assert await Stage(Answer(METADATA, text("a"), TAIL)).batches() == [
        [Begin("c-1"), Text("a")],
        [TAIL_EVENT],
        [End("stop")],
    ]


async def test_text_is_passed_on_before_the_service_goes_on() -> None:
    answer = Answer(text("a"), TAIL)
    answer.gate = asyncio.Event()
    async with aclosing(Stage(answer).run()) as batches:
        assert await anext(batches) == [Begin(), Text("a")]
        assert not answer.closed
    assert answer.closed


# --- the calls ---

DOWN = errors.UpstreamUnavailable("Down.")
LOST = Answer(exception("error", reason="MODEL_TEMPORARILY_UNAVAILABLE"))


@pytest.mark.parametrize("first", [DOWN, refused(500, "InternalServerException"), Answer(b"<html>", status=502), LOST])
@pytest.mark.parametrize("times", [1, 2])
async def test_a_service_that_is_down_is_asked_at_most_twice_more(
    first: Answer | errors.ProxyError, times: int
) -> None:
    stage = Stage(*[first] * times, ok())
    assert Text("hello") in await stage.events()
    assert len(stage.service.calls) == times + 1
    for attempt, delay in enumerate(stage.delays):
        assert 0 <= delay <= 0.2 * 2**attempt
    assert len(stage.delays) == times


async def test_a_service_that_stays_down_is_an_error_after_three_calls() -> None:
    stage = Stage(DOWN, DOWN, DOWN, ok())
    with pytest.raises(errors.UpstreamUnavailable):
        await stage.events()
    assert len(stage.service.calls) == 3


async def test_the_repeats_are_one_conversation() -> None:
    stage = Stage(DOWN, ok())
    await stage.events()
    assert stage.service.calls[0].body == stage.service.calls[1].body


EMPTY = Answer()


@pytest.mark.parametrize("empty", [EMPTY, Answer(METADATA), Answer(text(""))])
async def test_an_empty_answer_is_asked_for_once_more(empty: Answer) -> None:
    stage = Stage(empty, ok())
    assert Text("hello") in await stage.events()
    stage = Stage(empty, empty, ok())
    with pytest.raises(errors.EmptyUpstreamResponse):
        await stage.events()
    assert len(stage.service.calls) == 2


ONCE = [
    (refused(429, "ThrottlingException"), errors.RateLimited),
    (refused(429, "ThrottlingException", reason="MONTHLY_REQUEST_COUNT"), errors.InsufficientQuota),
    (refused(402, "ServiceQuotaExceededException"), errors.InsufficientQuota),
    (refused(400, "ValidationException"), errors.UpstreamRejected),
    (refused(400, "ValidationException", "Input is too long."), errors.ContextLengthExceeded),
    (refused(403, "AccessDeniedException", reason="FEATURE_NOT_SUPPORTED"), errors.UpstreamAccessDenied),
    (errors.UpstreamTls("Wrong certificate."), errors.UpstreamTls),
    (errors.UpstreamTimeout("Silent."), errors.UpstreamTimeout),
    (Answer(text("a")[:10]), errors.UpstreamTruncated),
]


@pytest.mark.parametrize(("answer", "error"), ONCE)
async def test_what_another_call_would_not_mend_is_raised_at_once(
    answer: Answer | errors.ProxyError, error: type[errors.ProxyError]
) -> None:
    stage = Stage(answer, ok())
    with pytest.raises(error) as raised:
        await stage.events()
    assert type(raised.value) is error
    assert (len(stage.service.calls), stage.delays) == (1, [])


# --- holding back ---

QUOTA = refused(429, "ThrottlingException", "Enough.", reason="MONTHLY_REQUEST_COUNT")
DENIED = refused(403, "AccessDeniedException", "Not for you.", reason="FEATURE_NOT_SUPPORTED")
TERMINAL = [
    (QUOTA, errors.InsufficientQuota),
    (DENIED, errors.UpstreamAccessDenied),
    (Answer(exception("throttlingException", "MONTHLY_REQUEST_COUNT")), errors.InsufficientQuota),
]


async def outcome(stage: Stage) -> type[errors.ProxyError] | None:
    try:
        await stage.events()
    except errors.ProxyError as error:
        return type(error)
    return None


@pytest.mark.parametrize(("answer", "error"), TERMINAL)
async def test_the_accounts_refusal_is_repeated_without_a_call(answer: Answer, error: type[errors.ProxyError]) -> None:
    stage = Stage(answer, ok())
    for now in (0, 1, 59):
        stage.now = now
        assert await outcome(stage) is error
    assert len(stage.service.calls) == 1
    stage.now = 60
    assert await outcome(stage) is None
    assert await outcome(Stage(ok())) is None


async def test_only_one_call_goes_through_after_a_hold() -> None:
    answer = Answer(text("a"))
    answer.gate = asyncio.Event()
    stage = Stage(QUOTA, answer, ok())
    assert await outcome(stage) is errors.InsufficientQuota
    stage.now = 60
    probe = asyncio.create_task(outcome(stage))
    await asyncio.sleep(0)
    assert await outcome(stage) is errors.InsufficientQuota
    answer.gate.set()
    assert await probe is None
    assert await outcome(stage) is None


async def test_another_token_is_not_held_back() -> None:
    stage = Stage(QUOTA, ok(), tokens=Tokens("old", "new"))
    assert await outcome(stage) is errors.InsufficientQuota
    stage.tokens.tokens.pop(0)
    assert await outcome(stage) is None


HARMLESS = [
    (Answer(exception("throttlingException")), errors.RateLimited),
    (refused(403, "AccessDeniedException"), errors.UpstreamAccessDenied),
    (refused(403, "AccessDeniedException", reason="UNAUTHORIZED_CUSTOMIZATION"), errors.UpstreamAccessDenied),
    (refused(402, "ServiceQuotaExceededException", reason="CONVERSATION_LIMIT_EXCEEDED"), errors.InsufficientQuota),
    (refused(400, "ValidationException"), errors.UpstreamRejected),
]


@pytest.mark.parametrize(("answer", "error"), HARMLESS)
async def test_what_is_about_one_request_holds_back_no_other(answer: Answer, error: type[errors.ProxyError]) -> None:
    stage = Stage(answer, ok())
    assert await outcome(stage) is error
    assert await outcome(stage) is None


async def test_a_quota_that_ends_in_the_middle_of_an_answer_is_kept_as_well() -> None:
    stage = Stage(Answer(text("a"), exception("throttlingException", "MONTHLY_REQUEST_COUNT")), ok())
    async with aclosing(stage.run()) as batches:
        async for events in batches:
            if isinstance(events[-1], Fail):
                break
    assert await outcome(stage) is errors.InsufficientQuota
    assert len(stage.service.calls) == 1


async def test_a_denied_list_of_models_is_held_back_too() -> None:
    stage = Stage(DENIED, ok())
    for _ in range(3):
        with pytest.raises(errors.UpstreamAccessDenied):
            await stage.events(request(say("user", "hello"), model="claude-x"))
    assert stage.service.paths == ["ListAvailableModels"]


# --- licensed code ---

LICENSED = frame("codeReferenceEvent", {"references": [{"licenseName": "MIT"}]})
NOTED = Note("references", [{"licenseName": "MIT"}])
MODES: list[tuple[OnLicensedCode, list[Event]]] = [
    ("flag", [Text("a"), Text("b"), NOTED, NOTED, TAIL_EVENT, End("stop")]),
    ("drop", [Text("a"), NOTED, NOTED, TAIL_EVENT, End("content_filter")]),
    ("pass", [Text("a"), Text("b"), TAIL_EVENT, End("stop")]),
]


@pytest.mark.parametrize(("mode", "events"), MODES)
async def test_licensed_code_is_flagged_dropped_or_passed_and_logged_once(
    mode: OnLicensedCode, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cw_proxy.exchange")
    stage = Stage(Answer(text("a"), text("b"), LICENSED + LICENSED, TAIL), licensed=mode)
    assert await stage.events() == [Begin(), *events]
    assert [record.getMessage() for record in caplog.records] == ["an answer repeats licensed code: ['MIT']"]


# --- the end before the end ---


async def test_a_stop_sequence_ends_the_answer_and_the_call() -> None:
    answer = Answer(text("one ST"), text("OP two"), text("three"))
    stage = Stage(answer)
    events = await stage.events(request(say("user", "hello"), stop=("STOP",)))
    assert events == [Begin(), Text("one "), End("stop", "STOP")]
    assert answer.closed


async def test_text_that_may_become_a_stop_sequence_is_not_lost() -> None:
    for pieces, last in [([text("a ST")], End), ([text("a ST"), exception("error")], Fail)]:
        *events, ending = await Stage(Answer(*pieces)).events(request(say("user", "hello"), stop=("STOP",)))
        assert events == [Begin(), Text("a "), Text("ST")]
        assert isinstance(ending, last)


async def test_a_client_that_leaves_closes_the_call() -> None:
    answer = Answer(text("a"), TAIL)
    answer.gate = asyncio.Event()
    stage = Stage(answer)
    begun = asyncio.Event()

    async def listen() -> None:
        async with aclosing(stage.run()) as batches:
            async for _ in batches:
                begun.set()

    task = asyncio.create_task(listen())
    await begun.wait()
    assert not answer.closed
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert answer.closed


# --- the model ---


@pytest.mark.parametrize("name", ["auto", "codewhisperer", "AUTO", "gpt-4o"])
async def test_the_default_model_needs_no_list(name: str) -> None:
    stage = Stage(ok())
    await stage.events(request(say("user", "hello"), model=name))
    assert stage.service.paths == ["generateAssistantResponse"]
    assert "modelId" not in stage.service.states()[0]["currentMessage"]["userInputMessage"]


async def test_a_name_is_resolved_with_the_list_over_all_its_pages() -> None:
    stage = Stage(listed("claude-a", page="2"), listed("claude-x"), ok())
    await stage.events(request(say("user", "hello"), model="mine"))
    assert stage.service.paths == ["ListAvailableModels", "ListAvailableModels", "generateAssistantResponse"]
    assert "nextToken=2" in stage.service.calls[1].url
    assert stage.service.states()[0]["currentMessage"]["userInputMessage"]["modelId"] == "claude-x"


async def test_an_unknown_name_is_refused_without_asking() -> None:
    stage = Stage(listed("claude-x"))
    with pytest.raises(errors.ModelNotFound, match="claude-x"):
        await stage.events(request(say("user", "hello"), model="claude-z"))


async def test_the_list_is_kept_for_minutes() -> None:
    stage = Stage(listed("a"), listed("b"))
    for now, model in [(0, "a"), (299, "a"), (300, "b")]:
        stage.now = now
        assert [info.id for info in (await stage.exchange.catalog()).models] == [model]


STALE = [DOWN, errors.UpstreamTimeout("Silent."), refused(429, "ThrottlingException"), Answer(b"<html>")]


@pytest.mark.parametrize("failure", STALE)
async def test_an_old_list_is_better_than_none_and_not_asked_for_at_every_turn(
    failure: Answer | errors.ProxyError,
) -> None:
    stage = Stage(listed("a"), failure, listed("b"))
    for now, model, calls in [(0, "a", 1), (301, "a", 2), (302, "a", 2), (340, "b", 3)]:
        stage.now = now
        assert [info.id for info in (await stage.exchange.catalog()).models] == [model]
        assert len(stage.service.calls) == calls


async def test_no_list_at_all_is_the_failure() -> None:
    with pytest.raises(errors.UpstreamTimeout):
        await Stage(errors.UpstreamTimeout("Silent.")).exchange.catalog()


async def test_many_who_need_the_list_ask_for_it_once() -> None:
    stage = Stage(listed("a"))
    await asyncio.gather(*(stage.exchange.catalog() for _ in range(20)))
    assert len(stage.service.calls) == 1


async def test_a_list_without_end_is_left_at_some_page() -> None:
    stage = Stage(*[listed("a", page="more")] * 1000)
    await stage.exchange.catalog()
    assert len(stage.service.calls) < 100


# --- what numbers are worth ---


def windowed(**windows: int) -> Answer:
    models = [{"modelId": name, "tokenLimits": {"maxInputTokens": window}} for name, window in windows.items()]
    return Answer(json.dumps({"models": models, "defaultModel": models[0]}).encode())


@pytest.mark.parametrize(("model", "window"), [("a", 100), ("b", 200), ("auto", 100)])
async def test_a_known_models_window_is_said_before_the_end(model: str, window: int) -> None:
    stage = Stage(windowed(a=100, b=200), ok())
    await stage.exchange.catalog()
    assert (await stage.events(request(say("user", "hello"), model=model)))[-2:] == [
        Usage(window=window),
        End("stop"),
    ]


async def test_the_list_is_not_asked_for_only_to_know_the_window() -> None:
    stage = Stage(ok())
    assert (await stage.events())[-2:] == [TAIL_EVENT, End("stop")]
    assert stage.service.paths == ["generateAssistantResponse"]


async def test_exact_numbers_pull_the_next_estimates_of_the_model() -> None:
    tokens = frame("metadataEvent", {"tokenUsage": {"uncachedInputTokens": 10**6, "outputTokens": 1, "totalTokens": 1}})
    stage = Stage(Answer(text("a"), tokens), ok(), listed("claude-x"), ok())
    long = say("user", "many words " * 500)
    await stage.events(request(long))
    assert (await stage.events())[-2] == Usage(scale=2.0)
    assert Usage(scale=2.0) not in await stage.events(request(long, model="mine"))


@pytest.mark.parametrize(
    ("words", "reason", "error"),
    [
        (180, None, errors.ContextLengthExceeded),
        (10, None, errors.UpstreamRejected),
        (180, "TOOL_SCHEMA_INVALID", errors.UpstreamRejected),
    ],
)
async def test_a_refusal_without_a_reason_may_be_about_the_length(
    words: int, reason: str | None, error: type[errors.ProxyError]
) -> None:
    window = {"modelId": "claude-x", "tokenLimits": {"maxInputTokens": 150}}
    models = Answer(json.dumps({"models": [window]}).encode())
    stage = Stage(models, refused(400, "ValidationException", "Improperly formed request.", reason))
    with pytest.raises(errors.UpstreamRejected) as raised:
        await stage.events(request(say("user", "word " * words), model="mine"))
    assert type(raised.value) is error
    assert ("of the model's 150 tokens" in raised.value.message) == (error is errors.ContextLengthExceeded)


# --- the conversation ---


async def test_the_services_own_id_is_used_from_then_on() -> None:
    stage = Stage(Answer(METADATA, text("a"), TAIL), ok())
    await stage.events()
    await stage.events()
    assert [state["conversationId"] for state in stage.service.states()] == ["id-0", "c-1"]


async def test_two_owners_never_share_a_conversation() -> None:
    stage = Stage(ok(), ok(), ok())
    for owner in (b"me", b"you", b"me"):
        await stage.events(asker=Asker(owner, {"session-id": "same"}))
    assert [state["conversationId"] for state in stage.service.states()] == ["id-0", "id-1", "id-0"]


async def test_several_answers_are_one_probe_after_a_hold() -> None:
    quota = refused(402, "ServiceQuotaExceededException", reason="MONTHLY_REQUEST_COUNT")
    stage = Stage(quota, *(ok(name) for name in "abc"))
    with pytest.raises(errors.InsufficientQuota):
        await stage.events()
    stage.now = 61.0
    asked = request(say("user", "hello"), choices=3)
    choices = Choices(3)
    async with aclosing(answers(stage.exchange, await stage.exchange.plan(asked), ME)) as batches:
        async for batch in batches:
            choices.feed(batch)
    assert sorted(reply.text for reply in choices.replies()) == ["a", "b", "c"]


async def test_what_is_far_too_long_is_refused_before_it_is_translated() -> None:
    stage = Stage()
    schema = {"type": "object", "properties": {f"a {number}": True for number in range(5000)}}
    with pytest.raises(errors.ContextLengthExceeded, match=r"tools\[0\]"):
        await stage.exchange.plan(request(say("user", "hello"), tools=(Tool("t", "", schema),)))
