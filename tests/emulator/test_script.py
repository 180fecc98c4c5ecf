"""The language of scripts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from cw_proxy.emulator.script import (
    ChunkSize,
    Hang,
    Lose,
    Pause,
    Plan,
    ScriptError,
    Write,
    compile_script,
)
from cw_proxy.wire.eventstream import Frame, FrameDecoder, FrameError, TruncatedStream


def decoded(plan: Plan) -> tuple[list[Frame], FrameError | None]:
    decoder = FrameDecoder()
    frames = decoder.feed(b"".join(action.data for action in plan.actions if isinstance(action, Write)))
    return frames, decoder.finish()


def payloads(*steps: Any) -> list[Any]:
    frames, fault = decoded(compile_script(list(steps)))
    assert fault is None
    return [json.loads(frame.payload) for frame in frames]


def test_text_event_tool() -> None:
    assert payloads({"text": "abcdefgh"}, {"text": "abc", "piece": 2}) == [
        {"content": "abcdefg"},
        {"content": "h"},
        {"content": "ab"},
        {"content": "c"},
    ]
    assert payloads({"event": "codeEvent", "payload": {"content": "x"}}) == [{"content": "x"}]
    use = {"toolUseId": "t", "name": "n"}
    assert payloads({"tool": use, "fragments": ["{}"], "stop": False}) == [use, {**use, "input": "{}"}]


def test_bodies_and_raw_bytes_are_taken_as_they_are() -> None:
    [frame], _ = decoded(compile_script([{"event": "e", "body": "{not json", "content_type": None}]))
    assert frame.payload == b"{not json"
    assert ":content-type" not in frame.headers
    assert compile_script([{"raw": base64.b64encode(b"abc").decode()}]).actions == [Write(b"abc")]


def test_timing() -> None:
    plan = compile_script([{"chunk": 1}, {"delay": 0.5}, {"hang": True}, {"text": "never"}])
    assert plan.actions == [ChunkSize(1), Pause(0.5), Hang()]
    assert not plan.complete


@pytest.mark.parametrize(("step", "action"), [({"drop": True}, Lose()), ({"reset": True}, Lose(reset=True))])
def test_lost_connections(step: dict[str, Any], action: Lose) -> None:
    assert compile_script([step, {"text": "never"}]).actions == [action]


def test_damage_to_the_next_frame() -> None:
    frames, fault = decoded(compile_script([{"text": "ab", "piece": 1}, {"flip_crc": True}, {"text": "c"}]))
    assert len(frames) == 2
    assert "checksum" in str(fault)
    plan = compile_script([{"text": "a"}, {"cut": 20}, {"text": "bcdefghijk"}, {"text": "never"}])
    assert isinstance(decoded(plan)[1], TruncatedStream)
    assert (len(plan.actions[-1].data), plan.complete) == (20, False)
    assert compile_script([{"cut": 1, "abort": True}, {"text": "x"}]).actions[1:] == [Lose()]


def test_exceptions_and_errors_end_the_stream() -> None:
    for step in ({"exception": "error", "payload": {"message": "m"}}, {"error": ["Code", "words"]}):
        plan = compile_script([step, {"text": "never"}])
        assert (len(plan.actions), plan.complete) == (1, False)


def test_an_http_error() -> None:
    refusal = compile_script([{"status": 402, "error": "E", "reason": "R", "message": "m"}]).refusal
    assert refusal is not None
    assert (refusal.http_status, refusal.name, refusal.reason, refusal.message) == (402, "E", "R", "m")


def test_repeats_headers_tail() -> None:
    plan = compile_script([{"headers": {"x-a": 1}}, {"repeat": 3, "steps": [{"text": "ab", "piece": 1}]}])
    assert (len(plan.actions), plan.headers, plan.complete) == (6, {"x-a": "1"}, True)
    assert not compile_script([{"tail": False}, {"text": "x"}]).complete


@pytest.mark.parametrize(
    "steps",
    [
        {},
        "x",
        [{"texd": "x"}],
        [1],
        [{"raw": "***"}],
        [{"delay": "x"}],
        [{"tool": {"name": "n"}}],
        [{"error": ["only one"]}],
        [{"repeat": 1}],
        [{"repeat": 10**9, "steps": []}],
        [{"repeat": 10**5, "steps": [{"repeat": 10**5, "steps": [{"text": "x"}]}]}],
        [{"headers": 3}],
    ],
)
def test_mistakes_are_named(steps: object) -> None:
    with pytest.raises(ScriptError):
        compile_script(steps)
