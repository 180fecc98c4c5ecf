"""Plain text: the bytes are the prompt, the answer's text is the reply. For messages that are nothing else.

In: UTF-8 bytes; a whole answer. Out: an Ask; UTF-8 bytes. Refuses to know transports and backends.

There are no parameters, no tools and no stream: who wants them sends JSON.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from cw_proxy.errors import InvalidRequest, ProxyError, UnsupportedParameter
from cw_proxy.events import Reply
from cw_proxy.interfaces import NOBODY, Ask, Binding, Caller, Encoder, ErrorReply, Stamp, Subject
from cw_proxy.model import Message, Request, TextPart

# The upstream's choice, or what is configured for this name.
_MODEL = "auto"


class PlainText:
    name = "plain_text"
    bindings: Sequence[Binding] = (Subject(),)

    def session(self, caller: Caller = NOBODY) -> TextSession:
        return TextSession()

    def error(self, error: ProxyError) -> ErrorReply:
        return ErrorReply(error.status, error.headers(), error.message.encode())


class TextSession:
    def receive(self, frame: bytes) -> Sequence[Ask]:
        try:
            text = frame.decode("utf-8")
        except UnicodeDecodeError:
            raise InvalidRequest("The text is not UTF-8.") from None
        if not text.strip():
            raise InvalidRequest("The text is empty.")
        return [TextAsk(Request(model=_MODEL, messages=(Message("user", (TextPart(text),)),)))]


class TextAsk(msgspec.Struct, frozen=True):
    request: Request
    stream: bool = False

    def encoder(self, stamp: Stamp) -> Encoder:
        raise UnsupportedParameter("A plain text is answered whole: send JSON for a stream.")

    def render(self, replies: Sequence[Reply], stamp: Stamp) -> bytes:
        return "\n\n".join(reply.text for reply in replies).encode("utf-8", "replace")
