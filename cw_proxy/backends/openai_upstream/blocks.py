"""Text, thoughts and calls in legal order: one call is open at a time, whatever order their pieces come in.

In: what one chunk says. Out: events. Refuses to know frames, usage and how an answer ends.

A call has no last piece of its own. It is over when its arguments are a whole JSON object and something else comes;
until then what belongs to others waits. A call that never becomes whole is never shown as one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from cw_proxy.backends.openai_upstream import shapes
from cw_proxy.errors import UpstreamProtocol, UpstreamTruncated
from cw_proxy.events import Event, Text, Thought, ToolClose, ToolInput, ToolOpen
from cw_proxy.wire.lenient import is_object, text_of
from cw_proxy.wire.surrogates import Pieces, whole

_MOST_HELD = 16 * 1024 * 1024


class Blocks:
    """One answer's. `made_id` names the calls to which the server gives no id, by their number."""

    def __init__(self, made_id: Callable[[int], str]) -> None:
        self._made_id = made_id
        # In the order of their beginnings; the first is the open call, if one is open.
        self._waiting: deque[_Call | Text | Thought] = deque()
        self._calls: dict[int, _Call] = {}  # by the server's index, or a negative number of ours
        self._last: _Call | None = None
        self._ids: set[str] = set()
        self._number = 0
        self._held = 0
        self.called = False

    def say(self, said: Text | Thought, events: list[Event]) -> None:
        if self._waiting:
            self._settle(events)
        if self._waiting:
            self._hold(len(said.text))
            self._waiting.append(said)
        else:
            events.append(said)

    def call(self, piece: shapes.Call, events: list[Event]) -> None:
        """Raises UpstreamProtocol."""
        call = self._known(piece) or self._new(piece)
        self._last = call
        self._hold(call.take(piece))
        if self._waiting and self._waiting[0] is not call:
            self._settle(events)
        if self._waiting and self._waiting[0] is call:
            self._show(call, events)

    def close(self, events: list[Event]) -> None:
        """The answer has ended. Raises UpstreamTruncated for a call that is not whole."""
        while self._waiting:
            first = self._waiting.popleft()
            if isinstance(first, _Call):
                self._show(first, events)
                self._shut(first, events)
            else:
                events.append(first)

    # --- which call a piece belongs to ---

    def _known(self, piece: shapes.Call) -> _Call | None:
        if piece.index is not None:
            found = self._calls.get(piece.index)
        elif piece.id:
            found = next((call for call in self._calls.values() if call.id == piece.id), None)
        else:
            found = self._last
        return None if found is None or _another(found, piece) else found

    def _new(self, piece: shapes.Call) -> _Call:
        self._number += 1
        call = _Call(self._number)
        self._calls[-self._number if piece.index is None else piece.index] = call
        self._waiting.append(call)
        self.called = True
        return call

    # --- one at a time ---

    def _settle(self, events: list[Event]) -> None:
        """Ends what is whole, from the first on."""
        while self._waiting:
            first = self._waiting[0]
            if isinstance(first, _Call):
                self._show(first, events)
                if not first.complete:
                    return
                self._shut(first, events)
            else:
                events.append(first)
            self._waiting.popleft()

    def _show(self, call: _Call, events: list[Event]) -> None:
        if not call.opened:
            if call.name is None:
                return
            call.opened = True
            events.append(ToolOpen(self._identity(call), call.name))
        fresh, call.shown = call.fragments[call.shown :], len(call.fragments)
        events += [ToolInput(fragment) for fragment in fresh]

    def _shut(self, call: _Call, events: list[Event]) -> None:
        if not call.opened:
            raise UpstreamProtocol("The OpenAI upstream sent a tool call without a name.")
        if call.fragments and not call.complete:
            raise UpstreamTruncated("The OpenAI upstream ended a tool call whose arguments are not a JSON object.")
        call.closed = True
        events.append(ToolClose())

    def _identity(self, call: _Call) -> str:
        """Two calls of one answer never share an id, whatever the server says."""
        identity = whole(call.id or "")
        if not identity or identity in self._ids:
            identity = self._made_id(call.number)
        self._ids.add(identity)
        return identity

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > _MOST_HELD:
            raise UpstreamProtocol(f"The OpenAI upstream sent more than {_MOST_HELD} characters of tool calls.")


class _Call:
    __slots__ = ("_checked", "_complete", "_pieces", "closed", "fragments", "id", "name", "number", "opened", "shown")

    def __init__(self, number: int) -> None:
        self.number = number
        self.id: str | None = None
        self.name: str | None = None
        self.fragments: list[str] = []
        self.shown = 0
        self.opened = False
        self.closed = False
        self._pieces = Pieces()
        self._checked = 0
        self._complete = False

    def take(self, piece: shapes.Call) -> int:
        """How many characters it brought. Some servers repeat id and name: the first ones count."""
        self.id = self.id or piece.id
        function = piece.function or shapes.Function()
        if function.name and self.name is None:
            self.name = whole(function.name)
        fragment = function.arguments if isinstance(function.arguments, str) else text_of(function.arguments)
        if self._pieces.half or not fragment.isascii():
            fragment = self._pieces.join(fragment)
        if not self.fragments:
            # Blanks alone are no arguments.
            fragment = fragment.lstrip()
        if self.closed and fragment.strip():
            raise UpstreamProtocol("The OpenAI upstream went on with a tool call that was whole.")
        if fragment and not self.closed:
            self.fragments.append(fragment)
        return len(fragment)

    @property
    def complete(self) -> bool:
        """Whether the arguments are a whole object: then nothing but blanks can follow."""
        if self._checked != len(self.fragments):
            self._checked = len(self.fragments)
            last = self.fragments[-1].rstrip()
            self._complete = last[-1:] in ("}", "") and is_object("".join(self.fragments))
        return self._complete


def _another(found: _Call, piece: shapes.Call) -> bool:
    """Whether a call that seems to go on is a new one: some servers give every call the same index, or none."""
    function = piece.function or shapes.Function()
    if not function.name:
        return False
    if piece.id and found.id:
        return piece.id != found.id
    return bool(function.arguments) and found.complete
