"""`cw-proxy ask` as a process, before a worker on a real NATS server: text, JSON, streams, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats_peers import chat, nats_server, worker
from servers import program, run


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with (
        nats_server(tmp_path_factory.mktemp("nats")) as server,
        program("emulator", "--port", "0") as emulator,
        worker(emulator.first_line(), "--nats_server", server.url),
    ):
        yield server.url


def test_text(url: str) -> None:
    done = run("ask", "--nats", url, "Count from 1 to 3")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 2 3\n", "")
    assert run("ask", "--nats-server", url, text="Count from 1 to 3").stdout == "1 2 3\n"
    assert run("ask", "--nats", url, "--inbox-prefix", "_INBOX.ann", "Count from 1 to 3").stdout == "1 2 3\n"


@pytest.mark.parametrize("prefix", ["a.>", "a b", "a..b", "*"])
def test_a_prefix_that_is_none(url: str, prefix: str) -> None:
    done = run("ask", "--nats", url, "--inbox-prefix", prefix, "Hello")
    assert done.returncode == 2
    assert "prefix" in done.stderr


def test_a_streamed_text(url: str) -> None:
    done = run("ask", "--nats", url, "--stream", "--api-key", "ann", "Count from 1 to 30")
    assert (done.returncode, done.stdout) == (0, " ".join(map(str, range(1, 31))) + "\n")


def test_a_body_from_a_file(url: str, tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_bytes(chat("Count from 1 to 3"))
    whole = run("ask", "--nats", url, "--json", str(file))
    assert json.loads(whole.stdout)["choices"][0]["message"]["content"] == "1 2 3"
    lines = run("ask", "--nats", url, "--json", str(file), "--stream").stdout.splitlines()
    assert {json.loads(line)["object"] for line in lines} == {"chat.completion.chunk"}


def test_an_error_is_one_line(url: str) -> None:
    done = run("ask", "--nats", url, "--json", "-", text=chat("Hello", model="none-such").decode())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("cw-proxy: 404: The model 'none-such' does not exist")


def test_nobody_listens(url: str) -> None:
    done = run("ask", "--nats", url, "--subject", "elsewhere", "Hello")
    assert (done.returncode, done.stderr) == (6, "cw-proxy: Nobody listens on 'elsewhere'.\n")


@pytest.mark.parametrize("arguments", [["--json", "-"], []])
def test_nothing_to_ask(arguments: list[str]) -> None:
    assert run("ask", *arguments, text=" ").returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "-", "Hello"],
        ["--json", "-"],
        ["--nats", "nats://a", "--nats-server", "nats://b", "Hello"],
        ["--timeout", "nan", "Hello"],
        ["--api-key", "a b", "Hello"],
    ],
)
def test_what_cannot_be_meant(arguments: list[str]) -> None:
    done = run("ask", *arguments, text="[" * 100_000)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
