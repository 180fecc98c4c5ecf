"""Bearer tokens and bodies, in both wire forms."""

from __future__ import annotations

import pytest
from emulator_client import Caller, a_body

from cw_proxy.emulator import Emulator

FORMS = ("rest", "aws-json")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", ["", "Bearer ", "Basic abc"])
async def test_without_a_bearer_token(emulator: Emulator, caller: Caller, form: str, value: str) -> None:
    seen = await caller.send(a_body("hi"), form, {"Authorization": value})
    assert seen.status == 403
    assert seen.headers["x-amzn-errortype"] == "AccessDeniedException"
    assert seen.error["message"] == "The bearer token included in the request is invalid."
    assert emulator.stats.last_body is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("raw", "reason"),
    [(b"{", "REQUEST_BODY_INVALID_JSON"), (b"\xff", "REQUEST_BODY_INVALID_JSON"), (b"[]", "REQUEST_BODY_INVALID")],
)
async def test_bodies_that_are_not_json(caller: Caller, form: str, raw: bytes, reason: str) -> None:
    seen = await caller.send(raw, form)
    assert (seen.status, seen.error["reason"]) == (400, reason)
    assert seen.headers["content-type"] == ("application/json" if form == "rest" else "application/x-amz-json-1.0")


async def test_switches_of_the_account(emulator: Emulator, caller: Caller) -> None:
    emulator.settings.profile_arn_required = True
    assert (await caller.ask("hi")).error["message"] == "profileArn is required for this request."
    arn = "arn:aws:codewhisperer:us-east-1:123456789012:profile/ABCDEFGHIJKL"
    assert (await caller.send({**a_body("hi"), "profileArn": arn})).status == 200
    emulator.settings.feature_not_supported = True
    seen = await caller.ask("hi")
    assert (seen.status, seen.error["reason"]) == (403, "FEATURE_NOT_SUPPORTED")
