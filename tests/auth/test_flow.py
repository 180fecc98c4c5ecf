"""Playbooks: each line is the step that must come out, and the answer that goes in."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.auth.flow import (
    CLIENT_NAME,
    SCOPES,
    Answer,
    Authorize,
    Authorized,
    CreateToken,
    DeviceGrant,
    Flow,
    Granted,
    Outcome,
    Place,
    RefreshGrant,
    Refused,
    Register,
    Registered,
    ShowCode,
    SignedIn,
    Step,
    T,
    Unreachable,
    Wait,
    refresh,
    sign_in,
)
from cw_proxy.auth.records import Registration
from cw_proxy.errors import ConfigError, LoginRequired, ProxyError, UpstreamError, UpstreamProtocol, UpstreamUnavailable
from cw_proxy.secret import Secret

START = 1_700_000_000.0
URI = "https://device.example/"
FULL = f"{URI}?user_code=AB-CD"

REGISTER = Register(CLIENT_NAME, SCOPES)
REGISTERED = Registered("client", Secret("s"), int(START) + 90 * 86400)
AUTHORIZE = Authorize("client", Secret("s"), Place().start_url)
AUTHORIZED = Authorized(Secret("device"), "AB-CD", URI, FULL, 600, 5)
SHOW = ShowCode("AB-CD", URI, FULL, 600)
ASK = CreateToken("client", Secret("s"), DeviceGrant(Secret("device")))
PENDING = Refused("authorization_pending")
SLOW_DOWN = Refused("slow_down")
GRANTED = Granted(Secret("access"), Secret("refresh"), 3600)
DOWN = Unreachable(UpstreamUnavailable("The sign-in service cannot be reached."))

SIGNING_IN = [(REGISTER, REGISTERED), (AUTHORIZE, AUTHORIZED), (SHOW, None)]
CACHED = Registration(
    client_id="cached",
    client_secret=Secret("c"),
    expires_at=int(START) + 30 * 86400,
    scopes=SCOPES,
    start_url=Place().start_url,
    region=Place().region,
)
AUTHORIZE_CACHED = Authorize("cached", Secret("c"), Place().start_url)
ASK_CACHED = CreateToken("cached", Secret("c"), DeviceGrant(Secret("device")))


def play(steps: Flow[T], script: list[tuple[Step, Answer]]) -> T:
    """Runs the flow along the script; the clock moves only with its waits."""
    now, coming = START, iter(script)
    step = next(steps)
    while True:
        expected, answer = next(coming)
        assert step == expected
        now += step.seconds if isinstance(step, Wait) else 0
        try:
            step = steps.send(Outcome(now, answer))
        except StopIteration as stop:
            assert list(coming) == []
            return stop.value


def begin(cached: Registration | None = None, **options: int) -> Flow[SignedIn]:
    return sign_in(Place(), cached, START, **options)


def test_registers_shows_the_code_and_polls_at_the_interval():
    done = play(begin(), [*SIGNING_IN, (Wait(5), None), (ASK, PENDING), (Wait(5), None), (ASK, GRANTED)])
    assert done.login.access_token == Secret("access")
    assert done.login.refresh_token == Secret("refresh")
    assert done.login.expires_at == int(START) + 10 + 3600
    assert done.login.client_id == done.registration.client_id == "client"
    assert done.registration.scopes == SCOPES


def test_slow_down_lengthens_the_interval_and_pending_keeps_it():
    script = [(Wait(5), None), (ASK, SLOW_DOWN), (Wait(10), None), (ASK, PENDING), (Wait(10), None), (ASK, GRANTED)]
    play(begin(), [*SIGNING_IN, *script])


def test_a_network_failure_while_polling_is_waited_out_more_slowly():
    play(begin(), [*SIGNING_IN, (Wait(5), None), (ASK, DOWN), (Wait(10), None), (ASK, GRANTED)])


@pytest.mark.parametrize(("interval", "seconds"), [(None, 5), (0, 1), (-3, 1), (2, 2)])
def test_the_interval_has_a_default_and_a_floor(interval: int | None, seconds: int):
    code = msgspec.structs.replace(AUTHORIZED, interval=interval)
    play(begin(), [(REGISTER, REGISTERED), (AUTHORIZE, code), (SHOW, None), (Wait(seconds), None), (ASK, GRANTED)])


def test_an_expired_code_is_replaced_by_a_new_one():
    again = [(AUTHORIZE, AUTHORIZED), (SHOW, None), (Wait(5), None), (ASK, GRANTED)]
    play(begin(), [*SIGNING_IN, (Wait(5), None), (ASK, Refused("expired_token")), *again])


def test_codes_run_out_with_a_clear_error():
    expired = [(Wait(5), None), (ASK, Refused("expired_token"))]
    with pytest.raises(LoginRequired, match="expired before it was confirmed"):
        play(begin(codes=2), [*SIGNING_IN, *expired, *SIGNING_IN[1:], *expired])


def test_the_flow_ends_at_its_own_deadline_without_the_service_saying_so():
    code = msgspec.structs.replace(AUTHORIZED, expires_in=12)
    script = [(REGISTER, REGISTERED), (AUTHORIZE, code), (msgspec.structs.replace(SHOW, expires_in=12), None)]
    with pytest.raises(LoginRequired, match="expired"):
        play(begin(codes=1), [*script, (Wait(5), None), (ASK, PENDING), (Wait(5), None), (ASK, PENDING)])


def test_a_denied_sign_in_says_so():
    with pytest.raises(LoginRequired, match="denied in the browser"):
        play(begin(), [*SIGNING_IN, (Wait(5), None), (ASK, Refused("access_denied"))])


def test_any_other_refusal_names_its_reason():
    with pytest.raises(UpstreamError, match="invalid_scope"):
        play(begin(), [*SIGNING_IN, (Wait(5), None), (ASK, Refused("invalid_scope"))])


def test_a_cached_registration_spares_a_new_one():
    script = [(AUTHORIZE_CACHED, AUTHORIZED), (SHOW, None), (Wait(5), None), (ASK_CACHED, GRANTED)]
    assert play(begin(CACHED), script).registration == CACHED


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": int(START) + 86400},
        {"start_url": "https://example.awsapps.com/start"},
        {"region": "eu-west-1"},
        {"scopes": SCOPES[:1]},
    ],
)
def test_a_cached_registration_that_does_not_serve_is_replaced(change: dict[str, object]):
    play(begin(msgspec.structs.replace(CACHED, **change)), [*SIGNING_IN, (Wait(5), None), (ASK, GRANTED)])


def test_a_forgotten_registration_is_replaced_once():
    script = [(AUTHORIZE_CACHED, Refused("invalid_client")), *SIGNING_IN, (Wait(5), None), (ASK, GRANTED)]
    assert play(begin(CACHED), script).registration.client_id == "client"


def test_a_fresh_registration_that_is_refused_is_an_error():
    with pytest.raises(UpstreamError, match="just registered"):
        play(begin(), [(REGISTER, REGISTERED), (AUTHORIZE, Refused("invalid_client"))])


def test_a_refused_start_url_points_at_the_switches():
    refused = Refused("invalid_request", "Invalid start url provided")
    with pytest.raises(ConfigError, match=r"--start-url.*Invalid start url provided"):
        play(begin(), [(REGISTER, REGISTERED), (AUTHORIZE, refused)])


@pytest.mark.parametrize("script", [[(REGISTER, DOWN)], [(REGISTER, REGISTERED), (AUTHORIZE, DOWN)]])
def test_a_service_out_of_reach_is_that_error(script: list[tuple[Step, Answer]]):
    with pytest.raises(UpstreamUnavailable, match="cannot be reached"):
        play(begin(), script)


def test_an_answer_to_another_question_is_a_protocol_error():
    with pytest.raises(UpstreamProtocol):
        play(begin(), [(REGISTER, GRANTED)])


def test_no_secret_shows_in_a_step_or_an_answer():
    shown = repr([REGISTERED, AUTHORIZE, AUTHORIZED, ASK, GRANTED, RefreshGrant(Secret("x"))])
    for secret in ("'s'", "device'", "access'", "refresh'", "'x'"):
        assert secret not in shown


ENDING = {"granted", "access_denied", "invalid_scope", "expired_token"}
ANSWERS: dict[str, Answer] = {
    "pending": PENDING,
    "slow": SLOW_DOWN,
    "down": DOWN,
    "granted": GRANTED,
    "access_denied": Refused("access_denied"),
    "invalid_scope": Refused("invalid_scope"),
    "expired_token": Refused("expired_token"),
}


@given(st.lists(st.sampled_from(sorted(ANSWERS)), max_size=40), st.integers(0, 9), st.integers(1, 300))
def test_in_any_order_of_answers_it_ends_in_time_and_never_polls_too_fast(names: list[str], interval: int, life: int):
    """The first ending answer ends it; the interval only grows; no poll is sent after the deadline."""
    steps = begin(codes=1)
    next(steps)
    steps.send(Outcome(START, REGISTERED))
    steps.send(Outcome(START, msgspec.structs.replace(AUTHORIZED, interval=interval, expires_in=life)))
    now, last, heard, step = START, 0.0, list[str](), None
    answers = iter(names)
    try:
        step = steps.send(Outcome(now))
        while True:
            assert isinstance(step, Wait)
            assert step.seconds >= max(last, 1.0)
            last, now = step.seconds, now + step.seconds
            assert now < START + life
            assert steps.send(Outcome(now)) == ASK
            heard.append(next(answers, "pending"))
            step = steps.send(Outcome(now, ANSWERS[heard[-1]]))
    except StopIteration as stop:
        assert isinstance(stop.value, SignedIn)
        assert heard[-1] == "granted"
    except LoginRequired as error:
        assert ("denied" in error.message) == (heard[-1:] == ["access_denied"])
    except ProxyError:
        assert heard[-1] == "invalid_scope"
    assert not ENDING & set(heard[:-1])


# --- refreshing -------------------------------------------------------------------------------------------

REFRESH = CreateToken("client", Secret("client-secret"), RefreshGrant(Secret("refresh-0")))


def test_a_refresh_keeps_who_and_where_and_takes_the_new_tokens(make_login):
    old = make_login(left=-1, profile_arn="arn:p")
    new = play(refresh(old), [(REFRESH, GRANTED)])
    assert new == msgspec.structs.replace(
        old, access_token=Secret("access"), refresh_token=Secret("refresh"), expires_at=int(START) + 3600
    )


def test_a_refresh_token_that_is_not_returned_stays(make_login):
    new = play(refresh(make_login()), [(REFRESH, Granted(Secret("access"), None, 60))])
    assert new.refresh_token == Secret("refresh-0")


def test_slow_down_is_obeyed_once(make_login):
    play(refresh(make_login()), [(REFRESH, SLOW_DOWN), (Wait(5), None), (REFRESH, GRANTED)])
    assert play(refresh(make_login()), [(REFRESH, SLOW_DOWN), (Wait(5), None), (REFRESH, SLOW_DOWN)]) == SLOW_DOWN


def test_a_refusal_is_returned_and_a_failure_raised(make_login):
    assert play(refresh(make_login()), [(REFRESH, Refused("invalid_grant"))]) == Refused("invalid_grant")
    with pytest.raises(UpstreamUnavailable):
        play(refresh(make_login()), [(REFRESH, DOWN)])


def test_without_a_refresh_token_nothing_is_asked(make_login):
    with pytest.raises(StopIteration) as stop:
        next(refresh(make_login(refresh_token=None)))
    assert stop.value.value.error == "invalid_grant"
