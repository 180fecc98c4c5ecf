"""The answer's tool calls as the client knows its tools: names mapped back, calls that nobody may make left out.

In: events of the reply decoder. Out: the same, with the client's names. Refuses to know bytes and frames. It stands
between only where something is to be mapped, so that every other answer costs nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from cw_proxy.backends.codewhisperer.offer import Naming
from cw_proxy.events import End, Event, ToolClose, ToolInput, ToolOpen
from cw_proxy.interfaces import Decoder

# Values too are matched, so that none of their signs is taken for the beginning of a key.
_STRING = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")(\s*:)?')


def restoring(decoder: Decoder, names: Naming) -> Decoder:
    if names.silent:
        return SilencedCalls(decoder)
    if names.properties or names.tools.changed():
        return RestoredCalls(decoder, names)
    return decoder


class _Mapped:
    """A decoder whose events go through `_map`."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    @property
    def tail(self) -> bool:
        return self._decoder.tail

    def feed(self, data: bytes) -> list[Event]:
        return self._map(self._decoder.feed(data))

    def finish(self) -> list[Event]:
        return self._map(self._decoder.finish())

    def _map(self, events: list[Event]) -> list[Event]:
        raise NotImplementedError


class RestoredCalls(_Mapped):
    """Arguments are held back until they are whole only for a tool of which some property has another name."""

    def __init__(self, decoder: Decoder, names: Naming) -> None:
        super().__init__(decoder)
        self._names = names.tools.changed()
        self._properties = {
            tool: {upstream: name for name, upstream in properties.items()}
            for tool, properties in names.properties.items()
        }
        self._held: list[str] | None = None
        self._changed: dict[str, str] = {}

    def _map(self, events: list[Event]) -> list[Event]:
        restored: list[Event] = []
        for event in events:
            match event:
                case ToolOpen():
                    self._changed = self._properties.get(event.name, {})
                    self._held = [] if self._changed else None
                    restored.append(ToolOpen(event.id, self._names.get(event.name, event.name)))
                case ToolInput() if self._held is not None:
                    self._held.append(event.fragment)
                case ToolClose() if self._held:
                    restored += [ToolInput(_with_names("".join(self._held), self._changed)), event]
                    self._held = None
                case _:
                    restored.append(event)
        return restored


def _with_names(arguments: str, names: Mapping[str, str]) -> str:
    """Keys replaced in the text itself: numbers and blanks stay as the model wrote them."""

    def restored(found: re.Match[str]) -> str:
        text, colon = found.groups()
        name = names.get(json.loads(text)) if colon else None
        return found[0] if name is None else json.dumps(name, ensure_ascii=False) + colon

    return _STRING.sub(restored, arguments)


class SilencedCalls(_Mapped):
    """Nothing was offered, so nothing can be called: not even a tool that only the history names (rule 6)."""

    def _map(self, events: list[Event]) -> list[Event]:
        silenced: list[Event] = []
        for event in events:
            if isinstance(event, End) and event.finish_reason == "tool_calls":
                silenced.append(End("stop"))
            elif not isinstance(event, ToolOpen | ToolInput | ToolClose):
                silenced.append(event)
        return silenced
