"""Errors with an upstream's words go in; out come ours, with the same status."""

from __future__ import annotations

import logging

import pytest

from cw_proxy import errors
from cw_proxy.public_errors import public

BEHIND: list[type[errors.ProxyError]] = [
    errors.UpstreamRejected,
    errors.ContextLengthExceeded,
    errors.UpstreamProfileRequired,
    errors.ModelNotFound,
    errors.RequestTooLarge,
    errors.LoginRequired,
    errors.UpstreamAccessDenied,
    errors.UpstreamTokenRefused,
    errors.RateLimited,
    errors.InsufficientQuota,
    errors.UpstreamUnavailable,
    errors.UpstreamTls,
    errors.UpstreamProtocol,
    errors.UpstreamTruncated,
    errors.EmptyUpstreamResponse,
    errors.UpstreamTimeout,
    errors.BrokenState,
]


@pytest.mark.parametrize("kind", [errors.TooManyRequests, errors.ConcurrencyLimited, errors.DemandUnmet])
def test_what_this_server_says_of_a_client_is_told(
    kind: type[errors.ProxyError], caplog: pytest.LogCaptureFixture
) -> None:
    said = kind("At most 3 requests in 60 s.", retry_after=3)
    assert public(said) is said
    assert caplog.messages == []


@pytest.mark.parametrize("kind", BEHIND)
def test_the_words_are_ours_and_the_reason_is_logged(
    kind: type[errors.ProxyError], caplog: pytest.LogCaptureFixture
) -> None:
    said = kind("canary of gpt-5", code="canary", param="canary", retry_after=3)
    with caplog.at_level(logging.WARNING):
        told = public(said)
    assert (told.status, told.type, told.code) == (said.status, said.type, kind.default_code)
    assert told.headers() == said.headers()
    assert "canary" not in told.body().decode()
    assert "canary of gpt-5" in caplog.text


OURS = [
    errors.InvalidJson("x"),
    errors.InvalidValue("x", param="messages"),
    errors.UnsupportedParameter("x", param="n"),
    errors.InvalidApiKey("x"),
    errors.UnsupportedMediaType("x"),
    errors.MethodNotAllowed("x", allowed="POST"),
    errors.Overloaded("x"),
    errors.ShuttingDown("x"),
    errors.SocketLimit("x"),
    errors.DemandUnmet("x", code="no_bracketed_value"),
    errors.ProxyError("Internal error."),
]


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_what_is_about_the_request_is_told_as_it_is(error: errors.ProxyError) -> None:
    assert public(error) is error
