"""Which addresses are public: every special network at both of its ends, its neighbours, and the disguises of IPv4."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.addresses import is_public

SPECIAL = str.split("""
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.31.196.0/24
192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4
240.0.0.0/4 168.63.129.16/32
::/128 ::1/128 ::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/32 2001:1::/32
2001:2::/48 2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16
2620:4f:8000::/48 3ffe::/16 3fff::/20 4000::/3 5f00::/16 fc00::/7 fd00:ec2::/32 fe80::/10 fec0::/10 ff00::/8
""")
PUBLIC = str.split("""
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15
168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.167.255.255
192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255
2000:: 2001:200:: 2001:db7:ffff:ffff:ffff:ffff:ffff:ffff 2001:db9:: 2003:: 2606:4700:4700::1111 2620:4f:7fff::1
2620:4f:8001:: 3ffd:: 3fff:1000:: 3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 2a00:1450:4001:81b::200e
""")

v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)
# Drawn at random, hardly any address would be special.
within_special = st.sampled_from(SPECIAL).flatmap(lambda text: st.ip_addresses(network=text))


@pytest.mark.parametrize("text", SPECIAL)
def test_a_special_network_is_not_public_from_its_first_address_to_its_last(text: str) -> None:
    network = ip_network(text)
    assert not is_public(network[0])
    assert not is_public(network[-1])


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_beside_special_networks_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@given(within_special)
def test_no_address_of_a_special_network_is_public(address: IPv4Address | IPv6Address) -> None:
    assert not is_public(address)


@given(v4 | within_special.filter(lambda address: address.version == 4))
def test_a_mapped_address_is_judged_by_the_one_within(address: IPv4Address) -> None:
    assert is_public(embedded("::ffff:0:0", address)) == is_public(address)


@given(v4)
def test_no_other_disguise_of_ipv4_is_public(address: IPv4Address) -> None:
    for prefix in ("::", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::", "2001::", "2a00::5efe:0:0", "2a00::200:5efe:0:0"):
        assert not is_public(embedded(prefix, address)), prefix
    assert not is_public(IPv6Address(int(IPv6Address("2002::")) + (int(address) << 80)))


@given(v4 | v6 | within_special)
def test_never_more_is_public_than_python_says(address: IPv4Address | IPv6Address) -> None:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return  # versions of Python differ
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


def test_a_zone_is_never_public() -> None:
    assert not is_public(IPv6Address("fe80::1%eth0"))
    assert not is_public(IPv6Address("2606:4700:4700::1111%eth0"))
    assert not is_public(IPv6Address("::ffff:8.8.8.8%1"))


@pytest.mark.parametrize(
    "text", ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192"]
)
def test_metadata_services_are_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


def test_most_of_ipv4_is_public() -> None:
    """A slip in the table that refuses half of the world would be safe, and useless."""
    refused = sum(IPv4Network(text).num_addresses for text in SPECIAL if "." in text)
    assert refused < 0.15 * 2**32


def embedded(prefix: str, address: IPv4Address) -> IPv6Address:
    return IPv6Address(int(IPv6Address(prefix)) + int(address))
