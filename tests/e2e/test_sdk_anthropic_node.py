"""Anthropic's official Node SDK, unmodified: only its baseURL is ours. One process for all of it."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from node_packages import node_modules, run_node
from servers import Service

pytestmark = pytest.mark.node
SCRIPT = Path(__file__).parent / "anthropic.mjs"
PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
ROUND_TRIP = {"stop": "tool_use", "called": ["get_weather", {"city": "Oslo"}], "said": "done: sunny"}
EXPECTED: dict[str, Any] = {
    "answer": {"said": "PONG", "stop": "end_turn", "counted": True},
    "stream": {"said": " ".join(map(str, range(1, 21))), "pieces": True, "stop": "end_turn"},
    "roundTrip": ROUND_TRIP,
    "roundTripStreamed": ROUND_TRIP,
    "image": f"images=1 png/{len(PNG)}/{hashlib.sha256(PNG).hexdigest()[:12]}",
    "thinking": {"types": ["thinking", "text"], "thought": True, "signed": True},
    "stopped": ["1 2 3 4 5 6", "stop_sequence", " 7"],
    "counted": True,
    "throttled": {"error": "RateLimitError", "status": 429, "type": "rate_limit_error"},
    "tooLong": {"error": "BadRequestError", "status": 400, "type": "invalid_request_error"},
    "broken": {"error": "APIError", "status": None, "type": "api_error"},
}


@pytest.fixture(scope="module")
def outcomes(service: Service) -> dict[str, Any]:
    entry = node_modules() / "@anthropic-ai" / "sdk" / "index.mjs"
    done = run_node(SCRIPT, str(entry), service.proxy)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", EXPECTED)
def test_what_comes_of_it(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name] == EXPECTED[name]


def test_every_scenario_is_looked_at(outcomes: dict[str, Any]) -> None:
    assert list(outcomes) == list(EXPECTED)
