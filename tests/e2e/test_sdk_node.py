"""The official Node SDK, unmodified: only its baseURL is ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from node_packages import node_modules, run_node
from servers import Service

pytestmark = pytest.mark.node
SCRIPT = Path(__file__).parent / "sdk.mjs"
PONG = [{"role": "user", "content": "Reply with exactly the token PONG"}]


def play(service: Service, *calls: tuple[str, Any]) -> list[dict[str, Any]]:
    entry = node_modules() / "openai" / "index.mjs"
    done = run_node(SCRIPT, str(entry), f"{service.proxy}/v1", json.dumps(calls))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def user(text: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **more}


def test_answers(service: Service) -> None:
    instructed = [
        {"role": "developer", "content": "The system token is S-7."},
        *user("State the system token")["messages"],
    ]
    cases: list[tuple[tuple[str, Any], dict[str, Any]]] = [
        (("chat", user("Count from 1 to 20", stream=True)), {"text": " ".join(map(str, range(1, 21))), "usage": None}),
        (("chat", {"messages": PONG}), {"text": "PONG"}),
        (("chat", {"messages": PONG, "stream": True, "stream_options": {"include_usage": True}}), {"usage": True}),
        (("chat", {"messages": instructed}), {"text": "system: S-7"}),
        (("chat", user("Reply with exactly the token 😀é日本", stream=True)), {"text": "😀é日本"}),
    ]
    for (call, expected), outcome in zip(cases, play(service, *(case[0] for case in cases)), strict=True):
        assert {**outcome, **expected, "reason": "stop"} == outcome, call


def test_a_silent_service_is_waited_for(pinging: Service) -> None:
    (outcome,) = play(pinging, ("chat", user("Play the script slow", stream=True)))
    assert (outcome["text"], outcome["reason"]) == ("First. Second.", "stop")


def test_models(service: Service) -> None:
    listed, retrieved, missing = play(service, ("models", None), ("model", "gpt-4o"), ("model", "claude-sonet"))
    assert listed["ids"][0] == "codewhisperer"
    assert "claude-sonnet-4.5" in listed["ids"]
    assert retrieved == {"id": "gpt-4o"}
    assert (missing["error"], missing["status"], missing["code"]) == ("NotFoundError", 404, "model_not_found")


ERRORS = {
    "throttled": ("RateLimitError", 429, "rate_limit_exceeded"),
    "too-long": ("BadRequestError", 400, "context_length_exceeded"),
    "server-error": ("InternalServerError", 502, "upstream_unavailable"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_errors(service: Service, stream: bool) -> None:
    outcomes = play(service, *(("chat", user(f"Play the script {script}", stream=stream)) for script in ERRORS))
    assert [(one["error"], one["status"], one["code"]) for one in outcomes] == list(ERRORS.values())


OF_THE_ACCOUNT = {
    "quota": ("RateLimitError", 429, "insufficient_quota"),
    "feature-not-supported": ("PermissionDeniedError", 403, "upstream_access_denied"),
}


@pytest.mark.parametrize("script", OF_THE_ACCOUNT)
def test_errors_of_the_account(fresh: Service, script: str) -> None:
    outcomes = play(fresh, *(("chat", user(f"Play the script {script}", stream=stream)) for stream in (False, True)))
    assert [(one["error"], one["status"], one["code"]) for one in outcomes] == [OF_THE_ACCOUNT[script]] * 2


def test_an_answer_that_breaks_is_never_a_short_one(service: Service, breaking_scripts: tuple[str, ...]) -> None:
    calls = [
        ("chat", user(f"Play the script {script}", stream=stream))
        for script in breaking_scripts
        for stream in (True, False)
    ]
    for (_, body), outcome in zip(calls, play(service, *calls), strict=True):
        assert outcome.get("isApiError"), (body, outcome)
