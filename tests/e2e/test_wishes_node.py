"""The official Node SDK, unmodified: what a request may wish of its answer, one process for all of it."""

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
SCRIPT = Path(__file__).parent / "wishes.mjs"
PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==")
OSLO = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
PARIS = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
COUNTED = "1 2 3 4 5 6 7 8 9"
EXPECTED: dict[str, Any] = {
    "roundTrip": {"called": OSLO, "said": "done: sunny"},
    "roundTripStreamed": {"called": OSLO, "said": "done: sunny"},
    "fortyTurns": {"turns": 40, "said": "remembered: " + ",".join(f"T-{name}" for name in "ABCDEFGHIJ")},
    "equalCalls": {"same": [PARIS, PARIS], "ids": 2, "finish_reason": "tool_calls"},
    "threeAnswers": [[index, COUNTED, "stop"] for index in range(3)],
    "parsed": {"age": 36},
    "image": f"images=1 png/{len(PNG)}/{hashlib.sha256(PNG).hexdigest()[:12]}",
    "stopped": " ".join(map(str, range(1, 17))),
    "usage": {"choices": [], "counted": True},
    "developer": "system: S-7",
    "named": ["get_time"],
    "length": "length",
    "logprobs": {"error": True, "code": "unsupported_parameter", "param": "logprobs"},
    "truncated": {"error": True, "code": "upstream_truncated", "param": None},
}


@pytest.fixture(scope="module")
def outcomes(service: Service) -> dict[str, Any]:
    entry = node_modules() / "openai" / "index.mjs"
    done = run_node(SCRIPT, str(entry), f"{service.proxy}/v1")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_wish_is_carried_out(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name] == EXPECTED[name]


def test_every_scenario_is_looked_at(outcomes: dict[str, Any]) -> None:
    assert list(outcomes) == list(EXPECTED)
