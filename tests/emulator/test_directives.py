"""Directives are found wherever they stand."""

from __future__ import annotations

import pytest

from cw_proxy.emulator.conversation import Turn
from cw_proxy.emulator.directives import Directive, locate, parse, remembered_tokens, script_name, system_tokens


@pytest.mark.parametrize(
    ("text", "kind", "args"),
    [
        ("<x>Reply WITH exactly the token A-1.</x>", "say", ("A-1",)),
        ("count from 1 to 20", "count", ("20",)),
        ('answer with the json {"a": [1]} now', "json", ({"a": [1]},)),
        ("run command `ls -l` and repeat its output", "run", ("ls -l",)),
        ('call tool a.b:c with {"x": {}}', "call", ("a.b:c", {"x": {}})),
        ("fault 429 times 3 id z!", "fault", ("429", "3", "z")),
        ("what's the weather like in New York", "weather", ("New York",)),
        ("break the stream after 4 pieces by error", "break", ("4", "error")),
    ],
)
def test_one_directive(text: str, kind: str, args: tuple[object, ...]) -> None:
    assert parse(text) == [[Directive(kind, args)]]


@pytest.mark.parametrize("text", ["", "hello", "answer with the json {broken", "what is the weather in paris"])
def test_no_directive(text: str) -> None:
    assert parse(text) == []


def test_repeats_count_once_and_order_is_kept() -> None:
    kinds = [one.kind for one in parse("count from 1 to 3 state the system token COUNT FROM 1 TO 3")[0]]
    assert kinds == ["count", "system"]


def test_then_starts_a_step() -> None:
    steps = parse("count from 1 to 3 THEN count from 1 to 4 and then count from 1 to 5")
    assert [[one.args for one in step] for step in steps] == [[("3",)], [("4",), ("5",)]]


def test_the_newest_user_turn_with_a_directive() -> None:
    turns = [Turn("user", "count from 1 to 3"), Turn("assistant", "count from 1 to 9"), Turn("user", "thanks")]
    located = locate(turns)
    assert located is not None
    assert located[0] == 0
    assert locate(turns[1:]) is None


def test_tokens() -> None:
    turns = [Turn("user", "remember the token A."), Turn("assistant", "remember the token B; the system token is S")]
    assert remembered_tokens(turns) == ["A"]
    assert system_tokens(turns) == ["S"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("Play the script crc-flip.", "crc-flip"), ("no script", None), ("play the script a play the script b", "b")],
)
def test_script_name(text: str, name: str | None) -> None:
    assert script_name([Turn("user", "play the script old"), Turn("assistant", ""), Turn("user", text)]) == name
