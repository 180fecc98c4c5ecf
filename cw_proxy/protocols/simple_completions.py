"""OpenAI's older completions: `POST /v1/completions`, a prompt without roles.

In: a JSON body; events. Out: an Ask; `text_completion` chunks or a whole one. Refuses to know transports and backends.

The prompt becomes one user turn. There are no tools to offer, and no place for reasoning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from cw_proxy import body
from cw_proxy.errors import InvalidValue, ProxyError, UnsupportedParameter
from cw_proxy.events import (
    Begin,
    Choice,
    End,
    Event,
    Fail,
    Note,
    Reply,
    Text,
    Thought,
    ToolClose,
    ToolInput,
    ToolOpen,
    Usage,
    choice_of,
)
from cw_proxy.extension import extension_of, usage_of
from cw_proxy.filters.stop import read_sequences
from cw_proxy.interfaces import NOBODY, Ask, Binding, Caller, Encoder, ErrorReply, Http, Stamp, Subject
from cw_proxy.model import Message, Request, TextPart
from cw_proxy.usage import AnswerTally, count, reply_tally, together
from cw_proxy.wire import sse

# Accepted because clients send them; a backend may pass them on.
OPTIONS = (
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
)


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: str
    prompt: str | list[Any]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None


_body = msgspec.json.Decoder(_Body)
_json = msgspec.json.Encoder().encode


class SimpleCompletions:
    name = "simple_completions"
    bindings: Sequence[Binding] = (Http("POST", "/v1/completions"), Subject("prompt"))

    def session(self, caller: Caller = NOBODY) -> CompletionSession:
        return CompletionSession()

    def error(self, error: ProxyError) -> ErrorReply:
        return ErrorReply(error.status, error.headers(), error.body())


class CompletionSession:
    def receive(self, frame: bytes) -> Sequence[Ask]:
        return [_ask(body.parse(frame, _body))]


class CompletionAsk(msgspec.Struct, frozen=True):
    request: Request
    stream: bool
    include_usage: bool

    def encoder(self, stamp: Stamp) -> Encoder:
        return CompletionEncoder(self.request, self.include_usage, stamp)

    def render(self, replies: Sequence[Reply], stamp: Stamp) -> bytes:
        tokens = together([count(self.request, reply.usage, reply_tally(reply)) for reply in replies])
        completion = {
            **_envelope(self.request, stamp),
            "choices": [_choice(at, reply.text, _reason(reply.finish_reason)) for at, reply in enumerate(replies)],
            "usage": usage_of(tokens),
        }
        notes = [note for reply in replies for note in reply.notes]
        if extension := extension_of([reply.usage for reply in replies], notes):
            completion["x_cw"] = extension
        return _json(completion)


# --- the question -----------------------------------------------------------------------------------------


def _ask(said: _Body) -> CompletionAsk:
    _refuse_unsupported(said)
    request = Request(
        model=said.model,
        messages=(Message("user", (TextPart(_prompt(said.prompt)),)),),
        stop=read_sequences(said.stop),
        max_tokens=_positive("max_tokens", said.max_tokens),
        choices=_positive("n", said.n) or 1,
        options={name: value for name in OPTIONS if (value := getattr(said, name)) is not None},
    )
    include_usage = bool(said.stream_options and said.stream_options.include_usage)
    return CompletionAsk(request, bool(said.stream), include_usage)


def _refuse_unsupported(said: _Body) -> None:
    refused = {
        "suffix": bool(said.suffix),
        "echo": bool(said.echo),
        "logprobs": said.logprobs is not None,
        # Writing more answers than are sent would cost what nobody asked to pay.
        "best_of": said.best_of not in (None, said.n or 1),
    }
    for param, asked in refused.items():
        if asked:
            raise UnsupportedParameter(f"This value of {param!r} is not supported here.", param=param)


def _positive(param: str, said: int | None) -> int | None:
    if said is not None and said < 1:
        raise InvalidValue("This is at least 1.", param=param)
    return said


def _prompt(said: str | list[Any]) -> str:
    if isinstance(said, list):
        if len(said) != 1 or not isinstance(said[0], str):
            raise UnsupportedParameter("Send one prompt, as a text: no tokens, and not several.", param="prompt")
        said = said[0]
    if not said:
        raise InvalidValue("The prompt is empty.", param="prompt")
    return said


# --- the answer -------------------------------------------------------------------------------------------


class CompletionEncoder:
    """Events → `text_completion` frames. A Fail yields an error frame and nothing after it, [DONE] neither."""

    ended = False
    ping = sse.PING

    def __init__(self, request: Request, include_usage: bool, stamp: Stamp) -> None:
        self._request = request
        self._include_usage = include_usage
        self._head = _json(_envelope(request, stamp))[:-1]
        self._tail = b',"usage":null}' if include_usage else b"}"
        self._said = [AnswerTally() for _ in range(request.choices)]
        self._usages = [Usage()] * request.choices
        self._notes: list[Note] = []
        self._open = request.choices

    def feed(self, events: Sequence[Event]) -> bytes:
        at = choice_of(events)
        return b"".join(self._frame(event, at) for event in events)

    def _frame(self, event: Event, at: int) -> bytes:
        # Thoughts and calls have no place here; they were written all the same, and count.
        self._said[at].feed(event)
        match event:
            case Text():
                return self._chunk(_choice(at, event.text, None))
            case Usage():
                self._usages[at] = self._usages[at].updated(event)
                return b""
            case Note():
                self._notes.append(event)
                return b""
            case Begin() | Thought() | ToolOpen() | ToolInput() | ToolClose() | Choice():
                return b""
            case End():
                return self._end(event, at)
            case Fail():
                self.ended = True
                return sse.data(event.error.body())
            case _:
                assert_never(event)

    def _chunk(self, choice: dict[str, Any], extra: bytes = b"") -> bytes:
        return sse.data(self._head + b',"choices":[' + _json(choice) + b"]" + extra + self._tail)

    def _end(self, end: End, at: int) -> bytes:
        choice = _choice(at, "", _reason(end.finish_reason))
        self._open -= 1
        if self._open:
            return self._chunk(choice)
        self.ended = True
        extension = extension_of(self._usages, self._notes)
        extra = b',"x_cw":' + _json(extension) if extension else b""
        if not self._include_usage:
            return self._chunk(choice, extra) + sse.DONE
        pairs = zip(self._usages, self._said, strict=True)
        tokens = together([count(self._request, usage, said) for usage, said in pairs])
        last = self._head + b',"choices":[],"usage":' + _json(usage_of(tokens)) + extra + b"}"
        return self._chunk(choice) + sse.data(last) + sse.DONE


def _envelope(request: Request, stamp: Stamp) -> dict[str, Any]:
    return {"id": f"cmpl-{stamp.new_id()}", "object": "text_completion", "created": stamp.now, "model": request.model}


def _choice(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}


def _reason(finish_reason: str) -> str:
    # This API knows no calls.
    return "stop" if finish_reason == "tool_calls" else finish_reason
