"""A small API for pages of one's own: `POST /api/completions` and `/api/completions/stream` (transports.md §3).

In: a JSON body; events. Out: an Ask; one object, or events `{"content": …}` and `[DONE]`. Refuses to know transports
and backends.

Its readers split what they receive on blank lines and parse each `data:` line by itself, so an event is written whole,
nothing but `data:` lines and comments in blocks of their own stands in a stream, and every event but an error's has
`content`. Nothing is silently dropped: what is not known here is refused or named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from cw_proxy import body
from cw_proxy.errors import InvalidValue, ProxyError, UnsupportedParameter
from cw_proxy.events import End, Event, Fail, Reply, Text
from cw_proxy.extension import extension_of, usage_of
from cw_proxy.filters.stop import read_sequences
from cw_proxy.interfaces import DEFAULTS, NOBODY, Ask, Binding, Caller, Encoder, ErrorReply, Http, Options, Stamp
from cw_proxy.model import Message, Request, Role, TextPart
from cw_proxy.public_errors import public
from cw_proxy.usage import count, reply_tally
from cw_proxy.wire import sse

PATH = "/api/completions"
STREAM = f"{PATH}/stream"
MAX_MESSAGES = 10_000
MAX_TEMPERATURE = 2.0

# Accepted because clients send them; a backend may pass them on.
OPTIONS = ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "user")
# Only POST /v1/chat/completions has them.
_ELSEWHERE = ("tools", "tool_choice", "functions", "function_call", "response_format", "logprobs")
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class _Body(msgspec.Struct):
    messages: list[_Message]
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    user: str | None = None
    stream: bool | None = None
    n: int | None = None
    tools: Any = None
    tool_choice: Any = None
    functions: Any = None
    function_call: Any = None
    response_format: Any = None
    logprobs: Any = None


_body = msgspec.json.Decoder(_Body)
_json = msgspec.json.Encoder().encode


class SimpleApi:
    name = "simple_api"
    bindings: Sequence[Binding] = (Http("POST", PATH), Http("POST", STREAM))

    def __init__(self, options: Options = DEFAULTS) -> None:
        self._options = options

    def session(self, caller: Caller = NOBODY) -> SimpleSession:
        return SimpleSession(self._options.default_model, caller.path == STREAM)

    def error(self, error: ProxyError) -> ErrorReply:
        error = public(error)
        return ErrorReply(error.status, error.headers(), error.body())


class SimpleSession:
    def __init__(self, default_model: str, stream: bool) -> None:
        self._default_model = default_model
        self._stream = stream

    def receive(self, frame: bytes) -> Sequence[Ask]:
        said = body.parse(frame, _body)
        if said.stream is not None and said.stream != self._stream:
            raise InvalidValue(f"Streams are at {STREAM}, whole answers at {PATH}.", param="stream")
        return [SimpleAsk(_request(said, self._default_model), self._stream)]


def _request(said: _Body, default_model: str) -> Request:
    _refuse_unsupported(said)
    if not 1 <= len(said.messages) <= MAX_MESSAGES:
        raise InvalidValue(f"There are 1 to {MAX_MESSAGES} messages.", param="messages")
    if said.temperature is not None and not 0 <= said.temperature <= MAX_TEMPERATURE:
        raise InvalidValue(f"This is between 0 and {MAX_TEMPERATURE:g}.", param="temperature")
    if said.max_tokens is not None and said.max_tokens < 1:
        raise InvalidValue("An answer has at least one token.", param="max_tokens")
    return Request(
        model=said.model or default_model,
        messages=tuple(Message(_ROLES[one.role], (TextPart(one.content),)) for one in said.messages),
        stop=read_sequences(said.stop),
        max_tokens=said.max_tokens,
        options={name: value for name in OPTIONS if (value := getattr(said, name)) is not None},
    )


def _refuse_unsupported(said: _Body) -> None:
    if said.n not in (None, 1):
        raise UnsupportedParameter("There is one answer to a question here.", param="n")
    for param in _ELSEWHERE:
        if getattr(said, param):
            raise UnsupportedParameter(f"{param!r} is not supported here: POST /v1/chat/completions.", param=param)


class SimpleAsk(msgspec.Struct, frozen=True):
    request: Request
    stream: bool

    def encoder(self, stamp: Stamp) -> Encoder:
        return ContentEncoder()

    def render(self, replies: Sequence[Reply], stamp: Stamp) -> bytes:
        [reply] = replies
        answer = {
            "id": f"cmpl-{stamp.new_id()}",
            "model": self.request.model,
            "content": reply.text,
            "finish_reason": _reason(reply.finish_reason),
            "usage": usage_of(count(self.request, reply.usage, reply_tally(reply))),
        }
        if extension := extension_of([reply.usage], reply.notes):
            answer["x_cw"] = extension
        return _json(answer)


class ContentEncoder:
    """Events → `{"content": …}`. A Fail yields an error event and nothing after it, [DONE] neither."""

    ended = False
    ping = sse.PING

    def feed(self, events: Sequence[Event]) -> bytes:
        return b"".join(map(self._frame, events))

    def _frame(self, event: Event) -> bytes:
        match event:
            case Text() if event.text:
                return sse.data(_json({"content": event.text}))
            case End():
                self.ended = True
                return _last(_reason(event.finish_reason)) + sse.DONE
            case Fail():
                self.ended = True
                return sse.data(public(event.error).body())
            case _:
                return b""


def _last(reason: str) -> bytes:
    """Why the text stops, where it is not simply at its end."""
    return b"" if reason == "stop" else sse.data(_json({"content": "", "finish_reason": reason}))


def _reason(finish_reason: str) -> str:
    # There are no calls here.
    return "stop" if finish_reason == "tool_calls" else finish_reason
