"""What an upstream failure means to the client (conversion.md, "Errors to the client").

In: a refused call's status, headers and body, or the `error` of a stream. Out: one ProxyError. Refuses to know
retries. Code and type decide before the status: servers agree on those less than on words, and on nothing else more.

What a server says of a key is not passed on: some repeat the key in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cw_proxy import errors
from cw_proxy.wire.lenient import UNREADABLE
from cw_proxy.wire.surrogates import whole

_OVERFLOW_CODES = {"context_length_exceeded", "string_above_max_length"}
_OVERFLOW_TEXTS = ("maximum context length", "context window", "context length exceeded")
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
_KEY_CODES = {"invalid_api_key", "login_required", "authentication_error", "token_expired"}
_RATE_CODES = {"rate_limit_exceeded", "rate_limit_error", "tokens", "requests"}
_MODEL_CODES = {"model_not_found", "model_not_available"}
_REJECTED = ("invalid_request_error", "invalid_prompt", "content_policy_violation", "content_filter")
# Seconds for which a spent quota is taken to last, when the server names no time.
_HOLD = 60.0
_DEFAULT_RETRY_AFTER = 2.0  # seconds
_MOST_TEXT = 2000
_KEY = re.compile(r"\b(sk|pk|gsk|xai|key)[-_][\w*.-]{8,}|(?<=Bearer )\S+", re.IGNORECASE)
_CODE = re.compile(r"[\w.-]{1,64}\Z", re.ASCII)


class Said(msgspec.Struct, frozen=True):
    """What an error says of itself; texts that are missing are empty."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None


def failure_of_reply(status: int, headers: Mapping[str, str], body: bytes) -> errors.ProxyError:
    """An answer other than 200. `headers` by lower-case name."""
    if status < 400:
        return errors.UpstreamProtocol(
            f"The OpenAI upstream answered HTTP {status}, which it never does: is its URL right?"
        )
    try:
        said = said_of(json.loads(body))
    except UNREADABLE:
        said = Said()
    return classify(said, status, retry_after_of(headers))


def said_of(body: Any) -> Said:
    """`{"error": {…}}` as OpenAI has it, `{"error": "…"}`, or the error without an envelope."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(error, str):
        return Said(_text(error))
    if not isinstance(error, dict):
        return Said()
    message = error.get("message") or error.get("detail")
    return Said(_text(message), _code(error.get("type")), _code(error.get("code")), _param(error.get("param")))


def classify(said: Said, status: int = 0, retry_after: float | None = None) -> errors.ProxyError:
    """No status: it came in the middle of an answer."""
    names = {said.code, said.type}
    message = said.message or _without_words(status)
    if names & _OVERFLOW_CODES or any(text in said.message.lower() for text in _OVERFLOW_TEXTS):
        return errors.ContextLengthExceeded(message)
    if names & _QUOTA_CODES or status == 402:
        return errors.InsufficientQuota(f"{message} (The quota at the OpenAI upstream is used up.)", hold=_HOLD)
    if names & _MODEL_CODES:
        return errors.ModelNotFound(f"{message} (The OpenAI upstream does not know this model.)", param="model")
    if status == 401 or names & _KEY_CODES:
        # Calls asks once more with a fresh token, if there is one, and adds what the user can do.
        return errors.UpstreamTokenRefused(f"The OpenAI upstream refused the key{_hint(said, status)}.")
    if status == 429 or names & _RATE_CODES:
        return errors.RateLimited(message, retry_after=retry_after or _DEFAULT_RETRY_AFTER)
    return _by_status(said, message, status)


def _by_status(said: Said, message: str, status: int) -> errors.ProxyError:
    match status:
        case 403:
            return errors.UpstreamAccessDenied(message)
        case 404 | 405 | 501:
            return _not_there(said, message, status)
        case 408 | 504:
            return errors.UpstreamTimeout(message)
        case 413:
            return errors.RequestTooLarge(message)
        case _ if 400 <= status < 500 or said.type in _REJECTED or said.code in _REJECTED:
            return errors.UpstreamRejected(message, code=said.code or None, param=said.param)
        case _:
            return errors.UpstreamUnavailable(message)


def _not_there(said: Said, message: str, status: int) -> errors.ProxyError:
    """A model that is not there is the client's concern; an API that is not there is the settings'."""
    if status == 404 and "model" in said.message.lower():
        return errors.ModelNotFound(f"{message} (The OpenAI upstream does not know this model.)", param="model")
    return errors.UpstreamProtocol(
        f"The OpenAI upstream has nothing at this address (HTTP {status}): is openai_base_url right?"
    )


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Seconds, as OpenAI's two headers have it; a date is not read."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name, "")
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
            return float(value) / unit
    return None


def _hint(said: Said, status: int) -> str:
    known = [f"HTTP {status}"] if status else []
    known += [said.code or said.type] if said.code or said.type else []
    return f" ({', '.join(known)})" if known else ""


def _without_words(status: int) -> str:
    told = f"answered HTTP {status}" if status else "ended its answer with an error"
    return f"The OpenAI upstream {told} and did not say why."


def _text(value: Any) -> str:
    text = whole(value)[:_MOST_TEXT] if isinstance(value, str) else ""
    return _KEY.sub("***", text)


def _code(value: Any) -> str:
    """Some servers repeat the status there: a number is no code."""
    return value if isinstance(value, str) and _CODE.match(value) else ""


def _param(value: Any) -> str | None:
    return _text(value)[:200] or None
