"""OpenAI Responses: `POST /v1/responses` and what is kept of it, over HTTP and over a WebSocket.

In: JSON bodies and frames; events. Out: Asks, and answers at once; events of responses or whole ones. Refuses to know
transports and backends.

Nothing is silently dropped: a parameter is used, or kept in `Request.options`, or refused with its path.
"""

from __future__ import annotations

from collections.abc import Sequence

from cw_proxy.errors import ProxyError
from cw_proxy.interfaces import NOBODY, Binding, Caller, ErrorReply, Http, Subject, WebSocket
from cw_proxy.protocols.openai_responses.question import ResponsesAsk
from cw_proxy.protocols.openai_responses.session import PATH, ResponsesSession
from cw_proxy.protocols.openai_responses.shapes import OPTIONS, Body
from cw_proxy.protocols.openai_responses.socket_session import ResponsesSocket
from cw_proxy.protocols.openai_responses.store import LIMITS, Limits, Store

__all__ = ["OPTIONS", "Body", "Limits", "OpenAIResponses", "ResponsesAsk", "ResponsesSession", "ResponsesSocket"]


class OpenAIResponses:
    """Made once for each server: it keeps the responses."""

    name = "openai_responses"
    bindings: Sequence[Binding] = (
        Http("POST", PATH),
        Http("GET", f"{PATH}/*"),
        Http("POST", f"{PATH}/*"),
        Http("DELETE", f"{PATH}/*"),
        WebSocket(PATH),
        Subject("input"),
    )

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._store = Store(limits)

    def session(self, caller: Caller = NOBODY) -> ResponsesSession:
        return ResponsesSession(self._store, caller)

    def socket(self, caller: Caller) -> ResponsesSocket:
        return ResponsesSocket(self._store, caller)

    def error(self, error: ProxyError) -> ErrorReply:
        return ErrorReply(error.status, error.headers(), error.body())
