"""`response_format` json_object and json_schema: the answer is JSON that conforms to the schema.

In: events, a check of texts. Out: the same events once the text is right, in one piece; a question for a second round.
Refuses to know how the model is told.

The text goes out as the model wrote it. One thing is taken off, and said in a Note: a code fence around the whole.
Where the model calls tools instead, what it says beside the calls is no answer; it goes into a Note as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from cw_proxy.errors import DemandUnmet, ProxyError
from cw_proxy.events import Collector, Event, Fail, Note, Reply, Text, ToolOpen
from cw_proxy.filters.aside import Aside
from cw_proxy.model import JsonAnswer, Request
from cw_proxy.structured import JsonCheck, unwrapped

CODE = "invalid_structured_output"
CORRECTION = (
    "That is not what was asked for: {fault} "
    "Answer again with the corrected JSON value alone: no other text, no code fence."
)


def json_check(asked: JsonAnswer) -> JsonCheck:
    """Raises InvalidValue for a schema that is none."""
    return JsonCheck(asked.schema, asked.param)


class JsonDemand:
    """One answer's check."""

    def __init__(self, check: JsonCheck) -> None:
        self._check = check
        self._held: list[Event] = []
        self._collector = Collector()
        self._calls = False
        self._aside = Aside()

    def feed(self, events: Sequence[Event]) -> list[Event]:
        self._collector.feed(events)
        self._held += events
        self._calls = self._calls or any(isinstance(event, ToolOpen) for event in events)
        if not self._calls:
            return []
        held, self._held = self._held, []
        return self._aside.feed(held)

    def settled(self) -> list[Event] | ProxyError:
        if self._calls:
            return []
        if self._held and isinstance(self._held[-1], Fail):
            return self._held[-1].error
        reply = self._collector.reply()
        fault = self._check.fault(reply.text)
        if fault is None:
            return self._with_text(reply.text)
        inner = unwrapped(reply.text)
        if inner is not None and self._check.fault(inner) is None:
            return self._with_text(inner, Note("unwrapped", "code fence"))
        return DemandUnmet(_unmet(reply, fault), code=CODE)

    def corrected(self, request: Request, error: ProxyError) -> Request | None:
        if not isinstance(error, DemandUnmet):
            return None
        reply = self._collector.reply()
        if reply.finish_reason != "stop":
            # Cut off, or withheld: asked again, the model would say the same.
            return None
        return request.continued(reply.text, CORRECTION.format(fault=self._check.fault(reply.text)))

    def _with_text(self, text: str, *notes: Note) -> list[Event]:
        """All that was held, with the text in one piece before the end."""
        others = [event for event in self._held if not isinstance(event, Text)]
        return [*others[:-1], *notes, Text(text), others[-1]]


def _unmet(reply: Reply, fault: str) -> str:
    if reply.finish_reason == "length":
        return f"The answer reached its limit of tokens before its JSON was whole: {fault}"
    if reply.finish_reason == "content_filter":
        return f"The service withheld a part of the answer; what is left is not the JSON asked for: {fault}"
    return f"The model did not answer with the JSON asked for: {fault}"
