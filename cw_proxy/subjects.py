"""Which protocol the body of a message belongs to, where no path says it: the one whose member it has.

In: the protocols, bodies. Out: a protocol, and whether a stream is wanted. Refuses to know what else bodies hold.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cw_proxy.body import parse
from cw_proxy.errors import InvalidJson, InvalidValue
from cw_proxy.interfaces import ClientProtocol, Subject

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Subjects:
    """The protocols that bind a Subject; the first that binds a member has it."""

    def __init__(self, protocols: Iterable[ClientProtocol]) -> None:
        self._by_member: dict[str | None, ClientProtocol] = {}
        for protocol in protocols:
            for binding in protocol.bindings:
                if isinstance(binding, Subject):
                    self._by_member.setdefault(binding.member, protocol)

    def of(self, body: bytes) -> tuple[ClientProtocol, bool]:
        """A stream also where the body will be refused: a refusal ends as the answer was to end."""
        found = _members_of(body)
        member = next((name for name in self._by_member if name in found), None)
        streamed = member is not None and bytes(found.get("stream", b"")).strip() == b"true"
        return self._by_member[member], streamed


def _members_of(body: bytes) -> dict[str, msgspec.Raw]:
    if body.lstrip()[:1] != b"{":
        return {}
    try:
        return parse(body, _members)
    except (InvalidJson, InvalidValue):
        return {}
