"""OpenAI Chat Completions: `POST /v1/chat/completions` (conversion.md, "Parameters" and "Answer").

In: a JSON body; events. Out: an Ask; chunks or a whole completion. Refuses to know transports and backends.

Nothing is silently dropped: a parameter is used, or kept in `Request.options`, or refused with its path.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cw_proxy import body
from cw_proxy.errors import ProxyError
from cw_proxy.events import Reply
from cw_proxy.interfaces import NOBODY, Ask, Binding, Caller, Encoder, ErrorReply, Http, Stamp, Subject
from cw_proxy.model import Request
from cw_proxy.protocols.openai_chat.ask import read_request
from cw_proxy.protocols.openai_chat.chunks import ChunkEncoder
from cw_proxy.protocols.openai_chat.completion import completion
from cw_proxy.protocols.openai_chat.shapes import OPTIONS, Body

__all__ = ["OPTIONS", "Body", "ChatAsk", "ChatSession", "ChunkEncoder", "OpenAIChat"]

_body = msgspec.json.Decoder(Body)


class OpenAIChat:
    name = "openai_chat"
    bindings: Sequence[Binding] = (Http("POST", "/v1/chat/completions"), Subject("messages"))

    def session(self, caller: Caller = NOBODY) -> ChatSession:
        return ChatSession()

    def error(self, error: ProxyError) -> ErrorReply:
        return ErrorReply(error.status, error.headers(), error.body())


class ChatAsk(msgspec.Struct, frozen=True):
    request: Request
    stream: bool
    include_usage: bool

    def encoder(self, stamp: Stamp) -> Encoder:
        return ChunkEncoder(self.request, self.include_usage, stamp)

    def render(self, replies: Sequence[Reply], stamp: Stamp) -> bytes:
        return completion(self.request, replies, stamp)


class ChatSession:
    def receive(self, frame: bytes) -> Sequence[Ask]:
        said = body.parse(frame, _body)
        include_usage = bool(said.stream_options and said.stream_options.include_usage)
        return [ChatAsk(read_request(said), bool(said.stream), include_usage)]
