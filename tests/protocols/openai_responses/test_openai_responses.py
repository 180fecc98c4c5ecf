"""The protocol as transports see it."""

from __future__ import annotations

import json

from responses import ask, caller, streamed_ask

from cw_proxy.errors import RateLimited
from cw_proxy.events import Begin, End, Text
from cw_proxy.interfaces import Http, WebSocket
from cw_proxy.protocols.openai_responses import Limits, OpenAIResponses


def test_bindings() -> None:
    sockets = [binding for binding in OpenAIResponses.bindings if isinstance(binding, WebSocket)]
    assert sockets == [WebSocket("/v1/responses", lanes=32, turns=16)]
    assert Http("POST", "/v1/responses") in OpenAIResponses.bindings


def test_errors_have_openai_s_shape() -> None:
    shown = OpenAIResponses().error(RateLimited("slow down", retry_after=2))
    assert (shown.status, shown.headers["Retry-After"]) == (429, "2")
    assert json.loads(shown.body)["error"]["code"] == "rate_limit_exceeded"


def test_each_server_keeps_its_own_responses_within_its_limits() -> None:
    kept, none = OpenAIResponses(), OpenAIResponses(Limits(number=0))
    for protocol in (kept, none):
        stream = streamed_ask(ask(protocol), [Begin(), Text("a"), End("stop")])
        response_id = json.loads(stream.rpartition(b"\ndata: ")[2])["response"]["id"]
        found = protocol._store.find(caller().owner, response_id, caller().stamp().now)
        assert (found is not None) == (protocol is kept)
