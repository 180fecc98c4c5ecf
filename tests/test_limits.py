"""Who is counted, and how what is left is told: in OpenAI's names, never a time that is too early."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.limits import Client, Counted, Counter, RateLimits, duration, tightest, whole_seconds

KEY = bytes(range(32))

DURATIONS = [
    *[(0, "0ms"), (-3, "0ms"), (0.0001, "1ms"), (0.012, "12ms"), (0.9991, "1s"), (1, "1s"), (1.001, "2s")],
    *[(59.2, "1m0s"), (60, "1m0s"), (360, "6m0s"), (3600, "1h0m0s"), (7230, "2h0m30s"), (86400, "24h0m0s")],
]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.floats(0, 100_000))
def test_a_duration_is_never_too_short(seconds: float) -> None:
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?|(\d+)ms", duration(seconds))
    assert found is not None
    hours, minutes, rest, milliseconds = (int(number or 0) for number in found.groups())
    told = hours * 3600 + minutes * 60 + rest + milliseconds / 1000
    assert seconds <= told + 1e-9
    assert told < seconds + 1


@pytest.mark.parametrize(("seconds", "whole"), [(0.001, 1), (0.9, 1), (1, 1), (1.001, 2), (60, 60), (60.5, 61)])
def test_a_window_is_whole_seconds_rounded_up(seconds: float, whole: int) -> None:
    assert whole_seconds(seconds) == whole


PLACES = [
    ("203.0.113.9", "203.0.113.9"),
    ("::ffff:203.0.113.9", "203.0.113.9"),
    ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
    ("fe80::1%eth0", "fe80::"),
    ("", "unknown"),
    ("nonsense", "unknown"),
]


@pytest.mark.parametrize(("address", "place"), PLACES)
def test_where_a_client_is(address: str, place: str) -> None:
    assert Client(None, address).place == place


def test_a_demanded_key_is_the_client_wherever_it_is() -> None:
    assert Client(KEY, "203.0.113.9").identity == Client(KEY, "2001:db8::1").identity
    assert Client(None, "203.0.113.9").identity != Client(None, "203.0.113.8").identity
    assert KEY.hex() not in Client(KEY, "203.0.113.9").identity, "the whole digest stays here"


WHO = Client(KEY, "203.0.113.9")
COUNTERS = [
    (RateLimits(), []),
    (RateLimits(5), [Counter(WHO.identity, 5)]),
    (RateLimits(0, 7), [Counter("any:203.0.113.9", 7)]),
    (RateLimits(5, 7), [Counter(WHO.identity, 5), Counter("any:203.0.113.9", 7)]),
]


@pytest.mark.parametrize(("limits", "counters"), COUNTERS)
def test_the_counters_of_a_request(limits: RateLimits, counters: list[Counter]) -> None:
    assert limits.counters(WHO) == counters
    assert bool(limits) is bool(counters)


def test_what_is_left_is_told_of_the_tightest_counter() -> None:
    roomy, tight = Counted(100, 3, 2.0), Counted(10, 9, 30.0)
    assert tightest([roomy, tight]) == tightest([tight, roomy]) == tight
    assert tight.headers() == {
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "30s",
    }
    assert tightest([Counted(1, 1, 50.0), Counted(1, 2, 5.0)]).exceeded
    assert tightest([Counted(1, 2, 5.0), Counted(1, 3, 50.0)]).reset == 50.0, "both are exceeded: the later end counts"


def test_the_refusal_says_when_to_come_back() -> None:
    error = RateLimits(10, 0, 60).refused(Counted(10, 11, 12.5))
    assert (error.status, error.code) == (429, "rate_limit_exceeded")
    assert error.message == "At most 10 requests are answered in 60 s. The next one is in 13s."
    assert error.headers() == {
        "Retry-After": "13",
        "retry-after-ms": "12500",
        "x-ratelimit-limit-requests": "10",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "13s",
    }


@given(st.integers(1, 1000), st.integers(0, 2000))
def test_nothing_is_left_exactly_when_the_limit_is_reached(limit: int, used: int) -> None:
    counted = Counted(limit, used, 1.0)
    assert counted.exceeded is (used > limit)
    assert counted.remaining == max(0, limit - used)
