"""Anthropic's Messages: `POST /v1/messages`, and `/v1/messages/count_tokens`, which needs no model.

In: a JSON body; events. Out: an Ask, or a count; Anthropic's events or a whole message. Refuses to know transports and
backends.

Nothing is silently dropped: a parameter is used, or kept in `Request.options`, or refused with its path.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cw_proxy import body
from cw_proxy.errors import ProxyError
from cw_proxy.events import Reply
from cw_proxy.interfaces import NOBODY, Ask, Binding, Caller, Encoder, ErrorReply, Http, Send, Session, Stamp
from cw_proxy.model import Request
from cw_proxy.protocols.anthropic_messages.ask import read_request, require_max_tokens
from cw_proxy.protocols.anthropic_messages.failures import error_body
from cw_proxy.protocols.anthropic_messages.message import message
from cw_proxy.protocols.anthropic_messages.shapes import OPTIONS, Body
from cw_proxy.protocols.anthropic_messages.stream import MessageEncoder
from cw_proxy.protocols.anthropic_messages.thinking import Display, read_display
from cw_proxy.usage import prompt_tokens

__all__ = ["OPTIONS", "AnthropicMessages", "Body", "CountSession", "MessageAsk", "MessageEncoder", "MessageSession"]

_PATH = "/v1/messages"
_COUNT_PATH = "/v1/messages/count_tokens"
_body = msgspec.json.Decoder(Body)


class AnthropicMessages:
    name = "anthropic_messages"
    bindings: Sequence[Binding] = (Http("POST", _PATH), Http("POST", _COUNT_PATH))

    def session(self, caller: Caller = NOBODY) -> Session:
        return CountSession() if caller.path == _COUNT_PATH else MessageSession()

    def error(self, error: ProxyError) -> ErrorReply:
        return ErrorReply(error.status, error.headers(), error_body(error))


class MessageAsk(msgspec.Struct, frozen=True):
    request: Request
    stream: bool
    display: Display

    def encoder(self, stamp: Stamp) -> Encoder:
        return MessageEncoder(self.request, self.display, stamp)

    def render(self, replies: Sequence[Reply], stamp: Stamp) -> bytes:
        [reply] = replies
        return message(self.request, self.display, reply, stamp)


class MessageSession:
    def receive(self, frame: bytes) -> Sequence[Ask]:
        said = body.parse(frame, _body)
        require_max_tokens(said)
        return [MessageAsk(read_request(said), bool(said.stream), read_display(said.thinking))]


class CountSession:
    """An estimate, as all counts before an answer are."""

    def receive(self, frame: bytes) -> Sequence[Send]:
        tokens = prompt_tokens(read_request(body.parse(frame, _body)))
        return [Send(msgspec.json.encode({"input_tokens": max(1, round(tokens))}))]
