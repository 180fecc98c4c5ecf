"""Headers go in; in comes who may, and everyone else hears why not."""

from __future__ import annotations

import pytest

from cw_proxy.errors import HostRefused, InvalidApiKey, OriginRefused, UnsupportedMediaType
from cw_proxy.guard import Guard, check_json, credential
from cw_proxy.secret import Secret, digest

LOOPBACK = Guard.of([], [], [])
OPEN = Guard.of(["Proxy.example", "::1", "fd00::1", "[fd00::2]"], ["https://app.example"], [])
KEYED = Guard.of([], [], [Secret("first"), Secret("second")])

SERVED = [
    *["localhost", "localhost:3000", "LOCALHOST:3000", "127.0.0.1", "127.0.0.1:65535", "[::1]", "[::1]:3000"],
]
REFUSED = [
    *["", " ", ":3000", "localhost:", "localhost:99999999", "localhost:3000x", "localhost.", "localhost.:3000"],
    *["127.0.0.1.evil", "127.0.0.1@evil", "evil@127.0.0.1", "localhost.evil:3000", "evil.localhost", "xlocalhost"],
    *["0.0.0.0", "0.0.0.0:3000", "127.1", "127.0.0.2", "2130706433", "0x7f.1", "::1", "[::1", "[::1].evil", "[::1]x"],
    *["[::ffff:127.0.0.1]", "http://localhost", "localhost/", "localhost\n", "localhost\0", "localhost, evil", "*"],
    *["lоcalhost", "proxy.example"],
]


@pytest.mark.parametrize("host", SERVED)
def test_loopback_is_served(host: str) -> None:
    LOOPBACK.check_host({"host": host})


@pytest.mark.parametrize("host", REFUSED)
def test_every_other_host_is_refused(host: str) -> None:
    with pytest.raises(HostRefused) as raised:
        LOOPBACK.check_host({"host": host})
    assert raised.value.status == 421


def test_no_host_is_refused() -> None:
    with pytest.raises(HostRefused):
        LOOPBACK.check_host({})


@pytest.mark.parametrize("host", ["proxy.example", "PROXY.example:443", "[fd00::1]:3000", "[FD00::2]", "localhost"])
def test_listed_hosts_are_served(host: str) -> None:
    OPEN.check_host({"host": host})


def test_a_star_is_any_host_that_is_one() -> None:
    anywhere = Guard.of(["*"], [], [])
    anywhere.check_host({"host": "evil.example:80"})
    with pytest.raises(HostRefused):
        anywhere.check_host({"host": "a b"})


# headers → may a page there call?
ORIGINS = [
    ({}, True),
    ({"origin": "https://app.example"}, True),
    ({"origin": "https://app.example", "sec-fetch-site": "cross-site"}, True),
    ({"sec-fetch-site": "same-origin"}, True),
    ({"sec-fetch-site": "none"}, True),
    ({"sec-fetch-site": "cross-site"}, False),
    ({"sec-fetch-site": "Cross-Site"}, False),
    ({"origin": "null"}, False),
    ({"origin": ""}, False),
    ({"origin": "http://app.example"}, False),
    ({"origin": "https://app.example:444"}, False),
    ({"origin": "https://app.example.evil"}, False),
    ({"origin": "https://evil/https://app.example"}, False),
    ({"origin": "http://localhost:3000"}, False),
]


@pytest.mark.parametrize(("headers", "allowed"), ORIGINS)
def test_pages_of_other_sites_are_refused(headers: dict[str, str], allowed: bool) -> None:
    if allowed:
        OPEN.check_origin(headers)
        return
    with pytest.raises(OriginRefused) as raised:
        OPEN.check_origin(headers)
    assert raised.value.status == 403


def test_a_star_is_any_origin() -> None:
    Guard.of([], ["*"], []).check_origin({"origin": "null"})


# headers → the key in them
KEYS = [
    ({}, None),
    ({"authorization": "Bearer first"}, "first"),
    ({"authorization": "bearer first"}, "first"),
    ({"authorization": "BEARER   first  "}, "first"),
    ({"authorization": "Bearer first second"}, "first second"),
    ({"authorization": "Bearer "}, None),
    ({"authorization": "Bearer"}, None),
    ({"authorization": ""}, None),
    ({"authorization": "first"}, None),
    ({"authorization": "Basic first"}, None),
    ({"x-api-key": "second"}, "second"),
    ({"x-api-key": " "}, None),
    ({"authorization": "Bearer first", "x-api-key": "second"}, "first"),
    ({"authorization": "Basic eA==", "x-api-key": "second"}, "second"),
    ({"authorization": "Bearer ", "x-api-key": "second"}, "second"),
]


@pytest.mark.parametrize(("headers", "key"), KEYS)
def test_the_key_is_found(headers: dict[str, str], key: str | None) -> None:
    assert credential(headers) == key


@pytest.mark.parametrize(("headers", "key"), KEYS)
def test_a_known_key_is_demanded(headers: dict[str, str], key: str | None) -> None:
    if key in ("first", "second"):
        assert KEYED.owner(headers) == digest(key)
        return
    with pytest.raises(InvalidApiKey) as raised:
        KEYED.owner(headers)
    assert raised.value.headers() == {"WWW-Authenticate": "Bearer"}


@pytest.mark.parametrize("key", ["First", "firs", "first1", "", "é", "fi\udce9", "first\0"])
def test_a_key_that_is_nearly_right_is_wrong(key: str) -> None:
    with pytest.raises(InvalidApiKey) as raised:
        KEYED.owner({"x-api-key": key})
    assert not key or key not in raised.value.message


def test_an_empty_key_in_the_settings_lets_nobody_in() -> None:
    guard = Guard.of([], [], [Secret("")])
    for headers in ({}, {"authorization": "Bearer "}, {"x-api-key": ""}):
        with pytest.raises(InvalidApiKey):
            guard.owner(headers)


def test_without_keys_the_owner_is_told_by_whatever_key_there_is() -> None:
    owners = [LOOPBACK.owner(headers) for headers in ({}, {"x-api-key": "a"}, {"authorization": "Bearer b"})]
    assert len(set(owners)) == 3
    assert owners[1] == LOOPBACK.owner({"authorization": "Bearer a"})


BODIES = [
    ({"content-type": "application/json"}, True),
    ({"content-type": "Application/JSON; charset=utf-8"}, True),
    ({"content-type": "application/json", "content-encoding": "identity"}, True),
    ({}, False),
    ({"content-type": "text/plain"}, False),
    ({"content-type": "text/plain; application/json"}, False),
    ({"content-type": "application/json+x"}, False),
    ({"content-type": "application/x-www-form-urlencoded"}, False),
    ({"content-type": "application/json", "content-encoding": "gzip"}, False),
    ({"content-type": "application/json", "content-encoding": "identity, gzip"}, False),
]


@pytest.mark.parametrize(("headers", "taken"), BODIES)
def test_a_body_is_plain_json(headers: dict[str, str], taken: bool) -> None:
    if taken:
        check_json(headers)
        return
    with pytest.raises(UnsupportedMediaType) as raised:
        check_json(headers)
    assert raised.value.status == 415


def test_a_key_is_a_name_only_where_it_is_demanded() -> None:
    assert KEYED.demands
    assert not LOOPBACK.demands
