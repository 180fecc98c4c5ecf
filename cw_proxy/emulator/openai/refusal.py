"""An HTTP error as OpenAI words it.

In: what is wrong, or a refusal in the other service's words. Out: status, JSON body. Refuses to know why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from cw_proxy.emulator.refusal import Refusal

# Exception and reason of the other service → status and code here; the first that fits.
_CODES: list[tuple[str | None, str | None, int, str | None]] = [
    (None, "CONTENT_LENGTH_EXCEEDS_THRESHOLD", 400, "context_length_exceeded"),
    (None, "INVALID_MODEL_ID", 404, "model_not_found"),
    (None, "MONTHLY_REQUEST_COUNT", 429, "insufficient_quota"),
    ("ServiceQuotaExceededException", None, 429, "insufficient_quota"),
    ("ThrottlingException", None, 429, "rate_limit_exceeded"),
    ("AccessDeniedException", "FEATURE_NOT_SUPPORTED", 403, "unsupported_country_region_territory"),
    ("AccessDeniedException", None, 401, "invalid_api_key"),
]
_TYPES = {401: "invalid_request_error", 403: "request_forbidden", 429: "requests"}


@dataclass(frozen=True)
class Rejected(Refusal):
    """`reason` is OpenAI's code. Unlike the other service, OpenAI says what is wrong."""

    param: str | None = None

    def error(self) -> dict[str, Any]:
        kind = "server_error" if self.http_status >= 500 else _TYPES.get(self.http_status, "invalid_request_error")
        kind = "insufficient_quota" if self.reason == "insufficient_quota" else kind
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.reason}}

    def body(self) -> bytes:
        return msgspec.json.encode(self.error())

    def response(self, content_type: str = "application/json") -> web.Response:
        return web.Response(status=self.http_status, body=self.body(), content_type=content_type)


def invalid(message: str, param: str | None = None, code: str | None = None) -> Rejected:
    return Rejected("BadRequest", message, code, 400, f"{param}: {message}" if param else None, param)


def unknown_model(name: str) -> Rejected:
    message = f"The model `{name}` does not exist or you do not have access to it."
    return Rejected("NotFound", message, "model_not_found", 404)


def in_openais_words(refusal: Refusal) -> Rejected:
    if isinstance(refusal, Rejected):
        return refusal
    for name, reason, status, code in _CODES:
        if name in (None, refusal.name) and reason in (None, refusal.reason):
            return Rejected(refusal.name, refusal.message, code, status, refusal.detail)
    return Rejected(refusal.name, refusal.message, None, refusal.http_status, refusal.detail)
