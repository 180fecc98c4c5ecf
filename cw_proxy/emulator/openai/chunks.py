"""A plan of the other service's frames → the same answer as chunks of a chat completion, or as one whole.

In: a Plan, the envelope of the answer. Out: a Plan of server-sent events, or of one JSON body. Refuses to know
decisions and requests. What happens to the bytes (pauses, small pieces, a lost connection) stays as it was planned.

An answer ends with its finish reason and `[DONE]` where the other one would end with its tail; with neither where it
would be cut. A damaged frame becomes a damaged chunk.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cw_proxy.emulator.loose import Object, as_object, as_text
from cw_proxy.emulator.openai.refusal import Rejected
from cw_proxy.emulator.script import Action, Plan, Write
from cw_proxy.wire import sse
from cw_proxy.wire.eventstream import Frame, FrameDecoder

_TAIL = ("metadataEvent", "contextUsageEvent", "meteringEvent")
_REASONS = {"END_TURN": "stop", "MAX_TOKENS": "length", "TOOL_USE": "tool_calls", "CONTENT_FILTERED": "content_filter"}
_DAMAGED = b'data: {"id":"damaged","choices":[{"index":0,"delta":{"conte\n\n'
_CUT = b'data: {"id":"cut","choices":[{"ind'


@dataclass(slots=True)
class Whole:
    """An answer, folded from its chunks."""

    content: str = ""
    reasoning: str = ""
    calls: list[Object] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Object = field(default_factory=dict)
    error: Rejected | None = None


class Translation:
    """One answer's. `envelope` holds id, created and model."""

    def __init__(self, envelope: Object, include_usage: bool) -> None:
        self._envelope = envelope
        self._include_usage = include_usage
        self._indices: dict[str, int] = {}
        self._tail = False
        self._broken = False
        self._reason: str | None = None
        self.whole = Whole()

    def streamed(self, plan: Plan) -> Plan:
        actions: list[Action] = [self._chunk({"role": "assistant", "content": "", "refusal": None})]
        actions += (made for action in plan.actions for made in self._translated(action))
        if not self._broken and (plan.complete or self._tail):
            actions += self._ending()
        return Plan(actions, plan.headers, complete=False)

    # --- one frame ---

    def _translated(self, action: Action) -> Iterator[Action]:
        if not isinstance(action, Write):
            yield action
            return
        decoder = FrameDecoder()
        for frame in decoder.feed(action.data):
            yield from self._frame(frame)
        if decoder.error is not None or decoder.finish() is not None:
            self._broken = True
            # Half a frame is followed by the end; a whole one with a wrong checksum is not.
            yield Write(_CUT if len(action.data) < 30 or decoder.error is None else _DAMAGED)

    def _frame(self, frame: Frame) -> Iterator[Action]:
        headers, payload = frame
        if headers.get(":message-type") in ("exception", "error"):
            yield self._error(headers, payload)
            return
        try:
            said = as_object(msgspec.json.decode(payload))
        except msgspec.DecodeError:
            self._broken = True
            yield Write(_DAMAGED)
            return
        yield from self._event(str(headers.get(":event-type")), said)

    def _event(self, kind: str, said: Object) -> Iterator[Action]:
        if kind in _TAIL:
            self._tail = True
            self._measure(said)
        elif kind == "assistantResponseEvent":
            self.whole.content += as_text(said.get("content"))
            yield self._chunk({"content": as_text(said.get("content"))})
        elif kind == "reasoningContentEvent" and said.get("text"):
            self.whole.reasoning += as_text(said["text"])
            # OpenAI shows no thoughts in chats; the servers that do call them so.
            yield self._chunk({"reasoning_content": as_text(said["text"])})
        elif kind == "toolUseEvent":
            yield from self._use(said)

    def _use(self, said: Object) -> Iterator[Action]:
        identity = as_text(said.get("toolUseId"))
        if identity not in self._indices:
            self._indices[identity] = len(self._indices)
            function = {"name": as_text(said.get("name")), "arguments": ""}
            self.whole.calls.append({"id": identity, "type": "function", "function": {**function}})
            yield self._chunk(_calls(self._indices[identity], id=identity, type="function", function=function))
        if fragment := as_text(said.get("input")):
            self.whole.calls[self._indices[identity]]["function"]["arguments"] += fragment
            yield self._chunk(_calls(self._indices[identity], function={"arguments": fragment}))
        elif said.get("stop") and not self.whole.calls[self._indices[identity]]["function"]["arguments"]:
            self.whole.calls[self._indices[identity]]["function"]["arguments"] = "{}"
            yield self._chunk(_calls(self._indices[identity], function={"arguments": "{}"}))

    def _error(self, headers: Any, payload: bytes) -> Action:
        self._broken = True
        try:
            message = as_text(as_object(json.loads(payload)).get("message"))
        except ValueError:
            message = str(headers.get(":error-message", ""))
        name = str(headers.get(":exception-type", ""))
        code = "rate_limit_exceeded" if "throttling" in name.lower() else None
        self.whole.error = Rejected(name, message or "The server had an error.", code, 429 if code else 500)
        return Write(sse.data(self.whole.error.body()))

    def _measure(self, said: Object) -> None:
        self._reason = _REASONS.get(as_text(said.get("stopReason")), self._reason)
        if tokens := as_object(said.get("tokenUsage")):
            cached = tokens.get("cacheReadInputTokens", 0)
            prompt, completion = tokens["uncachedInputTokens"] + cached, tokens["outputTokens"]
            self.whole.usage = {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "prompt_tokens_details": {"cached_tokens": cached},
            }

    # --- chunks ---

    def _chunk(self, delta: Object, finish_reason: str | None = None) -> Action:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._written([choice], None)

    def _written(self, choices: list[Object], usage: Object | None) -> Action:
        chunk = {**self._envelope, "object": "chat.completion.chunk", "choices": choices}
        return Write(sse.data(msgspec.json.encode(chunk | ({"usage": usage} if self._include_usage else {}))))

    def _ending(self) -> list[Action]:
        self.whole.finish_reason = "tool_calls" if self._indices and self._reason in (None, "stop") else self._reason
        self.whole.finish_reason = self.whole.finish_reason or "stop"
        last = [self._written([], self.whole.usage)] if self._include_usage and self.whole.usage else []
        return [self._chunk({}, self.whole.finish_reason), *last, Write(sse.DONE)]


def _calls(index: int, **members: Any) -> Object:
    return {"tool_calls": [{"index": index, **members}]}


def whole_answer(plan: Plan, envelope: Object, lost: Callable[[Action], bool]) -> Plan:
    """The same answer in one piece; `lost` tells actions that end the connection. Raises Rejected where it failed."""
    translation = Translation(envelope, include_usage=False)
    streamed = translation.streamed(plan)
    whole = translation.whole
    if whole.error is not None:
        raise whole.error
    if whole.finish_reason is None:
        return Plan([Write(b'{"id":"cut",'), *filter(lost, streamed.actions)], plan.headers)
    message: Object = {"role": "assistant", "content": whole.content, "refusal": None}
    message |= {"reasoning_content": whole.reasoning} if whole.reasoning else {}
    message |= {"tool_calls": whole.calls, "content": whole.content or None} if whole.calls else {}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": whole.finish_reason}
    body = {**envelope, "object": "chat.completion", "choices": [choice]}
    body |= {"usage": whole.usage} if whole.usage else {}
    return Plan([Write(msgspec.json.encode(body))], plan.headers)
