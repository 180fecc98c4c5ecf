"""Responses by the official Node SDK, unmodified: only its baseURL is ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from node_packages import node_modules, run_node
from servers import Service

pytestmark = pytest.mark.node
SCRIPT = Path(__file__).parent / "responses.mjs"
NUMBERS = " ".join(map(str, range(1, 21)))
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"type": "function", "name": "get_weather", "description": "w", "parameters": SCHEMA, "strict": False}
PONG = {"text": "PONG", "calls": [], "status": "completed", "usage": True}


def play(service: Service, *calls: tuple[str, Any]) -> list[Any]:
    done = run_node(SCRIPT, str(node_modules()), f"{service.proxy}/v1", json.dumps(calls))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_over_http(service: Service) -> None:
    whole, stream, helper, called = play(
        service,
        ("create", {"input": "Reply with exactly the token PONG"}),
        ("create", {"input": "Count from 1 to 20", "stream": True}),
        ("helper", {"input": "Count from 1 to 20"}),
        ("create", {"input": "What is the weather in Paris?", "tools": [WEATHER], "stream": True}),
    )
    assert whole == PONG
    assert stream == {**PONG, "text": NUMBERS, "deltas": NUMBERS}
    assert helper == {**PONG, "text": NUMBERS}
    [(name, arguments)] = called["calls"]
    assert (name, json.loads(arguments)) == ("get_weather", {"city": "Paris"})


def test_over_a_websocket(service: Service) -> None:
    [turns] = play(
        service,
        (
            "socket",
            [
                {"input": "Reply with exactly the token PONG"},
                {"input": "Please remember the token T-4", "generate": False},
                {"input": "List every remembered token", "previous": 1},
                {"input": "x", "previous_response_id": "resp_missing"},
                {"input": "Play the script throttled"},
                {"input": "What is the weather in Paris?", "tools": [WEATHER]},
                {"input": "Play the script exception"},
                {"input": "Reply with exactly the token PONG", "stream_id": "lane"},
            ],
        ),
    )
    pong, _, recalled, missing, throttled, called, broken, lane = turns
    assert pong == lane == PONG
    assert recalled["text"] == "remembered: T-4"
    assert missing == {"code": "previous_response_not_found", "status": 400}
    assert throttled == {"code": "rate_limit_exceeded", "status": 429}
    assert called["calls"][0][0] == "get_weather"
    assert broken["status"] == "failed"


def test_errors(service: Service) -> None:
    outcomes = play(
        service,
        *(("create", {"input": "Play the script throttled", "stream": stream}) for stream in (False, True)),
        ("create", {"input": "x", "previous_response_id": "resp_missing"}),
    )
    limited = {"error": "RateLimitError", "status": 429, "code": "rate_limit_exceeded"}
    missing = {"error": "BadRequestError", "status": 400, "code": "previous_response_not_found"}
    assert outcomes == [limited, limited, missing]
