"""Refusals of the other service, as OpenAI words them."""

from __future__ import annotations

import msgspec
import pytest

from cw_proxy.emulator.library import SCRIPTS
from cw_proxy.emulator.openai.refusal import Rejected, in_openais_words, invalid, unknown_model
from cw_proxy.emulator.refusal import FAULTS
from cw_proxy.emulator.script import compile_script
from cw_proxy.emulator.service import INVALID_TOKEN

EXPECTED = {
    "throttled": (429, "requests", "rate_limit_exceeded"),
    "no-capacity": (429, "requests", "rate_limit_exceeded"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "quota-as-throttling": (429, "insufficient_quota", "insufficient_quota"),
    "too-long": (400, "invalid_request_error", "context_length_exceeded"),
    "feature-not-supported": (403, "request_forbidden", "unsupported_country_region_territory"),
    "server-error": (500, "server_error", None),
    "unavailable": (503, "server_error", None),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_scripts_refusals(name: str) -> None:
    refusal = compile_script(SCRIPTS[name]).refusal
    assert refusal is not None
    made = in_openais_words(refusal)
    error = made.error()["error"]
    assert (made.http_status, error["type"], error["code"]) == EXPECTED[name]
    assert error["message"] == refusal.message


def test_every_script_that_refuses_is_told() -> None:
    assert {name for name, steps in SCRIPTS.items() if compile_script(steps).refusal} == EXPECTED.keys()


def test_faults_keep_their_class() -> None:
    for status, refusal in FAULTS.items():
        assert in_openais_words(refusal).http_status == (401 if status == 403 else status)


def test_a_key_that_is_not_taken() -> None:
    assert in_openais_words(INVALID_TOKEN).http_status == 401


def test_our_own() -> None:
    made = invalid("No.", "messages", "x")
    assert in_openais_words(made) is made
    assert msgspec.json.decode(made.body()) == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": "messages", "code": "x"}
    }
    assert made.response().status == 400
    assert unknown_model("x").http_status == 404
    assert isinstance(made, Rejected)
