"""OpenAI Chat Completions: `POST /v1/chat/completions` (conversion.md, "Parameters" and "Answer").

In: a JSON body; events. Out: an Ask; chunks or a whole completion. Refuses to know transports and backends.

Nothing is silently dropped: a parameter is used, or named in `Request.ignored`, or refused with its path.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from cw_proxy import body
from cw_proxy.errors import InvalidValue, ProxyError, UnsupportedParameter
from cw_proxy.events import (
    Begin,
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
)
from cw_proxy.interfaces import Ask, Binding, Encoder, ErrorReply, Http, Stamp
from cw_proxy.model import Message, Request, Role, TextPart
from cw_proxy.usage import TokenCount, count, reply_characters
from cw_proxy.wire import sse

# Accepted because clients send them; the service has nothing to do with them.
IGNORED = (
    "temperature",
    "top_p",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
    "metadata",
    "store",
    "service_tier",
    "safety_identifier",
    "verbosity",
    "prediction",
    "prompt_cache_retention",
    "max_tokens",
    "max_completion_tokens",
    "reasoning_effort",
    "response_format",
    "parallel_tool_calls",
    "tool_choice",
)
_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None


class _Message(msgspec.Struct):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: list[Any] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    prompt_cache_key: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Any = None
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    verbosity: Any = None
    prediction: Any = None
    prompt_cache_retention: Any = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    reasoning_effort: Any = None
    response_format: Any = None
    parallel_tool_calls: bool | None = None
    tool_choice: Any = None


_body = msgspec.json.Decoder(_Body)
_json = msgspec.json.Encoder().encode


class OpenAIChat:
    name = "openai_chat"
    bindings: Sequence[Binding] = (Http("POST", "/v1/chat/completions"),)

    def session(self) -> ChatSession:
        return ChatSession()

    def error(self, error: ProxyError) -> ErrorReply:
        return ErrorReply(error.status, error.headers(), error.body())


class ChatSession:
    def receive(self, frame: bytes) -> Sequence[Ask]:
        return [_ask(body.parse(frame, _body))]


class ChatAsk(msgspec.Struct, frozen=True):
    request: Request
    stream: bool
    include_usage: bool

    def encoder(self, stamp: Stamp) -> Encoder:
        return ChunkEncoder(self.request, self.include_usage, stamp)

    def render(self, reply: Reply, stamp: Stamp) -> bytes:
        return _completion(self.request, reply, stamp)


# --- the question -----------------------------------------------------------------------------------------


def _ask(said: _Body) -> ChatAsk:
    _refuse_unsupported(said)
    if not said.messages:
        raise InvalidValue("There must be at least one message.", param="messages")
    request = Request(
        model=said.model,
        messages=tuple(_message(message, f"messages[{at}]") for at, message in enumerate(said.messages)),
        stop=_stop(said.stop),
        thread=said.prompt_cache_key,
        ignored=tuple(name for name in IGNORED if getattr(said, name) is not None),
    )
    include_usage = bool(said.stream_options and said.stream_options.include_usage)
    return ChatAsk(request, bool(said.stream), include_usage)


def _refuse_unsupported(said: _Body) -> None:
    refused = {
        "n": said.n not in (None, 1),
        "logprobs": bool(said.logprobs),
        "top_logprobs": bool(said.top_logprobs),
        "modalities": said.modalities not in (None, [], ["text"]),
        "audio": said.audio is not None,
        "tools": bool(said.tools),
        "functions": bool(said.functions),
    }
    for param, asked in refused.items():
        if asked:
            raise UnsupportedParameter(f"This value of {param!r} is not supported here.", param=param)


def _stop(said: str | list[str] | None) -> tuple[str, ...]:
    sequences = (said,) if isinstance(said, str) else tuple(said or ())
    if len(sequences) > 4:
        raise InvalidValue("At most 4 stop sequences are allowed.", param="stop")
    # An empty one would stop every answer before its first letter.
    return tuple(sequence for sequence in sequences if sequence)


def _message(said: _Message, path: str) -> Message:
    role = _ROLES.get(said.role)
    if role is None or said.tool_calls:
        param, what = (f"{path}.role", repr(said.role[:40])) if role is None else (f"{path}.tool_calls", "tool_calls")
        raise InvalidValue(f"{what} is not supported here; roles are {', '.join(_ROLES)}.", param=param)
    return Message(role, tuple(_parts(said, path)))


def _parts(said: _Message, path: str) -> list[TextPart]:
    if said.content is None:
        # Assistant turns come with null; anyone else has to say something.
        if said.role != "assistant":
            raise InvalidValue("The message has no content.", param=f"{path}.content")
        return []
    if isinstance(said.content, str):
        return [TextPart(said.content)]
    return [_text_part(part, f"{path}.content[{at}]") for at, part in enumerate(said.content)]


def _text_part(part: _Part, path: str) -> TextPart:
    if part.type in ("text", "input_text", "output_text") and part.text is not None:
        return TextPart(part.text)
    if part.type == "refusal" and part.refusal is not None:
        return TextPart(part.refusal)
    raise InvalidValue(f"Content parts of type {part.type[:40]!r} are not supported here.", param=f"{path}.type")


# --- the streamed answer ----------------------------------------------------------------------------------


class ChunkEncoder:
    """Events → `chat.completion.chunk` frames.

    All chunks of one answer share their envelope, so it is built once and only the delta's text is escaped. A Fail
    yields an error frame and nothing after it: no finish_reason and no [DONE], else the SDKs see a clean end.
    """

    def __init__(self, request: Request, include_usage: bool, stamp: Stamp) -> None:
        self._request = request
        self._include_usage = include_usage
        self._head = _json(_envelope("chat.completion.chunk", request, stamp))[:-1]
        # Usage comes once, at the end, if asked for; then every other chunk says null.
        self._tail = b',"usage":null}' if include_usage else b"}"
        self._before = b"data: " + self._head + b',"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + self._tail + b"\n\n"
        self._characters = 0
        self._call = -1
        self._bare_call = False
        self._usage = Usage()
        self._notes: list[Note] = []

    def feed(self, events: Sequence[Event]) -> bytes:
        encode, before, after = _json, self._before, self._after
        pieces: list[bytes] = []
        for event in events:
            if type(event) is Text:
                self._characters += len(event.text)
                pieces += (before, encode(event.text), after)
            else:
                pieces.append(self._other(event))
        return b"".join(pieces)

    def _other(self, event: Event) -> bytes:
        match event:
            case Text():
                return self._delta({"content": event.text})
            case Begin():
                return self._delta({"role": "assistant", "content": "", "refusal": None})
            case Thought():
                self._characters += len(event.text)
                return self._delta({"reasoning_content": event.text}) if event.text else b""
            case ToolOpen() | ToolInput() | ToolClose():
                return self._tool(event)
            case Usage():
                self._usage = self._usage.updated(event)
                return b""
            case Note():
                self._notes.append(event)
                return b""
            case End():
                return self._end(event)
            case Fail():
                return sse.data(event.error.body())
            case _:
                assert_never(event)

    def _tool(self, event: ToolOpen | ToolInput | ToolClose) -> bytes:
        match event:
            case ToolOpen():
                self._call += 1
                self._bare_call = True
                self._characters += len(event.name)
                function = {"name": event.name, "arguments": ""}
                return self._call_delta({"id": event.id, "type": "function", "function": function})
            case ToolInput():
                self._bare_call = False
                self._characters += len(event.fragment)
                return self._call_delta({"function": {"arguments": event.fragment}})
            case ToolClose():
                if not self._bare_call:
                    return b""
                # No input at all means an empty object; clients parse what they are given.
                self._characters += len("{}")
                return self._call_delta({"function": {"arguments": "{}"}})

    def _call_delta(self, call: dict[str, Any]) -> bytes:
        return self._delta({"tool_calls": [{"index": self._call, **call}]})

    def _delta(self, delta: dict[str, Any], finish_reason: str | None = None, extra: bytes = b"") -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse.data(self._head + b',"choices":[' + _json(choice) + b"]" + extra + self._tail)

    def _end(self, end: End) -> bytes:
        extension = _extension(self._usage, self._notes)
        extra = b',"x_cw":' + _json(extension) if extension else b""
        if not self._include_usage:
            return self._delta({}, end.finish_reason, extra) + sse.DONE
        tokens = _usage(count(self._request, self._usage, self._characters))
        last = self._head + b',"choices":[],"usage":' + _json(tokens) + extra + b"}"
        return self._delta({}, end.finish_reason) + sse.data(last) + sse.DONE


# --- the whole answer -------------------------------------------------------------------------------------


def _completion(request: Request, reply: Reply, stamp: Stamp) -> bytes:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if not reply.tool_calls:
        message["content"] = reply.text
    if reasoning := "".join(thought.text for thought in reply.thoughts):
        message["reasoning_content"] = reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.tool_calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}
    completion = {
        **_envelope("chat.completion", request, stamp),
        "choices": [choice],
        "usage": _usage(count(request, reply.usage, reply_characters(reply))),
    }
    if extension := _extension(reply.usage, reply.notes):
        completion["x_cw"] = extension
    return _json(completion)


def _envelope(kind: str, request: Request, stamp: Stamp) -> dict[str, Any]:
    return {"id": f"chatcmpl-{stamp.new_id()}", "object": kind, "created": stamp.now, "model": request.model}


def _usage(tokens: TokenCount) -> dict[str, Any]:
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.total,
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "cw_usage_source": tokens.source,
    }


def _extension(usage: Usage, notes: Sequence[Note]) -> dict[str, Any]:
    """`x_cw`: what this backend says beside the text and OpenAI has no place for."""
    extension: dict[str, Any] = {}
    if usage.context_percent is not None:
        extension["context_percent"] = usage.context_percent
    if usage.credits is not None:
        extension["credits"] = usage.credits
    for note in notes:
        noted = note.data if isinstance(note.data, list) else [note.data]
        extension.setdefault(note.kind, []).extend(noted)
    return extension
