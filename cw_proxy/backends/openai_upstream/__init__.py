"""Any server that speaks OpenAI's chat API, as upstream: OpenAI itself, a gateway, a model on this machine.

In: Requests, the server's key, the settings below. Out: wire calls, decoders, what a refusal means. Refuses to know
sockets, clocks and client protocols. What the client is known by (its key, its headers) never goes there.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cw_proxy import __version__
from cw_proxy.backends.openai_upstream.failure import failure_of_reply
from cw_proxy.backends.openai_upstream.models import parse_models
from cw_proxy.backends.openai_upstream.reply import ReplyDecoder
from cw_proxy.backends.openai_upstream.request import Dialect, carried, payload
from cw_proxy.errors import ProxyError
from cw_proxy.interfaces import Catalog, Credential, Decoder, ModelInfo, Question
from cw_proxy.model import Request
from cw_proxy.wire.call import HttpCall

USER_AGENT = f"cw-proxy/{__version__}"


class OpenAIUpstream:
    """The backend. `default_model` is what `auto` means."""

    name = "openai"
    open_names = True
    default_model: str | None = None

    def __init__(self, *, base_url: str, default_model: str | None, dialect: Dialect) -> None:
        self._base_url = base_url
        self.default_model = default_model
        self._dialect = dialect

    def carries(self, request: Request, model: ModelInfo | None) -> frozenset[str]:
        return carried(request)

    def question(self, request: Request, model: ModelInfo | None) -> Question:
        body = payload(request, model.id if model else request.model, self._dialect)
        return _Question(f"{self._base_url}/chat/completions", body, len(request.messages), request.stop)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProxyError:
        return failure_of_reply(status, headers, body)

    def list_models(self, credential: Credential, page: str | None) -> HttpCall:
        return HttpCall("GET", f"{self._base_url}/models", _headers(credential))

    def parse_models(self, body: bytes) -> tuple[Catalog, str | None]:
        return parse_models(body, self.default_model), None

    def list_profiles(self, credential: Credential) -> list[HttpCall]:
        return []

    def parse_profiles(self, body: bytes) -> list[str]:
        return []


class _Question(msgspec.Struct, frozen=True):
    """The server knows no conversations: every call is the same."""

    url: str
    body: bytes
    messages: int
    stop: tuple[str, ...]

    def call(self, conversation_id: str, credential: Credential) -> HttpCall:
        headers = {**_headers(credential), "Content-Type": "application/json", "Accept": "text/event-stream"}
        return HttpCall("POST", self.url, headers, self.body)

    def decoder(self, headers: Mapping[str, str]) -> Decoder:
        return ReplyDecoder(self.messages, self.stop)


def _headers(credential: Credential) -> dict[str, str]:
    """A server on this machine may want no key."""
    key = credential.access_token.reveal()
    return {"User-Agent": USER_AGENT} | ({"Authorization": f"Bearer {key}"} if key else {})
