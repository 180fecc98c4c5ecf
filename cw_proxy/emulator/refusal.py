"""An HTTP error of the service, as a value and as the two wire forms spell it.

In: an exception's name, a message, perhaps a reason. Out: status, headers, body. Refuses to know why it was refused.
Header and body `__type` are always both sent: each of the known clients reads another one first (upstream.md §1.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from aiohttp import web

NAMESPACE = "com.amazon.aws.codewhisperer"
STATUS = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 402,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "UnknownOperationException": 404,
    "ConflictException": 409,
    "ThrottlingException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}
IMPROPERLY_FORMED = "Improperly formed request."


@dataclass(frozen=True)
class Refusal(Exception):
    """`detail` is for developers (stats), never for the client: the real service does not explain itself either."""

    name: str
    message: str
    reason: str | None = None
    status: int | None = None
    detail: str | None = None

    @property
    def http_status(self) -> int:
        return self.status or STATUS.get(self.name, 400)

    def body(self) -> bytes:
        fields = {"__type": f"{NAMESPACE}#{self.name}", "message": self.message}
        if self.reason:
            fields["reason"] = self.reason
        return msgspec.json.encode(fields)

    def response(self, content_type: str) -> web.Response:
        headers = {"x-amzn-errortype": self.name, "Content-Type": content_type}
        return web.Response(status=self.http_status, body=self.body(), headers=headers)


def improper(detail: str, reason: str | None = None) -> Refusal:
    return Refusal("ValidationException", IMPROPERLY_FORMED, reason, detail=detail)


# The backend's own error for each class of the agent script's fault directive.
FAULTS = {
    400: Refusal("ValidationException", IMPROPERLY_FORMED),
    401: Refusal("AccessDeniedException", "User is not authorized to make this call."),
    403: Refusal("AccessDeniedException", "User is not authorized to make this call."),
    429: Refusal("ThrottlingException", "Too many requests, please wait before trying again."),
    500: Refusal("InternalServerException", "Encountered an unexpected error when processing the request."),
    503: Refusal("ServiceUnavailableException", "The service is temporarily unavailable."),
}


def fault_of_class(status: int) -> Refusal:
    known = FAULTS.get(status)
    return known or Refusal("InternalServerException", f"Emulated failure of class {status}.", status=status)
