"""The handler in AWS's own runtime's place: a process that knows nothing of cw_proxy but its name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from lambda_front import event_of
from servers import NOBODY, PATIENCE, clean_environment, urls

CALLER = """
import json, sys
from types import SimpleNamespace
from cw_proxy.lambda_handler import handler
context = SimpleNamespace(aws_request_id="1", get_remaining_time_in_millis=lambda: 30000)
for line in sys.stdin:
    try:
        print(json.dumps(handler(json.loads(line), context)))
    except Exception as fault:
        print(json.dumps(type(fault).__name__ + ": " + str(fault)))
"""


def answers(folder: Path, *events: Any, **more: str) -> list[Any]:
    file = folder / "config.toml"
    file.write_text('api_keys = ["a-key"]\naccess_token = "a-token-of-the-tests"\n')
    environment = clean_environment({**urls(NOBODY), "CW_PROXY_CONFIG": str(file), **more})
    lines = "".join(json.dumps(event) + "\n" for event in events)
    done = subprocess.run(
        [sys.executable, "-c", CALLER],
        input=lines,
        capture_output=True,
        text=True,
        env=environment,
        timeout=PATIENCE,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def connect(key: str) -> dict[str, Any]:
    return {"requestContext": {"eventType": "CONNECT", "connectionId": "id"}, "headers": {"x-api-key": key}}


def test_it_answers_http_and_sockets_and_fails_on_all_else(tmp_path: Path) -> None:
    health = event_of("http_api", "GET", "/health", "", {"host": ["d.example"]}, b"")
    health["requestContext"]["domainName"] = "d.example"
    told = answers(tmp_path, health, connect("a-key"), connect("another"), {"a": 1}, CW_PROXY_PROMPT_SOCKET="1")
    assert (told[0]["statusCode"], told[0]["body"]) == (200, '{"status":"ok"}')
    assert [one["statusCode"] for one in told[1:3]] == [200, 401]
    assert "Runtime.NotHttp" in told[3]


def test_what_is_set_up_wrongly_is_said_at_the_first_event(tmp_path: Path) -> None:
    [told] = answers(tmp_path, connect("a-key"), CW_PROXY_BACKEND="openai")
    assert told.startswith("ConfigError: ")
