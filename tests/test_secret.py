"""A secret comes out by one name only."""

from __future__ import annotations

import copy
import json
import pickle
import traceback

import msgspec
import pytest

from cw_proxy.secret import Secret, digest

CANARY = Secret("canary")


def test_its_value_has_one_way_out() -> None:
    assert CANARY.reveal() == "canary"


SHOWN = [
    repr(CANARY),
    str(CANARY),
    f"{CANARY}",
    f"{CANARY!r:>50}",
    f"{CANARY:>50}",
    format(CANARY, "s"),
    "%s %r" % (CANARY, CANARY),  # noqa: UP031 - a way that old code has
    repr([CANARY, {"key": CANARY}, (CANARY,)]),
]


@pytest.mark.parametrize("shown", SHOWN)
def test_nothing_shows_it(shown: str) -> None:
    assert "***" in shown
    assert "canary" not in shown


@pytest.mark.parametrize("write", [json.dumps, msgspec.json.encode, pickle.dumps, copy.copy, copy.deepcopy, vars, dict])
def test_nothing_writes_it(write: object) -> None:
    with pytest.raises(TypeError) as raised:
        write(CANARY)
    assert "canary" not in str(raised.value)


def test_a_traceback_with_locals_does_not_show_it() -> None:
    def fail(secret: Secret) -> None:
        raise ValueError(f"no {secret}")

    try:
        fail(CANARY)
    except ValueError as fault:
        told = "".join(traceback.TracebackException.from_exception(fault, capture_locals=True).format())
    assert "Secret(***)" in told
    assert "canary" not in told


def test_equal_values_are_equal_secrets() -> None:
    assert Secret("canary") == CANARY
    assert hash(CANARY) == hash(Secret("canary"))
    assert Secret("Canary") != CANARY
    assert CANARY != "canary"
    assert Secret("caf\udce9") != Secret("café")


def test_a_digest_stands_for_a_value() -> None:
    assert digest("a") == digest("a") != digest("b")
    assert len(digest("caf\udce9")) == len(digest("")) == 32
