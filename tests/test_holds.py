"""Outcomes of calls go in; which calls are answered without being made comes out."""

from __future__ import annotations

import pytest

from cw_proxy.errors import InsufficientQuota, ProxyError, UpstreamRejected, UpstreamUnavailable
from cw_proxy.holds import LONGEST, PROBE, Holds

TOKEN = b"token"
ENOUGH = InsufficientQuota("Enough.", hold=30.0)


def held(holds: Holds, now: float, token: bytes = TOKEN) -> bool:
    try:
        holds.check(token, now=now)
    except ProxyError:
        return True
    return False


def holding(error: ProxyError = ENOUGH, **settings: int) -> Holds:
    holds = Holds(**settings)
    assert not held(holds, 0)
    holds.failed(TOKEN, error, now=0)
    return holds


def test_the_same_error_is_given_again_as_a_copy() -> None:
    holds = holding()
    raised = []
    for _ in range(2):
        with pytest.raises(InsufficientQuota) as again:
            holds.check(TOKEN, now=1)
        raised.append(again.value)
    assert raised[0].body() == raised[1].body() == ENOUGH.body()
    assert raised[0].headers() == ENOUGH.headers()
    assert len({id(ENOUGH), *map(id, raised)}) == 3
    assert holds.repeated == 2


@pytest.mark.parametrize(("hold", "until"), [(5.0, 5.0), (60.0, 60.0), (86400.0, LONGEST), (float("inf"), LONGEST)])
def test_a_hold_lasts_as_stated_but_not_too_long(hold: float, until: float) -> None:
    holds = holding(InsufficientQuota("Enough.", hold=hold))
    assert [held(holds, now) for now in (until - 0.01, until)] == [True, False]


@pytest.mark.parametrize("error", [InsufficientQuota("x"), UpstreamRejected("x"), UpstreamUnavailable("x")])
def test_other_errors_hold_nothing_back(error: ProxyError) -> None:
    holds = holding(error)
    assert not held(holds, 0)
    assert len(holds) == 0


def test_one_probe_goes_through_and_the_others_wait_for_it() -> None:
    holds = holding()
    assert [held(holds, 30), held(holds, 30), held(holds, 31)] == [False, True, True]
    holds.succeeded(TOKEN)
    assert [held(holds, 31), held(holds, 31)] == [False, False]


def test_a_probe_that_fails_alike_begins_anew() -> None:
    holds = holding()
    assert not held(holds, 30)
    holds.failed(TOKEN, ENOUGH, now=32)
    assert [held(holds, 61.9), held(holds, 62)] == [True, False]


def test_a_probe_that_fails_otherwise_says_nothing() -> None:
    holds = holding()
    assert not held(holds, 30)
    holds.failed(TOKEN, UpstreamRejected("x"), now=32)
    assert [held(holds, 32), held(holds, 32)] == [False, True]


def test_a_probe_that_never_comes_back_is_followed_by_another() -> None:
    holds = holding()
    assert [held(holds, 30), held(holds, 30 + PROBE - 0.01), held(holds, 30 + PROBE)] == [False, True, False]


def test_another_token_is_another_matter() -> None:
    assert not held(holding(), 1, b"other")


def test_the_oldest_goes_first() -> None:
    holds = holding(capacity=2)
    for token in (b"b", b"c"):
        holds.failed(token, ENOUGH, now=0)
    assert len(holds) == 2
    assert [held(holds, 1, token) for token in (TOKEN, b"b", b"c")] == [False, True, True]
