"""The real client of the streaming service, in both wire forms, yields exactly what the emulator was told to play."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from node_packages import FOLDER, run_node

from cw_proxy.emulator import Emulator
from cw_proxy.emulator.library import SCRIPTS

pytestmark = pytest.mark.node

FORMS = ("rest", "aws-json")
# These wait for the client to leave, or break the client itself (test_initial_response).
NOT_PLAYED = ("hang", "hang-at-once", "initial-response", "long")
UNKNOWN_TO_THE_CLIENT = {"eventOfTomorrow", "fieldOfTomorrow", "stopReason"}
BOOM = {"name": "InternalServerException", "message": "boom", "reason": "MODEL_TEMPORARILY_UNAVAILABLE"}
ABORTED = {"name": "Error", "message": "aborted"}
# How the client ends, where it does not end well. A message of None: the words are the client's own.
ENDS: dict[str, dict[str, Any]] = {
    "exception": BOOM,
    "exception-first": BOOM,
    "exception-unmodeled": {
        "name": "throttlingException",
        "message": '{"message":"slow","reason":"INSUFFICIENT_MODEL_CAPACITY"}',
    },
    "error-frame": {"name": "InternalFailure", "message": "oops"},
    "drop": ABORTED,
    "reset": ABORTED,
    "abort-in-frame": ABORTED,
    "cut-in-frame": {"name": "Error"},
    "crc-flip": {"name": "Error"},
    "bad-payload": {"name": "SyntaxError"},
}


async def play(emulator: Emulator, form: str, texts: list[str]) -> list[list[dict[str, Any]]]:
    """What the client printed, call by call."""
    done = await asyncio.to_thread(run_node, FOLDER / "streaming.mjs", emulator.url, form, *texts)
    assert done.returncode == 0, done.stderr
    calls: list[list[dict[str, Any]]] = [[]]
    for line in map(json.loads, done.stdout.splitlines()):
        calls[-1].append(line)
        if line["kind"] in ("end", "error"):
            calls.append([])
    assert calls.pop() == []
    return calls


def events_of(call: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line["event"] for line in call if line["kind"] == "event"]


def scripted(name: str) -> list[dict[str, Any]]:
    """The events of a script up to its fault, read from the script itself, not from the emulator's compiler."""
    events: list[dict[str, Any]] = []
    tail = True
    for step in SCRIPTS[name]:
        if {"flip_crc", "cut", "body", "exception", "error", "drop", "reset"} & step.keys():
            return events
        tail &= step.get("tail", True)
        events += events_of_step(step)
    return events + (["tail"] if tail else [])


def events_of_step(step: dict[str, Any]) -> list[dict[str, Any]]:
    if "text" in step:
        text = step["text"]
        return [{"assistantResponseEvent": {"content": text[i : i + 7]}} for i in range(0, len(text), 7)]
    if "tool" in step:
        inputs = [{"input": fragment} for fragment in step["fragments"]]
        frames = [{}, *inputs, *([{"stop": True}] if step.get("stop", True) else [])]
        return [{"toolUseEvent": {**step["tool"], **frame}} for frame in frames]
    if "event" not in step or step["event"] in UNKNOWN_TO_THE_CLIENT:
        return []
    payload = {key: value for key, value in step["payload"].items() if key not in UNKNOWN_TO_THE_CLIENT}
    if "redactedContent" in payload:
        payload = {"redactedContent": {"$bytes": payload["redactedContent"]}}
    return [{step["event"]: payload}]


@pytest.mark.parametrize("form", FORMS)
async def test_every_script(emulator: Emulator, form: str) -> None:
    names = [name for name in SCRIPTS if name not in NOT_PLAYED]
    calls = await play(emulator, form, [f"play the script {name}" for name in names])
    assert len(calls) == len(names)
    for name, call in zip(names, calls, strict=True):
        check_call(name, call, form)


def check_call(name: str, call: list[dict[str, Any]], form: str) -> None:
    first, last = call[0], call[-1]
    if "status" in SCRIPTS[name][0] if SCRIPTS[name] else False:
        return check_refusal(SCRIPTS[name][0], last)
    if name != "exception-first":  # the client reads the first frame before it gives the answer out
        assert (first["status"], first["requestId"]) == (200, True), name
        assert first.get("conversationId") == ("conversation-of-the-test" if form == "rest" else None), name
    check_events(name, events_of(call))
    wanted = ENDS.get(name)
    assert last["kind"] == ("error" if wanted else "end"), (name, last)
    assert last.items() >= (wanted or {}).items(), name
    return None


def check_events(name: str, seen: list[dict[str, Any]]) -> None:
    wanted: list[Any] = scripted(name)
    if "tail" in wanted:
        wanted.remove("tail")
        assert [next(iter(event)) for event in seen[-2:]] == ["contextUsageEvent", "meteringEvent"], name
        seen = seen[:-2]
    assert seen == wanted, name


def check_refusal(step: dict[str, Any], last: dict[str, Any]) -> None:
    assert last["name"] == step["error"]
    assert last["message"] == step["message"]
    assert last.get("reason") == step.get("reason")
    assert last["status"] == step["status"]


@pytest.mark.parametrize("form", FORMS)
async def test_the_rules_of_the_default_model(emulator: Emulator, form: str) -> None:
    emulator.settings.update({"token_usage": True, "stop_reason": True})
    texts = ["count from 1 to 20", "fault 500 times 1 id a", "fault 429 times 1 id b", "fault 403 times 1 id c"]
    counted, *faults = await play(emulator, form, texts)
    text = "".join(event["assistantResponseEvent"]["content"] for event in events_of(counted)[1:-3])
    assert text == " ".join(map(str, range(1, 21)))
    assert events_of(counted)[-1]["metadataEvent"]["tokenUsage"]["outputTokens"] > 0
    assert [(call[-1]["name"], call[-1]["status"]) for call in faults] == [
        ("InternalServerException", 500),
        ("ThrottlingException", 429),
        ("AccessDeniedException", 403),
    ]


@pytest.mark.parametrize("form", FORMS)
async def test_a_refused_request(emulator: Emulator, form: str) -> None:
    [call] = await play(emulator, form, [" "])
    assert call[-1].items() >= {"name": "ValidationException", "message": "Improperly formed request."}.items()
    assert emulator.stats.last_rejection is not None
    assert "blank" in emulator.stats.last_rejection


async def test_initial_response(emulator: Emulator) -> None:
    """On awsJson1.0 it brings the conversation id; on restJson1 the client cannot bear it (upstream.md §0.2)."""
    emulator.settings.initial_response = True
    [call] = await play(emulator, "aws-json", ["count from 1 to 3"])
    assert call[0]["conversationId"] == "conversation-of-the-test"
    [plain] = await play(emulator, "rest", ["count from 1 to 3"])
    assert plain[-1]["kind"] == "end"
    [broken] = await play(emulator, "rest", ["play the script initial-response"])
    assert broken[-1]["name"] == "TypeError"
