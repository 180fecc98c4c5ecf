"""Scripts go in; chunks come out that the official client folds to the same answer, or to the same failure."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai_sdk import Call, Judge, folded

from cw_proxy.emulator import frames
from cw_proxy.emulator.library import SCRIPTS
from cw_proxy.emulator.openai.chunks import Translation, whole_answer
from cw_proxy.emulator.openai.refusal import Rejected
from cw_proxy.emulator.script import Action, ChunkSize, Hang, Lose, Plan, Write, compile_script

ENVELOPE = {"id": "chatcmpl-1", "created": 1, "model": "gpt-5"}
JUDGE = Judge()


def scripted(name: str) -> Plan:
    plan = compile_script(SCRIPTS[name])
    if plan.complete:
        plan.actions += [Write(frames.encode(event)) for event in frames.tail_events(1.0, 0.1)]
    return plan


def translated(name: str, include_usage: bool = False) -> list[Action]:
    return Translation(ENVELOPE, include_usage).streamed(scripted(name)).actions


def written(actions: list[Action]) -> list[bytes]:
    return [action.data for action in actions if isinstance(action, Write)]


def lost(action: Action) -> bool:
    return isinstance(action, Lose | Hang)


WEATHER, TIME = '{"city": "Paris"}', '{"zone": "CET"}'
GOOD: dict[str, tuple[str, list[tuple[str, str]], str]] = {
    "text": ("Hello from a script, é and 😀 included.", [], "stop"),
    "tool": ("Let me check. ", [("get_weather", WEATHER)], "tool_calls"),
    "tool-empty-input": ("", [("get_time", "{}")], "tool_calls"),
    "tools-identical": ("", [("get_weather", WEATHER)] * 2, "tool_calls"),
    "tools-interleaved": ("", [("get_weather", WEATHER), ("get_time", TIME)], "tool_calls"),
    "reasoning": ("Done.", [], "stop"),
    "stop-reason-length": ("Cut off by the li", [], "length"),
    "unknown-event": ("ab", [], "stop"),
    "repeated-deltas": ("hahaha", [], "stop"),
    "tail-only": ("", [], "stop"),
    "initial-response": ("After the initial response.", [], "stop"),
}


@pytest.mark.parametrize("name", GOOD)
def test_streamed_and_whole_are_the_same_answer(name: str) -> None:
    text, calls, reason = GOOD[name]
    data = written(translated(name))
    assert data[-1] == b"data: [DONE]\n\n"
    streamed = JUDGE.fold(data)
    assert (streamed.text, streamed.finish_reason) == (text, reason)
    assert [(call.name, call.arguments) for call in streamed.calls] == calls
    (body,) = written(whole_answer(scripted(name), ENVELOPE, lost).actions)
    whole = folded(JUDGE.full(body))
    assert (whole.text, whole.finish_reason) == (text, reason)
    assert whole.calls == [Call(call.id, call.name, call.arguments) for call in streamed.calls]


def test_interleaved_calls_stay_interleaved() -> None:
    indices = [
        call["index"]
        for chunk in written(translated("tools-interleaved"))[:-1]
        for choice in json.loads(chunk.removeprefix(b"data: "))["choices"]
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert indices == [0, 1, 0, 1, 0, 1]


def test_usage_comes_if_asked_for_and_alone() -> None:
    *_, last, _ = written(translated("text", include_usage=True))
    chunk: dict[str, Any] = json.loads(last.removeprefix(b"data: "))
    assert chunk["choices"] == []
    assert chunk["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert not any(b"usage" in data for data in written(translated("text")))


@pytest.mark.parametrize("name", ["exception", "exception-first", "exception-unmodeled", "error-frame"])
def test_an_exception_is_an_error_chunk_and_no_end(name: str) -> None:
    data = written(translated(name))
    assert b"[DONE]" not in b"".join(data)
    with pytest.raises(openai.APIError):
        list(JUDGE.chunks(data))
    with pytest.raises(Rejected):
        whole_answer(scripted(name), ENVELOPE, lost)


@pytest.mark.parametrize(
    "name", ["cut-in-frame", "crc-flip", "bad-payload", "no-tail", "tool-without-stop", "empty", "drop"]
)
def test_what_is_cut_or_damaged_has_no_end(name: str) -> None:
    data = b"".join(written(translated(name)))
    assert b"[DONE]" not in data
    assert b'"finish_reason":"' not in data
    (cut, *_) = written(whole_answer(scripted(name), ENVELOPE, lost).actions)
    with pytest.raises(ValueError):
        json.loads(cut)


@pytest.mark.parametrize(("name", "kind"), [("one-byte-chunks", ChunkSize), ("drop", Lose), ("hang", Hang)])
def test_what_happens_to_the_bytes_stays(name: str, kind: type[Action]) -> None:
    assert any(isinstance(action, kind) for action in translated(name))
