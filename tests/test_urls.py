"""Addresses that settings hold: what an error says, and what is shown. (What each may be is tried on the settings.)"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cw_proxy.errors import ConfigError
from cw_proxy.secret import Secret
from cw_proxy.urls import check_networks, check_proxy, check_store, check_url, is_loopback, without_password


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *[("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True)],
        *[("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("", False), ("localhost.evil", False)],
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    "url", ["http://service.example", "ftp://service.example", "https://", "https://a:b@c", "http://[::1"]
)
def test_no_place_for_a_token(url: str) -> None:
    with pytest.raises(ConfigError, match="'some_url'"):
        check_url("some_url", url)


@pytest.mark.parametrize("check", [check_proxy, check_store])
@pytest.mark.parametrize("url", ["canary", "ftp://user:canary@h", "http://canary:x:y", "redis://"])
def test_what_may_hold_a_password_is_not_repeated(check: Callable[[str, Secret], None], url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        check("some_url", Secret(url))
    assert "canary" not in raised.value.message
    assert "'some_url'" in raised.value.message


def test_networks() -> None:
    check_networks("trusted", ["10.0.0.0/8", "::1"])
    with pytest.raises(ConfigError, match=r"'trusted' holds '10\.0\.0\.1/8'"):
        check_networks("trusted", ["::1", "10.0.0.1/8"])


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, None),
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://user:canary@proxy", "http://***@proxy"),
        ("redis://:can@ary@store/1", "redis://***@store/1"),
        ("user:canary@proxy", "***@proxy"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str | None, shown: str | None) -> None:
    assert without_password(Secret(url) if url else None) == shown
