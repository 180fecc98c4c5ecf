"""What the streaming and the runtime service have in common: two wire forms, bearer tokens, JSON bodies.

In: an HTTP request. Out: a Call, or a Refusal raised. Refuses to know what an operation does.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from aiohttp import web

from cw_proxy.emulator.frames import AWS_JSON_TYPE, JSON_TYPE
from cw_proxy.emulator.refusal import Refusal, improper
from cw_proxy.emulator.settings import Settings

Form = Literal["rest", "aws-json"]
INVALID_TOKEN = Refusal("AccessDeniedException", "The bearer token included in the request is invalid.")
FEATURE_NOT_SUPPORTED = Refusal(
    "AccessDeniedException", "This feature is not available for your account.", "FEATURE_NOT_SUPPORTED"
)
PROFILE_REQUIRED = Refusal("ValidationException", "profileArn is required for this request.")


@dataclass(frozen=True, slots=True)
class Call:
    """`body` is the decoded JSON; of a GET, its query."""

    form: Form
    operation: str
    body: dict[str, Any]

    @property
    def content_type(self) -> str:
        return AWS_JSON_TYPE if self.form == "aws-json" else JSON_TYPE


def content_type_of(form: Form) -> str:
    return AWS_JSON_TYPE if form == "aws-json" else JSON_TYPE


def check_bearer(request: web.Request, accepts: Callable[[str], bool]) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not accepts(token.strip()):
        raise INVALID_TOKEN


def check_account(body: dict[str, Any], settings: Settings) -> None:
    if settings.feature_not_supported:
        raise FEATURE_NOT_SUPPORTED
    if settings.profile_arn_required and not body.get("profileArn"):
        raise PROFILE_REQUIRED


async def read_body(request: web.Request) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise improper(f"not JSON: {fault}", "REQUEST_BODY_INVALID_JSON") from fault
    if not isinstance(body, dict):
        raise improper("the body is not an object", "REQUEST_BODY_INVALID")
    return body


def service_headers() -> dict[str, str]:
    return {
        "x-amzn-RequestId": str(uuid.uuid4()),
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
    }
