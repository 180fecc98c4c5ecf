"""Rate limits: who is counted, how much is left of a window, and how that is told.

In: a client's key and address, what a counter says. Out: the counters a request goes into, headers in OpenAI's names,
the 429. Refuses to know where counters are kept, and any clock.

A window is fixed, and begins with a client's first request. Against a moving window that costs one thing: around the
border of two windows a client may send up to twice as much. It saves a stored entry for each request, it needs no
clocks that agree on several machines, and it answers "how many are left, until when" exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from math import ceil

import msgspec

from cw_proxy.errors import TooManyRequests


class Client(msgspec.Struct, frozen=True):
    """`key` is the digest of a key that the server demands, else None: a key that nobody checks can be any."""

    key: bytes | None
    address: str

    @property
    def place(self) -> str:
        """The address; of IPv6 the network, whose 2^64 addresses are one customer's."""
        try:
            address = ip_address(self.address.partition("%")[0])
        except ValueError:
            return "unknown"
        if not isinstance(address, IPv6Address):
            return str(address)
        return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))

    @property
    def identity(self) -> str:
        return f"key:{self.key.hex()[:32]}" if self.key is not None else f"address:{self.place}"


class Counter(msgspec.Struct, frozen=True):
    name: str
    limit: int


class Counted(msgspec.Struct, frozen=True):
    """A counter after this request: `used` may be beyond the limit; `reset` is in seconds from now."""

    limit: int
    used: int
    reset: float

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.used)

    @property
    def exceeded(self) -> bool:
        return self.used > self.limit

    def headers(self) -> dict[str, str]:
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": duration(self.reset),
        }


class RateLimits(msgspec.Struct, frozen=True):
    """Requests in a window for each client and for each address; 0 is no limit. `window` is in whole seconds."""

    per_client: int = 0
    per_address: int = 0
    window: int = 60

    def __bool__(self) -> bool:
        return self.per_client > 0 or self.per_address > 0

    def counters(self, client: Client) -> list[Counter]:
        counters = [Counter(client.identity, self.per_client)] if self.per_client else []
        # Of its own: who has no key is one client, and its address may be shared with some that have.
        return [*counters, Counter(f"any:{client.place}", self.per_address)] if self.per_address else counters

    def refused(self, counted: Counted) -> TooManyRequests:
        message = f"At most {counted.limit} requests are answered in {self.window} s. {_again(counted.reset)}"
        return TooManyRequests(message, retry_after=counted.reset, told=counted.headers())


def whole_seconds(seconds: float) -> int:
    """Windows are kept in whole seconds: rounded up, so that nothing is refused too late or never."""
    return max(1, ceil(seconds))


def tightest(counted: Sequence[Counted]) -> Counted:
    """What stands in the client's way, or will first; of several the one that lasts longest."""
    return min(counted, key=lambda one: (not one.exceeded, one.remaining, -one.reset))


def duration(seconds: float) -> str:
    """As OpenAI writes them: 12ms, 1s, 6m0s, 2h0m30s. Below a second in milliseconds, above it rounded up."""
    milliseconds = max(0, ceil(seconds * 1000))
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(ceil(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"


def _again(reset: float) -> str:
    return f"The next one is in {duration(reset)}."
