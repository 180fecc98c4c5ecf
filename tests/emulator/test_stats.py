"""Counters, and the last request without its secret."""

from __future__ import annotations

from cw_proxy.emulator.stats import Stats


def test_a_bearer_token_is_not_kept() -> None:
    stats = Stats()
    stats.saw_headers({"Authorization": "Bearer canary", "User-Agent": "a", "X-Other": "y"})
    assert "canary" not in str(stats.as_json())
    assert stats.last_headers == {"authorization": "Bearer ***", "user-agent": "a", "x-other": "y"}


def test_user_agents_are_counted() -> None:
    stats = Stats()
    for agent in ("a", "b", "a"):
        stats.saw_headers({"User-Agent": agent})
    assert stats.user_agents == {"a": 2, "b": 1}


def test_reset_keeps_the_calls_under_way() -> None:
    stats = Stats(requests=4, in_flight=1, last_body={})
    stats.reset()
    assert stats == Stats(in_flight=1)
