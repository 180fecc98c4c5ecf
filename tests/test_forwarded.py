"""Who is believed about where a request came from: trusted proxies, from the right, and nobody else."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.forwarded import address_of, client_address, networks

TRUSTED = networks(["10.0.0.0/8", "127.0.0.1", "fd00::/8"])
PROXY, STRANGER, CLIENT = "10.0.0.1", "198.51.100.7", "203.0.113.9"

CASES: list[tuple[str, str, list[str], str]] = [
    ("no header", PROXY, [], PROXY),
    ("an empty header", PROXY, [""], PROXY),
    ("one proxy", PROXY, [CLIENT], CLIENT),
    ("two proxies", PROXY, [f"{CLIENT}, 10.9.9.9"], CLIENT),
    ("two headers", PROXY, [CLIENT, "10.9.9.9"], CLIENT),
    ("what the client wrote is left alone", PROXY, [f"1.1.1.1, {CLIENT}"], CLIENT),
    ("even if it claims to be a proxy", PROXY, [f"10.0.0.66, {CLIENT}"], CLIENT),
    ("and even if it is garbage", PROXY, [f"<script>, {CLIENT}"], CLIENT),
    ("only proxies: the first of them", PROXY, ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
    ("a stranger is not believed", STRANGER, [CLIENT], STRANGER),
    ("a proxy over IPv6", "fd00::1", ["2001:db8::9"], "2001:db8::9"),
    ("brackets", PROXY, ["[2001:db8::9]"], "2001:db8::9"),
    ("brackets and a port", PROXY, ["[2001:DB8::9]:4711"], "2001:db8::9"),
    ("a port", PROXY, [f"{CLIENT}:4711"], CLIENT),
    ("mapped addresses", "::ffff:10.0.0.1", [f"::ffff:{CLIENT}"], CLIENT),
    ("spaces", PROXY, [f" \t{CLIENT} \t"], CLIENT),
    ("a zone", "fe80::1%eth0", [CLIENT], "fe80::1"),
    ("garbage", PROXY, ["unknown"], PROXY),
    ("garbage at the right", PROXY, [f"{CLIENT}, unknown"], PROXY),
    ("garbage behind a proxy", PROXY, [f"{CLIENT}, unknown, 10.0.0.2"], PROXY),
    ("a name", PROXY, ["localhost"], PROXY),
    ("nothing between commas", PROXY, [f"{CLIENT},"], PROXY),
    ("a number is no address", PROXY, ["3405803785"], PROXY),
    ("a socket of this machine", "", [CLIENT], CLIENT),
    ("the same without a header", "", [], "127.0.0.1"),
    ("a peer that is none", "nonsense", [CLIENT], "nonsense"),
]


@pytest.mark.parametrize(("what", "peer", "forwarded", "client"), CASES, ids=[case[0] for case in CASES])
def test_where_a_request_came_from(what: str, peer: str, forwarded: list[str], client: str) -> None:
    assert client_address(peer, forwarded, TRUSTED) == client


@given(st.text(), st.lists(st.text(), max_size=3))
def test_without_trusted_proxies_nothing_that_is_sent_matters(peer: str, forwarded: list[str]) -> None:
    assert client_address(peer, forwarded, ()) == client_address(peer, [], ())


@given(st.lists(st.text(), max_size=3), st.ip_addresses())
def test_what_stands_left_of_the_client_changes_nothing(before: list[str], client: object) -> None:
    """Whatever the client sends in the header, its proxy adds the true address behind it."""
    alone, spoofed = (client_address(PROXY, [*sent, str(client)], TRUSTED) for sent in ([], before))
    assert spoofed == alone or _trusted(str(client))


def _trusted(address: str) -> bool:
    found = address_of(address)
    return found is not None and any(found in network for network in TRUSTED)


@given(st.ip_addresses(), st.none() | st.integers(0, 65535))
def test_every_way_to_write_an_address_is_read(address: object, port: int | None) -> None:
    plain = str(address)
    mapped = getattr(ip_address(plain), "ipv4_mapped", None)
    written = f"[{plain}]" if ":" in plain else plain
    assert address_of(plain) == address_of(written if port is None else f"{written}:{port}")
    assert address_of(plain) == (mapped or address)


@given(st.text())
def test_any_text_is_an_address_or_none(entry: str) -> None:
    found = address_of(entry)
    assert found is None or address_of(str(found)) == found


def test_a_huge_header_is_not_walked_through() -> None:
    assert client_address(PROXY, ["10.0.0.2," * 100_000 + CLIENT], TRUSTED) == CLIENT
    assert client_address(PROXY, ["10.0.0.2," * 100_000 + "10.0.0.2"], TRUSTED) == "10.0.0.2"


@pytest.mark.parametrize("written", ["10.0.0.1/8", "nonsense", "10.0.0.0/33", "", "*"])
def test_what_is_no_network(written: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        networks([written])
