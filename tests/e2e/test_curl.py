"""curl, with the commands that people copy; the raw bytes of a stream show what SDKs hide."""

from __future__ import annotations

import json
import shutil
import subprocess

from servers import Service, clean_environment, frames, said

HELLO = """{
    "model": "codewhisperer",
    "messages": [
      {"role": "user", "content": "Count from 1 to 3"}
    ],
    "stream": %s
  }"""


def curl(*arguments: str) -> bytes:
    assert shutil.which("curl"), "these tests need curl on the PATH"
    done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, timeout=60, env=clean_environment({}))
    assert done.returncode == 0, done.stderr
    return done.stdout


def completions(service: Service, body: str) -> bytes:
    url = f"{service.proxy}/v1/chat/completions"
    return curl("-N", url, "-H", "Content-Type: application/json", "-d", body)


def test_a_streaming_request(service: Service) -> None:
    assert said(completions(service, HELLO % "true")) == "1 2 3"


def test_a_request_that_does_not_stream(service: Service) -> None:
    answer = json.loads(completions(service, HELLO % "false"))
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "1 2 3"


def test_health(service: Service) -> None:
    assert curl(f"{service.proxy}/health") == b'{"status":"ok"}'


def test_silence_is_filled_with_comments(pinging: Service) -> None:
    raw = completions(pinging, (HELLO % "true").replace("Count from 1 to 3", "Play the script slow"))
    assert b": ping\n\n" in raw
    assert said(raw) == "First. Second."


def test_an_answer_that_breaks_never_ends_as_a_good_one(service: Service, breaking: str) -> None:
    raw = completions(service, (HELLO % "true").replace("Count from 1 to 3", f"Play the script {breaking}"))
    assert b"[DONE]" not in raw
    # A service that breaks before anything could be passed on gets a status, and the error is the whole body.
    chunks = list(map(json.loads, [raw] if raw.startswith(b"{") else frames(raw)))
    assert set(chunks[-1]["error"]) == {"message", "type", "param", "code"}
    assert all(choice["finish_reason"] is None for chunk in chunks for choice in chunk.get("choices", []))
