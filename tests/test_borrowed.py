"""Switches and an environment go in; the variables of other programs that count come out."""

from __future__ import annotations

import pytest

from cw_proxy.borrowed import BORROWED, Switch, borrowed
from cw_proxy.config import documentation

SHELL = {one.variable: "1" for one in BORROWED}
COUNTING: list[tuple[set[Switch], list[str]]] = [
    (set(), []),
    (
        {Switch.SIMPLE_API},
        ["DEFAULT_MODEL", "REQUEST_TIMEOUT", "CORS_ORIGINS", "RATE_LIMIT_MAX", "RATE_LIMIT_WINDOW_MS"],
    ),
    ({Switch.PROMPT_SOCKET}, ["DEFAULT_MODEL", "API_GW_ENDPOINT"]),
    ({Switch.OPENAI}, ["OPENAI_MODEL"]),
    ({Switch.OPENAI, Switch.OPENAI_ITSELF}, ["OPENAI_MODEL", "OPENAI_API_KEY"]),
    (set(Switch), list(SHELL)),
]


@pytest.mark.parametrize(("on", "variables"), COUNTING)
def test_a_variable_counts_for_what_is_switched_on(on: set[Switch], variables: list[str]) -> None:
    assert [one.variable for one, _ in borrowed(on, {**SHELL, "HOME": "/x"})] == variables


def test_a_blank_variable_is_as_good_as_none() -> None:
    [(one, text)] = borrowed(set(Switch), {"DEFAULT_MODEL": " m ", "OPENAI_MODEL": "  ", "CORS_ORIGINS": ""})
    assert (one.setting, text) == ("default_model", "m")


@pytest.mark.parametrize("variable", ["REQUEST_TIMEOUT", "RATE_LIMIT_WINDOW_MS"])
def test_milliseconds_become_seconds(variable: str) -> None:
    [(one, text)] = borrowed(set(Switch), {variable: "1500"})
    assert one.convert is not None
    assert one.convert(text) == 1.5


def test_the_conditions_are_told() -> None:
    assert all(one.when and one.setting in [doc.name for doc in documentation()] for one in BORROWED)
