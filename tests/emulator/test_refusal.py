"""Errors as the service spells them: header and body, both."""

from __future__ import annotations

import json

import pytest

from cw_proxy.emulator.refusal import FAULTS, STATUS, Refusal, fault_of_class, improper


def test_the_length_of_a_live_error() -> None:
    """A live answer of this kind was 100 bytes long (upstream.md §1.5)."""
    assert len(improper("why").body()) == 100


def test_the_detail_is_not_for_the_client() -> None:
    response = improper("a secret path", "TOOL_DUPLICATE").response("application/json")
    assert response.status == 400
    assert response.headers["x-amzn-errortype"] == "ValidationException"
    assert json.loads(response.body) == {
        "__type": "com.amazon.aws.codewhisperer#ValidationException",
        "message": "Improperly formed request.",
        "reason": "TOOL_DUPLICATE",
    }


@pytest.mark.parametrize("name", STATUS)
def test_each_exception_has_its_status(name: str) -> None:
    assert Refusal(name, "m").http_status == STATUS[name]
    assert Refusal(name, "m", status=418).http_status == 418


@pytest.mark.parametrize(("status", "http"), [(400, 400), (401, 403), (403, 403), (429, 429), (500, 500), (503, 503)])
def test_fault_classes(status: int, http: int) -> None:
    assert fault_of_class(status) is FAULTS[status]
    assert fault_of_class(status).http_status == http


def test_any_other_class() -> None:
    assert fault_of_class(502).http_status == 502
