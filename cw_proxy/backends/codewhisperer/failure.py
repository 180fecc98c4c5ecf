"""What an upstream failure means to the client (upstream.md §1.5, conversion.md "Errors to the client").

In: a refused call's status, headers and body, or an exception frame. Out: one ProxyError. Refuses to know retries.
Name and reason decide, the status only when both are missing: the service has put a quota error on HTTP 400.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from cw_proxy import errors

_OVERFLOW_REASONS = {"CONTENT_LENGTH_EXCEEDS_THRESHOLD", "PROMPT_TOO_LONG"}
_OVERFLOW_TEXTS = ("Input is too long", "Exceeded max chat context length")
_QUOTA_REASONS = {"MONTHLY_REQUEST_COUNT", "DAILY_REQUEST_COUNT", "OVERAGE_REQUEST_LIMIT_EXCEEDED"}
# Denials that are about the account, not about what was asked for.
_ACCOUNT_REASONS = {"FEATURE_NOT_SUPPORTED", "TEMPORARILY_SUSPENDED"}
# Seconds for which an account's denial or spent quota is taken to last, when the service names no time.
_HOLD = 60.0
_IMPROPER = "Improperly formed request"
_HIGH_LOAD = "unexpectedly high load"
_DEFAULT_RETRY_AFTER = 2.0  # seconds; the service names none


def failure_of_reply(status: int, headers: Mapping[str, str], body: bytes) -> errors.ProxyError:
    """An answer other than 200. `headers` by lower-case name."""
    if status < 400:
        return errors.UpstreamProtocol(f"The service answered HTTP {status}, which it never does: is its URL right?")
    said = _read(body)
    name = headers.get("x-amzn-errortype") or said.get("code") or said.get("__type") or ""
    message = _message(said) or f"HTTP {status} without a message"
    return classify(_bare(name), message, said.get("reason"), status, _seconds(headers.get("retry-after")))


def failure_of_frame(name: str, payload: bytes) -> errors.ProxyError:
    """An exception or error frame inside a stream. The one modeled type is called `error`."""
    said = _read(payload)
    bare = _bare(name)
    bare = "InternalServerException" if bare == "error" else bare[:1].upper() + bare[1:]
    message = _message(said) or "The service ended its answer with an error."
    return classify(bare, message, said.get("reason"))


def classify(
    name: str, message: str, reason: str | None, status: int = 0, retry_after: float | None = None
) -> errors.ProxyError:
    name = name or _name_of_status(status)
    if reason in _OVERFLOW_REASONS or any(text in message for text in _OVERFLOW_TEXTS):
        return errors.ContextLengthExceeded(f"{message} The conversation is longer than the model's window.")
    if reason in _QUOTA_REASONS or name == "ServiceQuotaExceededException" or "MONTHLY_REQUEST_COUNT" in message:
        return _quota(message, reason, retry_after)
    if reason == "INSUFFICIENT_MODEL_CAPACITY" or _HIGH_LOAD in message:
        return errors.RateLimited(message, retry_after=retry_after or _DEFAULT_RETRY_AFTER)
    return _by_name(name, message, reason, retry_after)


def _by_name(name: str, message: str, reason: str | None, retry_after: float | None) -> errors.ProxyError:
    match name:
        case "ThrottlingException":
            return errors.RateLimited(message, retry_after=retry_after or _DEFAULT_RETRY_AFTER)
        case "AccessDeniedException" | "UnauthorizedException" | "ExpiredTokenException":
            return _denied(message, reason)
        case "ValidationException":
            return _invalid(message, reason)
        case "ResourceNotFoundException" | "ConflictException" | "DryRunOperationException" | "ClientError":
            return errors.UpstreamRejected(message, code=reason.lower() if reason else None)
        case _:
            return errors.UpstreamUnavailable(message)


def _quota(message: str, reason: str | None, reset: float | None) -> errors.ProxyError:
    # Other reasons are about one conversation: another may go on.
    account_wide = reason is None or reason in _QUOTA_REASONS
    said = f"{message} (The account's quota at the service is used up.)"
    return errors.InsufficientQuota(said, hold=(reset or _HOLD) if account_wide else None)


def _denied(message: str, reason: str | None) -> errors.ProxyError:
    # Without a reason the token itself may be refused: the service answers 403 for expired ones too.
    if reason is None:
        return errors.UpstreamTokenRefused(message)
    return errors.UpstreamAccessDenied(message, hold=_HOLD if reason in _ACCOUNT_REASONS else None)


def _invalid(message: str, reason: str | None) -> errors.ProxyError:
    if reason == "INVALID_MODEL_ID":
        return errors.ModelNotFound(f"{message} (The service does not know this model; see GET /v1/models.)")
    if "profileArn is required" in message:
        return errors.UpstreamProfileRequired(message)
    if reason is None and _IMPROPER in message:
        return errors.UpstreamRejected(f"{message} (`cw-proxy lint` can tell what is wrong with a request.)")
    return errors.UpstreamRejected(message, code=reason.lower() if reason else None)


def _name_of_status(status: int) -> str:
    if status in (401, 403):
        return "AccessDeniedException"
    if status == 402:
        return "ServiceQuotaExceededException"
    if status == 429:
        return "ThrottlingException"
    return "ClientError" if 400 <= status < 500 else "InternalServerException"


def _read(body: bytes) -> dict[str, str]:
    """The texts of a JSON object; what is not one (an HTML page of a load balancer, say) is not for the client."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    return {name: _whole(value) for name, value in said.items() if isinstance(value, str)}


def _whole(text: str) -> str:
    """Half a surrogate pair, which no JSON writer takes, becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _message(said: Mapping[str, str]) -> str | None:
    return said.get("message") or said.get("Message")


def _bare(name: str) -> str:
    """`com.amazon.x#Name` and `Name:http://…` → `Name`."""
    return name.partition(":")[0].rpartition("#")[2]


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isascii() and value.isdigit() else None
