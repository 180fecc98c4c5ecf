"""A worker asked by the official NATS client for JavaScript and its services package, unmodified.

Each test runs twice: on a server that knows nobody, and on one that demands an nkey and a certificate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from nats_peers import Certificates, Nkey, chat, nats_server, worker
from node_packages import node_modules, run_node
from servers import control

pytestmark = pytest.mark.node
SCRIPT = Path(__file__).parent / "nats.mjs"
TO_TEN = "Count from 1 to 10"
TEN = "1 2 3 4 5 6 7 8 9 10"


class Door(NamedTuple):
    """How a server is configured, a worker told, a client connected."""

    server: str
    worker: tuple[str, ...]
    client: dict[str, Any]


def open_door(folder: Path) -> Door:
    return Door("", (), {})


def guarded_door(folder: Path) -> Door:
    ours, theirs, tls = Nkey(folder, "worker"), Nkey(folder, "client"), Certificates(folder)
    users = f"authorization {{ users: [{{ nkey: {ours.public} }}, {{ nkey: {theirs.public} }}] }}"
    files = {"tls_cert": tls.cert, "tls_key": tls.key, "tls_ca": tls.ca, "nkey_seed_file": ours.file}
    told = tuple(part for name, file in files.items() for part in (f"--{name}", str(file)))
    shown = {"certFile": str(tls.cert), "keyFile": str(tls.key), "caFile": str(tls.ca)}
    return Door(f"{users}\n{tls.demanded}", told, {"seedFile": str(theirs.file), "tls": shown})


@pytest.fixture(params=[open_door, guarded_door], ids=["open", "guarded"])
def place(request: pytest.FixtureRequest, tmp_path: Path, emulator_process: str) -> Iterator[dict[str, Any]]:
    """How a client reaches the one worker behind this door."""
    door: Door = request.param(tmp_path)
    with (
        nats_server(tmp_path, door.server) as server,
        worker(emulator_process, "--nats_server", server.url, *door.worker),
    ):
        yield {"servers": server.url, **door.client}


def play(place: dict[str, Any], *calls: tuple[str, Any]) -> list[Any]:
    done = run_node(SCRIPT, str(node_modules()), json.dumps(place), json.dumps(calls))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def body(text: str, **more: Any) -> str:
    return chat(text, **more).decode()


def test_text_and_json(place: dict[str, Any]) -> None:
    text, completion = play(place, ("request", TO_TEN), ("request", body(TO_TEN)))
    assert text == {"data": TEN, "status": "200", "sequence": "", "error": None}
    assert completion["status"] == "200"
    answer = json.loads(completion["data"])
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == TEN


def test_a_stream_ends_with_its_sentinel(place: dict[str, Any]) -> None:
    [messages] = play(place, ("stream", body(TO_TEN, stream=True)))
    assert [message["sequence"] for message in messages] == [str(number + 1) for number in range(len(messages))]
    *chunks, end = messages
    assert (end["data"], end["status"], end["error"]) == ("", "200", None)
    deltas = [json.loads(chunk["data"])["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == TEN


def test_errors_are_those_of_a_service(place: dict[str, Any]) -> None:
    text, missing, streamed, broken = play(
        place,
        ("request", "Play the script throttled"),
        ("request", body("Hello", model="none-such")),
        ("stream", body("Hello", model="none-such", stream=True)),
        ("stream", body("Play the script exception", stream=True)),
    )
    assert text["error"]["code"] == 429
    assert text["data"] == text["error"]["message"]
    assert missing["error"]["code"] == 404
    assert json.loads(missing["data"])["error"]["code"] == "model_not_found"
    assert [message["error"]["code"] for message in streamed] == [404, 404]
    *chunks, end = broken
    assert (end["data"], chunks[0]["error"]) == ("", None)
    assert end["error"]["code"] >= 500


def test_discovery(place: dict[str, Any]) -> None:
    asked = [("request", TO_TEN), ("stream", body(TO_TEN, stream=True)), ("request", "Play the script throttled")]
    *_, ping, info, stats = play(place, *asked, ("ping", None), ("info", None), ("stats", None))
    assert ping["name"] == info["name"] == "cw-proxy"
    assert ping["id"] == info["id"]
    [endpoint] = info["endpoints"]
    assert (endpoint["subject"], endpoint["queue_group"]) == ("openai_requests", "cw-proxy")
    assert (stats["num_requests"], stats["num_errors"]) == (3, 1)
    assert stats["last_error"] == "429:rate_limit_exceeded"
    assert stats["average_processing_time"] == stats["processing_time"] // 3 > 0
    assert stats["data"] == {"active": 0, "cancelled": 0}


def test_a_client_that_leaves_is_counted(place: dict[str, Any], emulator_process: str) -> None:
    # Longer than anybody waits: it can only end because it is broken off.
    endless = [{"text": "First."}, {"repeat": 60_000, "steps": [{"delay": 0.01}, {"text": "x"}]}]
    control(emulator_process, "scripts/endless", endless)
    calls = (("leave", body("Play the script endless", stream=True)), ("stats", {"active": 0, "cancelled": 1}))
    left, stats = play(place, *calls)
    assert left["sequence"] == "1"
    assert (stats["num_requests"], stats["data"]) == (1, {"active": 0, "cancelled": 1})
