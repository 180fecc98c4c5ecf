"""Ends with and without tail frames go in; what a missing tail means comes out."""

from __future__ import annotations

from cw_proxy.tails import Tails


def test_a_missing_tail_means_nothing_until_the_account_has_shown_one() -> None:
    tails = Tails()
    assert tails.ended("me", tail=False) is None
    assert tails.ended("me", tail=True) is None
    missed = tails.ended("me", tail=False)
    assert missed is not None
    assert (missed.status, missed.code) == (502, "upstream_truncated")
    assert tails.missing == 2


def test_accounts_are_known_one_by_one() -> None:
    tails = Tails()
    tails.ended("me", tail=True)
    assert tails.ended("you", tail=False) is None
    assert tails.ended("me", tail=False) is not None


def test_a_missing_tail_does_not_make_one_forget() -> None:
    tails = Tails()
    tails.ended("me", tail=True)
    assert [tails.ended("me", tail=False) is None for _ in range(3)] == [False] * 3


def test_the_account_seen_longest_ago_goes_first() -> None:
    tails = Tails(capacity=2)
    for account in ("a", "b", "a", "c"):
        tails.ended(account, tail=True)
    assert len(tails) == 2
    assert [tails.ended(account, tail=False) is None for account in ("a", "b", "c")] == [False, True, False]
