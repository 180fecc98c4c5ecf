"""The language of scripts: an answer, byte by byte as wanted, written as a JSON list of steps.

In: steps, as JSON values. Out: a Plan, which is either a refusal or a list of actions. Refuses to know sockets and
clocks: player.py carries a plan out.

    {"text": "..."}                          assistantResponseEvents of a few characters ("piece": n for another size)
    {"event": NAME, "payload": {...}}        one event; "body": "..." for a payload that is not JSON;
                                             "content_type": null to leave that header out
    {"tool": {"toolUseId": ID, "name": NAME}, "fragments": ["...", ...], "stop": true}
                                             a whole tool use; "stop": false leaves its last frame out
    {"exception": NAME, "payload": {...}}    an exception frame, and the end; `error` is the modeled one
    {"error": [CODE, MESSAGE]}               an error frame, and the end
    {"raw": BASE64}                          these bytes, as they are
    {"flip_crc": true}                       the next frame's checksum is wrong
    {"cut": n}                               n bytes of the next frame, then a clean end;
                                             "abort": true loses the connection instead
    {"delay": seconds}                       a pause
    {"chunk": n}                             from here on, bytes are written in pieces of n
    {"hang": true}                           nothing more until the client leaves
    {"drop": true}                           the connection is closed without an end of the body
    {"reset": true}                          the same by a TCP reset
    {"tail": false}                          no contextUsageEvent and meteringEvent at the end
    {"repeat": n, "steps": [...]}            the steps, n times
    {"status": 429, "error": NAME, "reason": ..., "message": ...}      an HTTP error instead of a stream
    {"headers": {...}}                       more headers on the answer

A script that is `[{"takes": [[...], [...]]}]` plays its takes call by call; the last one stays.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cw_proxy.emulator import frames
from cw_proxy.emulator.loose import as_list, as_object, as_text
from cw_proxy.emulator.refusal import Refusal

MAX_ACTIONS = 200_000
_PIECE = 7
_CRC_BIT = 1


class ScriptError(ValueError):
    """A step that the language does not have."""


@dataclass(frozen=True, slots=True)
class Write:
    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class ChunkSize:
    size: int


@dataclass(frozen=True, slots=True)
class Hang:
    pass


@dataclass(frozen=True, slots=True)
class Lose:
    """The connection is lost in the middle of the body."""

    reset: bool = False


Action = Write | Pause | ChunkSize | Hang | Lose


@dataclass(slots=True)
class Plan:
    """`complete` is false where the stream ends by something else than its last event: then it gets no tail."""

    actions: list[Action] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    refusal: Refusal | None = None
    complete: bool = True


def compile_script(steps: object) -> Plan:
    """Raises ScriptError, which names the step, for anything the language does not have."""
    compiler = _Compiler()
    compiler.run(steps)
    return compiler.plan


def compile_takes(script: object) -> list[Plan]:
    """What each call gets; at least one plan. Raises ScriptError."""
    alone = as_object(script[0]) if isinstance(script, list) and len(script) == 1 else {}
    takes = as_list(alone.get("takes")) or [script]
    return [compile_script(steps) for steps in takes]


class _Compiler:
    """`_flip` and `_cut` wait for the next frame."""

    def __init__(self) -> None:
        self.plan = Plan()
        self._flip = False
        self._cut: Mapping[str, Any] | None = None
        self._ended = False

    def run(self, steps: object) -> None:
        if not isinstance(steps, list):
            raise ScriptError("a script is a list of steps")
        for step in steps:
            if self._ended:
                return
            if len(self.plan.actions) > MAX_ACTIONS:
                raise ScriptError(f"a script makes at most {MAX_ACTIONS} writes")
            self._step(as_object(step))

    def _step(self, step: Mapping[str, Any]) -> None:
        handlers = [handler for key, handler in _STEPS.items() if key in step]
        if not handlers:
            raise ScriptError(f"unknown step with keys {sorted(step)}")
        try:
            handlers[0](self, step)
        except (TypeError, ValueError, KeyError, binascii.Error) as fault:
            raise ScriptError(f"step {sorted(step)}: {fault}") from fault

    def frame(self, data: bytes) -> None:
        if self._flip:
            data = data[:-1] + bytes([data[-1] ^ _CRC_BIT])
            self._flip = False
        if self._cut is not None:
            self._write_cut(data, self._cut)
        else:
            self.plan.actions.append(Write(data))

    def _write_cut(self, data: bytes, cut: Mapping[str, Any]) -> None:
        self.plan.actions.append(Write(data[: int(cut["cut"])]))
        self.end(Lose() if cut.get("abort") else None)

    def end(self, action: Action | None = None) -> None:
        """Nothing comes after this, no tail either."""
        if action is not None:
            self.plan.actions.append(action)
        self.plan.complete = False
        self._ended = True

    def events(self, events: Iterator[frames.Event]) -> None:
        for event in events:
            if self._ended:
                return
            self.frame(frames.encode(event))

    def text(self, step: Mapping[str, Any]) -> None:
        self.events(frames.text_events(as_text(step["text"]), max(1, int(step.get("piece", _PIECE)))))

    def event(self, step: Mapping[str, Any]) -> None:
        content_type = step.get("content_type", frames.JSON_TYPE)
        self.frame(frames.event_frame(as_text(step["event"]), _payload(step), content_type))

    def tool(self, step: Mapping[str, Any]) -> None:
        use = as_object(step["tool"])
        fragments = map(as_text, as_list(step.get("fragments")))
        self.events(frames.tool_events(use["toolUseId"], use["name"], fragments, bool(step.get("stop", True))))

    def exception(self, step: Mapping[str, Any]) -> None:
        self.frame(frames.exception_frame(as_text(step["exception"]), _payload(step)))
        self.end()

    def error(self, step: Mapping[str, Any]) -> None:
        code, message = step["error"]
        self.frame(frames.error_frame(code, message))
        self.end()

    def raw(self, step: Mapping[str, Any]) -> None:
        self.frame(base64.b64decode(step["raw"], validate=True))

    def status(self, step: Mapping[str, Any]) -> None:
        name, message = as_text(step.get("error")), as_text(step.get("message"))
        self.plan.refusal = Refusal(name, message, step.get("reason"), status=int(step["status"]))
        self.end()

    def repeat(self, step: Mapping[str, Any]) -> None:
        if not 0 <= int(step["repeat"]) <= MAX_ACTIONS:
            raise ScriptError(f"repeat is 0 to {MAX_ACTIONS}")
        for _ in range(int(step["repeat"])):
            self.run(step["steps"])

    def flip(self, step: Mapping[str, Any]) -> None:
        self._flip = bool(step["flip_crc"])

    def cut(self, step: Mapping[str, Any]) -> None:
        self._cut = {**step, "cut": int(step["cut"])}

    def tail(self, step: Mapping[str, Any]) -> None:
        self.plan.complete = bool(step["tail"])

    def headers(self, step: Mapping[str, Any]) -> None:
        if not isinstance(step["headers"], dict):
            raise ScriptError("headers are an object")
        self.plan.headers.update({str(name): str(value) for name, value in step["headers"].items()})

    def delay(self, step: Mapping[str, Any]) -> None:
        self.plan.actions.append(Pause(float(step["delay"])))

    def chunk(self, step: Mapping[str, Any]) -> None:
        self.plan.actions.append(ChunkSize(max(1, int(step["chunk"]))))


def _payload(step: Mapping[str, Any]) -> bytes:
    return as_text(step["body"]).encode() if "body" in step else msgspec.json.encode(step.get("payload", {}))


# A step is named by the first of these keys that it has: `status` before `error`, which both kinds carry.
_STEPS: dict[str, Callable[[_Compiler, Mapping[str, Any]], None]] = {
    "status": _Compiler.status,
    "repeat": _Compiler.repeat,
    "tool": _Compiler.tool,
    "event": _Compiler.event,
    "exception": _Compiler.exception,
    "error": _Compiler.error,
    "text": _Compiler.text,
    "raw": _Compiler.raw,
    "flip_crc": _Compiler.flip,
    "cut": _Compiler.cut,
    "delay": _Compiler.delay,
    "chunk": _Compiler.chunk,
    "hang": lambda compiler, _: compiler.end(Hang()),
    "drop": lambda compiler, _: compiler.end(Lose()),
    "reset": lambda compiler, _: compiler.end(Lose(reset=True)),
    "tail": _Compiler.tail,
    "headers": _Compiler.headers,
}
