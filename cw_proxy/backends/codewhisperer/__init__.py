"""CodeWhisperer streaming, as upstream.md has it: restJson1, bearer token, event-stream answers.

In: Requests, credentials, the settings below. Out: wire calls, decoders, what a refusal means. Refuses to know
sockets, clocks and client protocols.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from cw_proxy import __version__
from cw_proxy.backends.codewhisperer.failure import failure_of_reply
from cw_proxy.backends.codewhisperer.hosts import Hosts
from cw_proxy.backends.codewhisperer.model_fields import carried
from cw_proxy.backends.codewhisperer.models import parse_models, parse_profiles
from cw_proxy.backends.codewhisperer.reply import ReplyDecoder
from cw_proxy.backends.codewhisperer.request import Payload
from cw_proxy.backends.codewhisperer.restore import restoring
from cw_proxy.errors import ProxyError
from cw_proxy.interfaces import Catalog, Credential, Decoder, ModelInfo, Question
from cw_proxy.model import Request
from cw_proxy.wire.call import HttpCall

USER_AGENT = f"cw-proxy/{__version__}"


class CodeWhisperer:
    """The backend. `origin` is the member of the service's Origin enum that calls are labelled with; `profile_arn`,
    if set, outranks the credential's."""

    name = "codewhisperer"
    open_names = False
    default_model = None

    def __init__(
        self, *, hosts: Hosts, origin: str, max_body: int, opt_out: bool, profile_arn: str | None = None
    ) -> None:
        self._hosts = hosts
        self._origin = origin
        self._max_body = max_body
        self._opt_out = opt_out
        self._profile_arn = profile_arn

    def carries(self, request: Request, model: ModelInfo | None) -> frozenset[str]:
        return carried(request, model.fields) if model else frozenset()

    def question(self, request: Request, model: ModelInfo | None) -> Question:
        return _Question(self, Payload(request, model=model, origin=self._origin, max_bytes=self._max_body))

    def call(self, payload: Payload, conversation_id: str, credential: Credential) -> HttpCall:
        body = payload.body(conversation_id, self._profile_arn or credential.profile_arn)
        url = self._hosts.streaming_url(credential) + "/generateAssistantResponse"
        return HttpCall("POST", url, self._headers(credential, content_type="application/json"), body)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProxyError:
        return failure_of_reply(status, headers, body)

    def list_models(self, credential: Credential, page: str | None) -> HttpCall:
        query = {"origin": self._origin, "maxResults": "50"}
        if profile_arn := self._profile_arn or credential.profile_arn:
            query["profileArn"] = profile_arn
        if page:
            query["nextToken"] = page
        url = self._hosts.runtime_url(credential) + "/ListAvailableModels?" + urlencode(query)
        return HttpCall("GET", url, self._headers(credential))

    def parse_models(self, body: bytes) -> tuple[Catalog, str | None]:
        return parse_models(body)

    def list_profiles(self, credential: Credential) -> list[HttpCall]:
        """One call for each region that may know the account's profiles."""
        body = msgspec.json.encode({"maxResults": 10})
        headers = self._headers(credential, content_type="application/json")
        urls = self._hosts.profile_urls()
        return [HttpCall("POST", url + "/ListAvailableProfiles", headers, body) for url in urls]

    def parse_profiles(self, body: bytes) -> list[str]:
        return parse_profiles(body)

    def _headers(self, credential: Credential, content_type: str | None = None) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {credential.access_token.reveal()}",
            "User-Agent": USER_AGENT,
            "x-amzn-codewhisperer-optout": "true" if self._opt_out else "false",
        }
        if content_type:
            headers["Content-Type"] = content_type
        return headers


class _Question(msgspec.Struct, frozen=True):
    backend: CodeWhisperer
    payload: Payload

    def call(self, conversation_id: str, credential: Credential) -> HttpCall:
        return self.backend.call(self.payload, conversation_id, credential)

    def decoder(self, headers: Mapping[str, str]) -> Decoder:
        return restoring(ReplyDecoder(headers.get("x-amzn-codewhisperer-conversation-id")), self.payload.names)
