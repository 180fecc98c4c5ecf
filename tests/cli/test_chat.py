"""`cw-proxy chat`: the answer as it comes, harmless to the terminal it goes to."""

from __future__ import annotations

import json
import subprocess
import time
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import COMMAND, PATIENCE, TOKEN, clean_environment, control, program, run, urls

from cw_proxy.cli.chat import without_escapes


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Variables that lead to an emulator."""
    with program("emulator") as emulator:
        yield {"CW_PROXY_ACCESS_TOKEN": TOKEN, **urls(emulator.first_line())}


def play(environment: dict[str, str], name: str, *deltas: str) -> str:
    steps = [{"event": "assistantResponseEvent", "payload": {"content": delta}} for delta in deltas]
    control(environment["CW_PROXY_STREAMING_URL"], f"scripts/{name}", steps)
    return f"Play the script {name}"


QUESTIONS: list[tuple[list[str], str | None, str]] = [
    (["Count from 1 to 5"], None, "1 2 3 4 5\n"),
    ([], "Reply with exactly the token PIPED", "PIPED\n"),
    ([], "Reply with exactly the token é😀日本\n", "é😀日本\n"),
    (["--system", "The system token is S-7.", "State the system token"], None, "system: S-7\n"),
    (["--model", "claude-sonnet-4-5", "Reply with exactly the token PONG"], None, "PONG\n"),
]


@pytest.mark.parametrize(("arguments", "piped", "expected"), QUESTIONS)
def test_a_question_is_answered(
    environment: dict[str, str], arguments: list[str], piped: str | None, expected: str
) -> None:
    done = run("chat", *arguments, text=piped, environment=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_bytes_that_are_no_text_are_asked_about_as_such(environment: dict[str, str]) -> None:
    arguments = [*COMMAND, "chat", b"Reply with exactly the token A\xff"]
    done = subprocess.run(arguments, capture_output=True, env=clean_environment(environment), timeout=PATIENCE)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, "A\ufffd\n", b"")


def test_the_answer_is_shown_while_it_comes(environment: dict[str, str]) -> None:
    with program("chat", "Play the script hang", **environment) as chat:
        began = time.monotonic()
        while b"Then nothing." not in chat.out:
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.01)
        assert chat.process.poll() is None


# An answer that would clear the screen, set the title, recolour, ring, go back to overwrite; also cut in the middle.
HOSTILE = [
    "a\x1b[2Jb",
    "\x1b]0;title\x07",
    "c\x1b",
    "[31md\x9b31me",
    "\x1bP+q\x1b\\",
    "f\r\b\x7fg\x00",
    "\th\ni\x85\x90",
]


def test_terminal_escapes_are_taken_out(environment: dict[str, str]) -> None:
    done = run("chat", play(environment, "hostile", *HOSTILE), environment=environment)
    assert done.returncode == 0, done.stderr
    controls = [character for character in done.stdout if unicodedata.category(character) == "Cc"]
    assert controls == ["\t", "\n", "\n"]
    assert done.stdout.startswith("a[2Jb]0;titlec[31md31me"), "what is left is harmless text"


@given(st.lists(st.text()))
def test_taking_escapes_out_does_not_depend_on_the_cuts(deltas: list[str]) -> None:
    shown = "".join(map(without_escapes, deltas))
    assert shown == without_escapes("".join(deltas))
    assert not [character for character in shown if unicodedata.category(character) == "Cc" and character not in "\t\n"]


def test_json_keeps_the_text_as_it_was(environment: dict[str, str]) -> None:
    done = run("chat", "--json", play(environment, "hostile", *HOSTILE), environment=environment)
    assert "\x1b" not in done.stdout
    assert json.loads(done.stdout) == {"model": "codewhisperer", "text": "".join(HOSTILE), "finish_reason": "stop"}


@pytest.mark.parametrize("piped", ["", " \n\t"])
def test_no_question_is_a_mistake_of_usage(environment: dict[str, str], piped: str) -> None:
    done = run("chat", text=piped, environment=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Nothing to ask" in done.stderr


FAILURES = [
    ("throttled", 5, "", "Too many requests."),
    ("quota", 5, "", "limit for this month"),
    ("feature-not-supported", 4, "", "not available for your account"),
    ("too-long", 1, "", "Input is too long."),
    ("exception", 5, "partial", "boom"),
    ("cut-in-frame", 5, "Before the cut. ", "cw-proxy: "),
]


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize(("script", "code", "shown", "words"), FAILURES, ids=[case[0] for case in FAILURES])
def test_a_failure_is_told_on_stderr(
    environment: dict[str, str], script: str, code: int, shown: str, words: str, options: list[str]
) -> None:
    done = run("chat", *options, f"Play the script {script}", environment=environment)
    assert done.returncode == code, done.stderr
    assert done.stdout.rstrip("\n") in ("" if options else shown, shown[: len(done.stdout)])
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_crash(environment: dict[str, str]) -> None:
    """As in `cw-proxy chat ... | head`."""
    command = [*COMMAND, "chat", "Play the script long"]
    variables = clean_environment(environment)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=variables) as chat:
        assert chat.stdout is not None
        assert chat.stderr is not None
        assert chat.stdout.read(5) == b"lorem"
        chat.stdout.close()
        complaints = chat.stderr.read()
    assert complaints == b""


def test_an_unknown_model_is_told_near_names(environment: dict[str, str]) -> None:
    done = run("chat", "--model", "claude-sonet-4.5", "Hello", environment=environment)
    assert done.returncode == 1
    assert "claude-sonnet-4.5" in done.stderr
