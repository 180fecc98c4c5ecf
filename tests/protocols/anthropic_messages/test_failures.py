"""Errors in Anthropic's shape, with the type that belongs to each status."""

from __future__ import annotations

import json

import pytest

from cw_proxy import errors
from cw_proxy.protocols.anthropic_messages import AnthropicMessages

TYPES: list[tuple[type[errors.ProxyError], str]] = [
    (errors.InvalidValue, "invalid_request_error"),
    (errors.UpstreamRejected, "invalid_request_error"),
    (errors.InvalidApiKey, "authentication_error"),
    (errors.LoginRequired, "authentication_error"),
    (errors.UpstreamAccessDenied, "permission_error"),
    (errors.ModelNotFound, "not_found_error"),
    (errors.RequestTimeout, "timeout_error"),
    (errors.RequestTooLarge, "request_too_large"),
    (errors.UnsupportedMediaType, "invalid_request_error"),
    (errors.RateLimited, "rate_limit_error"),
    (errors.InsufficientQuota, "billing_error"),
    (errors.ProxyError, "api_error"),
    (errors.UpstreamUnavailable, "api_error"),
    (errors.Overloaded, "overloaded_error"),
    (errors.ShuttingDown, "overloaded_error"),
    (errors.UpstreamTimeout, "timeout_error"),
]


@pytest.mark.parametrize(("error", "kind"), TYPES, ids=[case[0].__name__ for case in TYPES])
def test_each_has_its_type(error: type[errors.ProxyError], kind: str) -> None:
    shown = AnthropicMessages().error(error("No."))
    assert shown.status == error.status
    assert json.loads(shown.body) == {"type": "error", "error": {"type": kind, "message": "No."}}


def test_headers_are_kept() -> None:
    assert AnthropicMessages().error(errors.RateLimited("x", retry_after=2)).headers["Retry-After"] == "2"
    assert AnthropicMessages().error(errors.InsufficientQuota("x")).headers["x-should-retry"] == "false"
    assert AnthropicMessages().error(errors.InvalidApiKey("x")).headers["WWW-Authenticate"] == "Bearer"


def test_the_place_stands_in_the_message() -> None:
    shown = AnthropicMessages().error(errors.InvalidValue("No.", param="messages[0].content"))
    assert json.loads(shown.body)["error"]["message"] == "messages[0].content: No."


def test_agents_are_told_to_shorten_the_chat_in_the_words_they_look_for() -> None:
    shown = AnthropicMessages().error(errors.ContextLengthExceeded("Too much."))
    assert json.loads(shown.body)["error"]["message"] == "prompt is too long: Too much."
