"""Errors in Anthropic's shape: `{"type": "error", "error": {"type", "message"}}`.

In: a ProxyError. Out: its body. Refuses to know how it is sent. The shape has no member for a place or a code, so that
the place stands in the message, as in Anthropic's own.
"""

from __future__ import annotations

import msgspec

from cw_proxy.errors import ContextLengthExceeded, InsufficientQuota, ProxyError

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def error_body(error: ProxyError) -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": error_type(error), "message": _message(error)}})


def error_type(error: ProxyError) -> str:
    if isinstance(error, InsufficientQuota):
        return "billing_error"
    return _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")


def _message(error: ProxyError) -> str:
    if isinstance(error, ContextLengthExceeded):
        # Agents look for these words, and shorten the chat.
        return f"prompt is too long: {error.message}"
    return f"{error.param}: {error.message}" if error.param else error.message
