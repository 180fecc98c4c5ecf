"""Every failure the proxy knows, as a tree: each class carries its HTTP status, OpenAI type and code.

In: a message for people, plus what the class cannot know (param, retry hint). Out: `body()`, `headers()`.
Refuses to know who asked and over which transport. The table is conversion.md, "Errors to the client".

A message names the one thing the user can do: many agents show nothing else. It never holds a secret, and never
model text. `retry_after` is clamped to 1..60 s: the Node SDK sleeps as long as it says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar


class ProxyError(Exception):
    """The root: an internal fault (500) unless a subclass says better."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str] = "internal_error"
    # True or False is said to the SDK in x-should-retry; None leaves it to the status.
    should_retry: ClassVar[bool | None] = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        hold: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.retry_after = retry_after
        # Seconds for which the service would answer every call of this account so; None: it might not.
        self.hold = hold

    def body(self) -> bytes:
        """`{"error": {message, type, param, code}}` as JSON: the OpenAI shape."""
        return json.dumps({"error": self.fields()}).encode()

    def fields(self) -> dict[str, str | None]:
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}

    def headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        if self.should_retry is not None:
            headers["x-should-retry"] = "true" if self.should_retry else "false"
        if self.retry_after is not None:
            seconds = min(max(self.retry_after, 1.0), 60.0)
            # Whole seconds, rounded up: Codex gives up on a fraction.
            headers["Retry-After"] = str(-int(-seconds // 1))
            headers["retry-after-ms"] = str(int(seconds * 1000))
        return headers


# --- the request is at fault ------------------------------------------------------------------------------


class InvalidRequest(ProxyError):
    status = 400
    type = "invalid_request_error"
    default_code = "invalid_request"


class InvalidJson(InvalidRequest):
    default_code = "invalid_json"


class InvalidValue(InvalidRequest):
    default_code = "invalid_value"


class UnsupportedParameter(InvalidRequest):
    default_code = "unsupported_parameter"


class UpstreamRejected(InvalidRequest):
    """The service's ValidationException; `code` is its reason in lower case."""

    default_code = "upstream_validation"
    should_retry = False


class ContextLengthExceeded(UpstreamRejected):
    default_code = "context_length_exceeded"


class UpstreamProfileRequired(UpstreamRejected):
    """The service wants to be told the account's profile."""

    default_code = "profile_required"


class InvalidApiKey(InvalidRequest):
    status = 401
    default_code = "invalid_api_key"

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "WWW-Authenticate": "Bearer"}


class OriginRefused(InvalidRequest):
    status = 403
    default_code = "origin_refused"


class NotFound(InvalidRequest):
    status = 404
    default_code = "not_found"


class ModelNotFound(InvalidRequest):
    status = 404
    default_code = "model_not_found"


class MethodNotAllowed(InvalidRequest):
    status = 405
    default_code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: str = "") -> None:
        super().__init__(message)
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        return {**super().headers(), **({"Allow": self.allowed} if self.allowed else {})}


class RequestTimeout(InvalidRequest):
    status = 408
    default_code = "request_timeout"


class RequestTooLarge(InvalidRequest):
    status = 413
    default_code = "request_too_large"


class UnsupportedMediaType(InvalidRequest):
    status = 415
    default_code = "unsupported_media_type"


class HostRefused(InvalidRequest):
    status = 421
    default_code = "host_refused"


class UpgradeRequired(InvalidRequest):
    """There is only a WebSocket at this path."""

    status = 426
    default_code = "upgrade_required"

    def headers(self) -> dict[str, str]:
        return {**super().headers(), "Upgrade": "websocket", "Connection": "Upgrade"}


class SocketLimit(InvalidRequest):
    """A WebSocket has all the lanes and turns, or all the time, that it may have; `code` says which."""

    default_code = "websocket_stream_limit_reached"


class UnsupportedEndpoint(InvalidRequest):
    """OpenAI has something at this path; the service behind the proxy has not."""

    status = 501
    default_code = "unsupported_endpoint"
    should_retry = False


# --- the account is at fault ------------------------------------------------------------------------------


class LoginRequired(ProxyError):
    status = 401
    type = "authentication_error"
    default_code = "login_required"
    should_retry = False


class UpstreamAccessDenied(ProxyError):
    status = 403
    type = "permission_error"
    default_code = "upstream_access_denied"
    should_retry = False


class UpstreamTokenRefused(UpstreamAccessDenied):
    """Denied without a reason: it may be the token, which one refresh would mend."""


class RateLimited(ProxyError):
    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"


class TooManyRequests(RateLimited):
    """One client has sent more than the server's own limit; `told` are headers about it."""

    def __init__(self, message: str, *, retry_after: float | None = None, told: Mapping[str, str] = {}) -> None:
        super().__init__(message, retry_after=retry_after)
        self.told = told

    def headers(self) -> dict[str, str]:
        return {**super().headers(), **self.told}


class ConcurrencyLimited(RateLimited):
    """One client has as many requests under way as it may: its own doing, unlike Overloaded."""

    default_code = "concurrency_limit_exceeded"


class InsufficientQuota(ProxyError):
    status = 429
    type = "insufficient_quota"
    default_code = "insufficient_quota"
    should_retry = False


# --- the upstream is at fault -----------------------------------------------------------------------------


class UpstreamError(ProxyError):
    status = 502
    type = "upstream_error"
    default_code = "upstream_unavailable"


class UpstreamUnavailable(UpstreamError):
    """No connection, or a 5xx."""


class UpstreamTls(UpstreamError):
    default_code = "upstream_tls"


class UpstreamProtocol(UpstreamError):
    """Bytes that break the wire contract."""

    default_code = "upstream_protocol"


class UpstreamTruncated(UpstreamError):
    """The answer stopped before its end."""

    default_code = "upstream_truncated"


class EmptyUpstreamResponse(UpstreamError):
    default_code = "empty_upstream_response"


class DemandUnmet(UpstreamError):
    """The model did not do what the request demands of it: in two tries where asking again can help."""

    default_code = "demand_unmet"
    # It was asked again already.
    should_retry = False


class UpstreamTimeout(ProxyError):
    status = 504
    type = "timeout_error"
    default_code = "upstream_timeout"


class TimeIsUp(ProxyError):
    """What the proxy runs in is stopped before the answer can be complete: a Lambda function has a time limit."""

    status = 504
    type = "timeout_error"
    default_code = "time_is_up"


class AnswerTooLarge(ProxyError):
    """The way back to the client takes no answer of this size in one piece; a streamed one passes."""

    default_code = "answer_too_large"
    should_retry = False


# --- the proxy itself -------------------------------------------------------------------------------------


class ShuttingDown(ProxyError):
    status = 503
    default_code = "shutting_down"


class Overloaded(ProxyError):
    status = 503
    default_code = "overloaded"


class BrokenState(ProxyError):
    """Files of ours that cannot be read or written; the CLI's exit code 3."""

    default_code = "broken_state"
    should_retry = False


class NatsUnavailable(ProxyError):
    """The NATS server cannot be reached, or the connection to it is gone for good; shown by the command."""

    status = 503
    default_code = "nats_unavailable"


class NatsRefused(NatsUnavailable):
    """It does not accept us, or we do not accept it: an nkey, a certificate, a permission."""

    default_code = "nats_refused"
    should_retry = False


class ConfigError(ProxyError):
    """A setting that is unknown, malformed or refused; shown at start, never over a transport."""

    default_code = "invalid_config"
