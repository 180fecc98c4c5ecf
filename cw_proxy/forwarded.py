"""Where a request came from, when reverse proxies stand between.

In: the peer's address, the values of X-Forwarded-For, the networks whose proxies are trusted. Out: the client's
address. Refuses to know sockets and headers of other kinds.

Each proxy adds the address it was called from at the right. What stands left of the first stranger was written by that
stranger, and may be anything: so one reads from the right, and only as long as trusted proxies wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# More is no chain of proxies.
_MOST = 32
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::[0-9]{1,5})?")


def networks(written: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDRs, such as 10.0.0.0/8. Raises ValueError."""
    return tuple(ip_network(one) for one in written)


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The right-most address that no trusted proxy has; the peer's, where that is no trusted proxy, or where what it
    passed on is no list of addresses. A peer without an address has come by a socket of this machine: loopback."""
    peer = peer or "127.0.0.1"
    # Most servers trust nobody, and every request comes by here.
    found = address_of(peer) if trusted else None
    if found is None:
        return peer
    client = found
    if _within(found, trusted):
        for entry in _from_the_right(forwarded):
            address = address_of(entry)
            if address is None:
                return str(found)
            client = address
            if not _within(address, trusted):
                break
    return str(client)


def address_of(entry: str) -> Address | None:
    """Of one entry, with or without brackets and a port; None for all else."""
    entry = entry.strip(" \t")
    bare = _WITH_PORT.fullmatch(entry)
    try:
        # A zone is a name on somebody else's machine.
        address = ip_address((bare[1] or bare[2]) if bare else entry.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _from_the_right(values: Sequence[str]) -> Iterator[str]:
    """Several headers of the name are one list, in their order."""
    entries = ",".join(values).rsplit(",", _MOST)
    yield from reversed(entries[-_MOST:] if values else [])


def _within(address: Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
