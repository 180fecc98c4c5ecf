"""What an exchange came to: its times, tokens, outcome and names, and nothing of what was said."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import request, say

from cw_proxy.errors import ModelNotFound, UpstreamTruncated
from cw_proxy.events import (
    Begin,
    Choice,
    Collector,
    End,
    Event,
    Fail,
    Text,
    Thought,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
)
from cw_proxy.interfaces import Stamp
from cw_proxy.model import Request
from cw_proxy.protocols.openai_chat import ChunkEncoder
from cw_proxy.record import Entry, Record, Recorder
from cw_proxy.secret import digest
from cw_proxy.usage import count, reply_tally

QUESTION = request(say("user", "What is the answer to everything?"), model="auto")
ANSWER: list[Event] = [Begin(), Text("forty-"), Text("two"), End("stop")]


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def recorder(kept: list[Entry], clock: Callable[[], float], **names: str) -> Recorder:
    return Recorder([kept.append], names, time=lambda: 1_700_000_000.1234, clock=clock)


def begun(kept: list[Entry], clock: Callable[[], float] = lambda: 100.0, **names: str) -> Record:
    record = recorder(kept, clock, **names).begin("req_1", "POST")
    assert record is not None
    return record


def finished(*batches: list[Event], question: Request = QUESTION) -> Entry:
    kept: list[Entry] = []
    record = begun(kept)
    record.asks(question, stream=True)
    record.planned("a-model", "codewhisperer")
    for events in batches:
        record.feed(events)
    record.finish(200)
    [entry] = kept
    return entry


def test_with_nobody_to_tell_there_is_no_record() -> None:
    assert Recorder().begin("req_1", "GET") is None


def test_a_whole_exchange() -> None:
    kept: list[Entry] = []
    clock = Clock()
    record = begun(kept, clock)
    record.route = "/v1/chat/completions"
    record.came_from(digest("a-key"), "openai/1.0")
    record.asks(QUESTION, stream=True)
    clock.seconds += 0.5
    record.planned("a-model", "codewhisperer")
    clock.seconds += 1
    record.feed(ANSWER[:2])
    clock.seconds += 2
    record.feed([*ANSWER[2:3], Usage(input_tokens=9, output_tokens=3, cache_read_tokens=4, credits=0.5), ANSWER[3]])
    record.finish(200)
    assert kept == [
        Entry(
            id="req_1",
            time=1_700_000_000.123,
            method="POST",
            route="/v1/chat/completions",
            status=200,
            outcome="ok",
            key=digest("a-key").hex()[:8],
            agent="openai/1.0",
            model_asked="auto",
            model="a-model",
            backend="codewhisperer",
            stream=True,
            finish="stop",
            queue_ms=500.0,
            first_ms=1500.0,
            total_ms=3500.0,
            input_tokens=13,
            output_tokens=3,
            cached_tokens=4,
            tokens_source="exact",
            credits=0.5,
        )
    ]


PIECES: list[Event] = [
    *[Begin(), Thought("Let me see."), Text("It is "), Text("here."), ToolOpen("1", "look"), ToolInput('{"a":')],
    *[ToolInput("1}"), ToolClose(), End("tool_calls")],
]


@given(st.sets(st.integers(1, len(PIECES) - 1)))
def test_tokens_are_what_the_client_is_told_however_the_answer_was_cut(cuts: set[int]) -> None:
    borders = [0, *sorted(cuts), len(PIECES)]
    entry = finished(*(PIECES[start:end] for start, end in itertools.pairwise(borders)))
    collector = Collector()
    collector.feed(PIECES)
    tokens = count(QUESTION, Usage(), reply_tally(collector.reply()))
    assert (entry.input_tokens, entry.output_tokens) == (tokens.input, tokens.output)
    assert (entry.tokens_source, entry.finish) == ("estimated", "tool_calls")


def test_several_answers_add_up() -> None:
    two = msgspec.structs.replace(QUESTION, choices=2)
    exact = Usage(input_tokens=5, output_tokens=2, credits=0.25)
    entry = finished(
        [Choice(0), *ANSWER[:2]],
        [Choice(1), Begin(), Text("7"), exact, End("length")],
        [Choice(0), Text("two"), exact, End("stop")],
        question=two,
    )
    assert (entry.input_tokens, entry.output_tokens, entry.credits, entry.outcome) == (5, 4, 0.5, "ok")


def test_an_answer_that_breaks_off() -> None:
    entry = finished(ANSWER[:2], [Fail(UpstreamTruncated("cut"))])
    assert (entry.status, entry.outcome, entry.finish) == (200, "upstream_truncated", None)
    assert entry.output_tokens


def test_what_was_never_answered_has_no_tokens() -> None:
    kept: list[Entry] = []
    record = begun(kept)
    record.asks(QUESTION, stream=False)
    record.failed(ModelNotFound("none"))
    record.gone()
    record.finish(404)
    [entry] = kept
    assert (entry.outcome, entry.tokens_source, entry.queue_ms, entry.first_ms) == ("model_not_found", None, None, None)


def test_a_client_that_left() -> None:
    kept: list[Entry] = []
    record = begun(kept)
    record.gone()
    record.finish(499)
    assert kept[0].outcome == "client_gone"


def test_keys_have_the_names_they_were_given() -> None:
    kept: list[Entry] = []
    for owner in ("a-key", "another", ""):
        record = begun(kept, **{digest("a-key").hex()[:8]: "alice"})
        record.came_from(digest(owner), None)
        record.finish(200)
    assert [entry.key for entry in kept] == ["alice", digest("another").hex()[:8], None]


@pytest.mark.parametrize("text", ["x" * 1000, "\ud800" * 50, "a\nb", "é"])
def test_what_clients_write_is_cut_and_can_be_written(text: str) -> None:
    kept: list[Entry] = []
    record = begun(kept)
    record.came_from(b"", text)
    record.asks(msgspec.structs.replace(QUESTION, model=text), stream=False)
    record.planned(text, "openai")
    record.finish(200)
    for kept_text in (kept[0].agent, kept[0].model_asked, kept[0].model):
        assert kept_text is not None
        assert kept_text.encode()
        assert len(kept_text) <= 600


def test_turns_of_a_socket_have_records_of_their_own() -> None:
    kept: list[Entry] = []
    clock = Clock()
    record = begun(kept, clock)
    record.route = "/v1/responses"
    record.came_from(digest("a-key"), "codex")
    clock.seconds += 10
    turn = record.turn(3)
    clock.seconds += 1
    turn.finish(101)
    [entry] = kept
    assert (entry.id, entry.method, entry.route, entry.agent) == ("req_1.3", "WS", "/v1/responses", "codex")
    assert (entry.time, entry.total_ms, entry.key) == (1_700_000_010.123, 1000.0, digest("a-key").hex()[:8])


def test_a_watched_encoder_writes_the_same() -> None:
    stamp = Stamp(1, lambda: "id")
    kept: list[Entry] = []
    record = begun(kept)
    record.asks(QUESTION, stream=True)
    plain, watched = (ChunkEncoder(QUESTION, True, stamp) for _ in range(2))
    seen = record.watching(watched)
    assert seen.ping == plain.ping
    for event in ANSWER:
        assert seen.feed([event]) == plain.feed([event])
        assert seen.ended == plain.ended
    record.finish(200)
    assert kept[0].output_tokens
