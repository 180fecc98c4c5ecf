"""What the service answers to a credential goes in; which calls are made with which one comes out."""

from __future__ import annotations

import json

import pytest
from stage import PROFILE, Answer, Stage, Tokens, ok, profiles, refused, text
from strategies import exception

from cw_proxy import errors
from cw_proxy.backends.codewhisperer.hosts import Hosts
from cw_proxy.events import Fail, Text
from cw_proxy.interfaces import Credential
from cw_proxy.secret import Secret

EXPIRED = refused(403, "AccessDeniedException", "The bearer token included in the request is invalid.")
DOWN = errors.UpstreamUnavailable("Down.")
LOST = Answer(exception("error", reason="MODEL_TEMPORARILY_UNAVAILABLE"))


async def test_a_refused_token_is_replaced_once() -> None:
    stage = Stage(EXPIRED, ok(), tokens=Tokens("old", "new"))
    assert Text("hello") in await stage.events()
    assert [call.headers["Authorization"] for call in stage.service.calls] == ["Bearer old", "Bearer new"]
    assert (stage.tokens.refused, stage.delays) == (["old"], [])


async def test_a_second_refusal_is_the_services_word() -> None:
    stage = Stage(EXPIRED, EXPIRED, ok(), tokens=Tokens("old", "new", "newer"))
    with pytest.raises(errors.UpstreamAccessDenied, match=r"bearer token .* invalid\. Sign in again\."):
        await stage.events()
    assert stage.tokens.refused == ["old"]


async def test_a_token_that_cannot_be_replaced_is_not_sent_again() -> None:
    stage = Stage(EXPIRED, ok())
    with pytest.raises(errors.UpstreamAccessDenied, match=r"Sign in again\."):
        await stage.events()
    assert len(stage.service.calls) == 1


NEEDS_PROFILE = refused(400, "ValidationException", "profileArn is required for this request.")


async def test_a_missing_profile_is_found_once_and_remembered() -> None:
    stage = Stage(NEEDS_PROFILE, profiles(PROFILE), ok(), ok("again"))
    await stage.events()
    assert stage.service.paths == [
        "generateAssistantResponse",
        "ListAvailableProfiles",
        "generateAssistantResponse",
    ]
    assert Text("again") in await stage.events()
    sent = [json.loads(call.body).get("profileArn") for call in stage.service.calls]
    assert sent == [None, None, PROFILE, PROFILE]


async def test_an_account_without_profiles_hears_the_services_word() -> None:
    stage = Stage(NEEDS_PROFILE, profiles(), ok())
    with pytest.raises(errors.UpstreamProfileRequired):
        await stage.events()
    assert len(stage.service.calls) == 2


async def test_the_profile_is_looked_for_in_the_next_region_when_one_fails() -> None:
    stage = Stage(NEEDS_PROFILE, DOWN, profiles(PROFILE), ok(), hosts=Hosts("https://service.example"))
    assert Text("hello") in await stage.events()
    assert stage.tokens.profile == PROFILE


async def test_token_and_profile_may_both_be_wanting() -> None:
    stage = Stage(EXPIRED, NEEDS_PROFILE, profiles(PROFILE), ok(), tokens=Tokens("old", "new"))
    assert Text("hello") in await stage.events()
    assert stage.tokens.profile == PROFILE


async def test_no_login_is_raised_before_any_call() -> None:
    class SignedOut(Tokens):
        async def credential(self, *, rejected: Secret | None = None) -> Credential:
            raise errors.LoginRequired("Run `cw-proxy login`.")

    stage = Stage(ok(), tokens=SignedOut())
    with pytest.raises(errors.LoginRequired):
        await stage.events()
    assert stage.service.calls == []


async def test_an_error_page_is_not_read_without_end() -> None:
    answer = Answer(*[b"x" * 10_000] * 1000, status=400)
    with pytest.raises(errors.UpstreamRejected):
        await Stage(answer).events()
    assert answer.closed


@pytest.mark.parametrize("answer", [EXPIRED, refused(500, "InternalServerException"), LOST])
async def test_every_call_is_closed_before_the_next(answer: Answer) -> None:
    answer.closed = False
    stage = Stage(answer, ok(), tokens=Tokens("old", "new"))
    await stage.events()
    assert answer.closed


async def test_a_key_that_the_service_repeats_is_not_shown() -> None:
    answer = refused(400, "ValidationException", "The key a-secret-key is odd.", "REASON")
    stage = Stage(answer, tokens=Tokens("a-secret-key"))
    with pytest.raises(errors.UpstreamRejected) as raised:
        await stage.events()
    assert raised.value.message == "The key *** is odd."
    broken = Answer(text("a"), exception("error", message="a-secret-key broke"), status=200)
    [*_, last] = await Stage(broken, tokens=Tokens("a-secret-key")).events()
    assert isinstance(last, Fail)
    assert "a-secret-key" not in last.error.message
