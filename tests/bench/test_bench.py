"""The benchmark runs and loses no text. Nothing here asserts a speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import answer, throughput, whole
from bench.load import fault_of
from bench.measure import MEASURES, TARGETS
from bench.throughput import FLEETS

ROOT = Path(__file__).parent.parent.parent


def test_a_tiny_run(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "bench", "--tiny", "--json", str(file)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    assert run.returncode == 0, run.stderr
    assert "Every answer was whole." in run.stdout
    assert "naive / cw-proxy, burst" in run.stdout
    figures = json.loads(file.read_text())["figures"]
    expected = {name: set(MEASURES) for name in TARGETS} | {name: set(throughput.MEASURES) for name in FLEETS}
    assert {name: set(taken) for name, taken in figures.items()} == expected
    assert "nats x 2 / nats, with model time" in run.stdout


def _reply(events: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\n\r\n" + answer.whole(events, "sse")


def test_a_whole_answer_has_no_fault() -> None:
    assert fault_of(_reply(30), 30) is None


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(_reply(29), id="too-short"),
        pytest.param(_reply(30).replace(b" fox", b" cat", 1), id="another-text"),
        pytest.param(_reply(30).replace(b"data: [DONE]", b"data:  DONE "), id="no-end"),
        pytest.param(b"HTTP/1.1 503 Service Unavailable\r\n\r\n{}", id="an-error"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_an_answer_that_is_not_whole_is_found(reply: bytes) -> None:
    assert fault_of(reply, 30) is not None


GOOD, STATUS = b"HTTP/1.1 200 OK\r\nContent-Length: 9", b"NATS/1.0\r\nCw-Status: 200\r\n\r\n"


def _completion(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}]}).encode()


@pytest.mark.parametrize("head", [GOOD, STATUS])
def test_a_whole_answer_over_either_has_no_fault(head: bytes) -> None:
    assert whole.fault_of(head, _completion("".join(answer.texts(30))), 30) is None


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param(GOOD, _completion("".join(answer.texts(29))), id="too-short"),
        pytest.param(STATUS, b"1 2 3", id="no-completion"),
        pytest.param(STATUS, b"{}", id="nothing-in-it"),
        pytest.param(b"NATS/1.0\r\nCw-Status: 503\r\n\r\n", _completion("".join(answer.texts(30))), id="an-error"),
        pytest.param(b"NATS/1.0 503\r\n\r\n", b"", id="nobody-listens"),
        pytest.param(b"HTTP/1.1 503 Service Unavailable", b"{}", id="an-error-over-http"),
    ],
)
def test_a_whole_answer_that_is_none_is_found(head: bytes, body: bytes) -> None:
    assert whole.fault_of(head, body, 30) is not None
