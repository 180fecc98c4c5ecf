"""Holding back storms: a terminal answer of the service is repeated from here, for a while (clients.md, "errors").

In: who calls (a digest of the token), the errors calls ended with, the time. Out: the same error again, raised, or
nothing. Refuses to know clocks, calls and retries.

Many agents repeat a call for a minute and more whatever the status says. An error whose `hold` is set means every
call with this token, so until it has passed none is made; then one call goes through as a probe, and the others wait
for its outcome. Another token (a new login, a renewed one) has nothing to do with it.
"""

from __future__ import annotations

import copy
from collections import OrderedDict

import msgspec

from cw_proxy.errors import ProxyError

# Seconds. The longest hold, and how long a probe may go without outcome before another is let through.
LONGEST = 60.0
PROBE = 10.0


class _Hold(msgspec.Struct):
    error: ProxyError
    until: float


class Holds:
    """The tokens that are held back, at most `capacity` (the oldest goes); `repeated` counts the answers given here."""

    def __init__(self, *, capacity: int = 1000) -> None:
        self._capacity = capacity
        self._holds: OrderedDict[bytes, _Hold] = OrderedDict()
        self.repeated = 0

    def __len__(self) -> int:
        return len(self._holds)

    def check(self, token: bytes, *, now: float) -> None:
        """Before a question is asked. Raises the error that it would end with. Once the time is over, one is let
        through, however many calls it takes."""
        hold = self._holds.get(token)
        if hold is None:
            return
        if now >= hold.until:
            hold.until = now + PROBE
            return
        self.repeated += 1
        # A copy: one exception raised at many places would collect all their tracebacks.
        raise copy.copy(hold.error)

    def failed(self, token: bytes, error: ProxyError, *, now: float) -> None:
        """A call has ended with this error."""
        if error.hold is not None:
            self._hold(token, _Hold(copy.copy(error), now + min(error.hold, LONGEST)))
        elif token in self._holds:
            # The probe says nothing about the account: the next call is one too.
            self._holds[token].until = now

    def succeeded(self, token: bytes) -> None:
        """The service has begun to answer."""
        self._holds.pop(token, None)

    def _hold(self, token: bytes, hold: _Hold) -> None:
        self._holds[token] = hold
        self._holds.move_to_end(token)
        if len(self._holds) > self._capacity:
            self._holds.popitem(last=False)
