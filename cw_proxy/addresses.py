"""Which addresses belong to the public internet.

In: an IP address. Out: whether a stranger may name it as a place to connect to. Refuses to know names, ports and
sockets. Python's own `is_global` changed its answers between patch versions, so the answers here are a table of ours,
after IANA's registries of special-purpose addresses.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address

_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network; 0.0.0.0 itself reaches loopback
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers; a cloud's metadata
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # public by its number, and yet the inside of every Azure machine
            "169.254.0.0/16",  # link-local; most clouds' metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments; a cloud's metadata
            "192.0.2.0/24",  # documentation
            "192.31.196.0/24",  # AS112, answered by the nearest network
            "192.52.193.0/24",  # AMT, likewise
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved; broadcast
        ),
    )
)

# All that is ever handed out. Outside of it: loopback, link-local, site-local, unique local, multicast, NAT64,
# IPv4-compatible and IPv4-translated forms, segment routing, and what is reserved.
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID, AMT, AS112, drone ids
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4, which holds an IPv4 address
            "2620:4f:8000::/48",  # AS112
            "3ffe::/16",  # 6bone, given back
            "3fff::/20",  # documentation
        ),
    )
)
_ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


def is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    # A zone names a network card of this machine.
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    return address in _GLOBAL_UNICAST and not _is_special(address)


def _is_special(address: IPv6Address) -> bool:
    # ISATAP: a tunnel to the IPv4 address in the last four bytes, within any prefix.
    return address.packed[8:12] in _ISATAP or any(address in network for network in _NOT_PUBLIC_V6)
