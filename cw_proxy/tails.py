"""Did an answer end, when the service says nothing at its end? (conversion.md, "Did it finish?", rule 5.)

In: an account, and whether its answer showed tail frames (stop reason, metering, context usage). Out: None, or the
error that a missing tail means. Refuses to know frames, events and tokens.

A stream has no last frame: a clean end of the connection may be a whole answer or one that was cut between two
frames. An account that was never seen with tail frames is believed. One that has shown them is known to show them.
"""

from __future__ import annotations

from collections import OrderedDict

from cw_proxy.errors import UpstreamTruncated


class Tails:
    """The accounts that have shown tail frames, at most `capacity` (the one seen longest ago goes). `missing` counts
    the answers that ended without, whatever they were taken for."""

    def __init__(self, *, capacity: int = 1000) -> None:
        self._capacity = capacity
        self._shown: OrderedDict[str, None] = OrderedDict()
        self.missing = 0

    def __len__(self) -> int:
        return len(self._shown)

    def ended(self, account: str, *, tail: bool) -> UpstreamTruncated | None:
        """An answer has come to a clean end. `account` names who asked, never by a token: those change."""
        if tail:
            self._learn(account)
            return None
        self.missing += 1
        if account not in self._shown:
            return None
        return UpstreamTruncated("The service's answer ended without its usual last frames: it was cut off.")

    def _learn(self, account: str) -> None:
        self._shown[account] = None
        self._shown.move_to_end(account)
        if len(self._shown) > self._capacity:
            self._shown.popitem(last=False)
