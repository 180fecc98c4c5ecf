"""Each failure's status, type, code and headers: conversion.md's table, once more."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy import errors
from cw_proxy.errors import ProxyError
from cw_proxy.secret import Secret

NO_RETRY = {"x-should-retry": "false"}
REQUEST = "invalid_request_error"
TABLE: dict[type[ProxyError], tuple[int, str, str, dict[str, str]]] = {
    errors.ProxyError: (500, "server_error", "internal_error", {}),
    errors.InvalidRequest: (400, REQUEST, "invalid_request", {}),
    errors.InvalidJson: (400, REQUEST, "invalid_json", {}),
    errors.InvalidValue: (400, REQUEST, "invalid_value", {}),
    errors.UnsupportedParameter: (400, REQUEST, "unsupported_parameter", {}),
    errors.UpstreamRejected: (400, REQUEST, "upstream_validation", NO_RETRY),
    errors.ContextLengthExceeded: (400, REQUEST, "context_length_exceeded", NO_RETRY),
    errors.UpstreamProfileRequired: (400, REQUEST, "profile_required", NO_RETRY),
    errors.InvalidApiKey: (401, REQUEST, "invalid_api_key", {"WWW-Authenticate": "Bearer"}),
    errors.OriginRefused: (403, REQUEST, "origin_refused", {}),
    errors.NotFound: (404, REQUEST, "not_found", {}),
    errors.ModelNotFound: (404, REQUEST, "model_not_found", {}),
    errors.MethodNotAllowed: (405, REQUEST, "method_not_allowed", {}),
    errors.RequestTimeout: (408, REQUEST, "request_timeout", {}),
    errors.RequestTooLarge: (413, REQUEST, "request_too_large", {}),
    errors.UnsupportedMediaType: (415, REQUEST, "unsupported_media_type", {}),
    errors.HostRefused: (421, REQUEST, "host_refused", {}),
    errors.UpgradeRequired: (426, REQUEST, "upgrade_required", {"Upgrade": "websocket", "Connection": "Upgrade"}),
    errors.SocketLimit: (400, REQUEST, "websocket_stream_limit_reached", {}),
    errors.UnsupportedEndpoint: (501, REQUEST, "unsupported_endpoint", NO_RETRY),
    errors.LoginRequired: (401, "authentication_error", "login_required", NO_RETRY),
    errors.UpstreamAccessDenied: (403, "permission_error", "upstream_access_denied", NO_RETRY),
    errors.UpstreamTokenRefused: (403, "permission_error", "upstream_access_denied", NO_RETRY),
    errors.RateLimited: (429, "rate_limit_error", "rate_limit_exceeded", {}),
    errors.TooManyRequests: (429, "rate_limit_error", "rate_limit_exceeded", {}),
    errors.ConcurrencyLimited: (429, "rate_limit_error", "concurrency_limit_exceeded", {}),
    errors.InsufficientQuota: (429, "insufficient_quota", "insufficient_quota", NO_RETRY),
    errors.UpstreamError: (502, "upstream_error", "upstream_unavailable", {}),
    errors.UpstreamUnavailable: (502, "upstream_error", "upstream_unavailable", {}),
    errors.UpstreamTls: (502, "upstream_error", "upstream_tls", {}),
    errors.UpstreamProtocol: (502, "upstream_error", "upstream_protocol", {}),
    errors.UpstreamTruncated: (502, "upstream_error", "upstream_truncated", {}),
    errors.DemandUnmet: (502, "upstream_error", "demand_unmet", {"x-should-retry": "false"}),
    errors.EmptyUpstreamResponse: (502, "upstream_error", "empty_upstream_response", {}),
    errors.UpstreamTimeout: (504, "timeout_error", "upstream_timeout", {}),
    errors.TimeIsUp: (504, "timeout_error", "time_is_up", {}),
    errors.AnswerTooLarge: (500, "server_error", "answer_too_large", NO_RETRY),
    errors.ShuttingDown: (503, "server_error", "shutting_down", {}),
    errors.Overloaded: (503, "server_error", "overloaded", {}),
    errors.BrokenState: (500, "server_error", "broken_state", {"x-should-retry": "false"}),
    errors.NatsUnavailable: (503, "server_error", "nats_unavailable", {}),
    errors.NatsRefused: (503, "server_error", "nats_refused", {"x-should-retry": "false"}),
    errors.ConfigError: (500, "server_error", "invalid_config", {}),
}


def tree(root: type[ProxyError] = ProxyError) -> Iterator[type[ProxyError]]:
    yield root
    for branch in root.__subclasses__():
        yield from tree(branch)


def test_the_table_is_whole() -> None:
    assert {error for error in tree() if error.__module__ == errors.__name__} == set(TABLE)


@pytest.mark.parametrize("error", TABLE)
def test_status_type_code_and_headers(error: type[ProxyError]) -> None:
    status, type_, code, headers = TABLE[error]
    made = error("Because.")
    assert (made.status, made.headers(), str(made)) == (status, headers, "Because.")
    assert json.loads(made.body()) == {"error": {"message": "Because.", "type": type_, "param": None, "code": code}}


def test_code_and_param_may_be_given() -> None:
    error = errors.InvalidValue("Because.", code="other", param="messages[0]")
    assert json.loads(error.body())["error"] == {
        "message": "Because.",
        "type": REQUEST,
        "param": "messages[0]",
        "code": "other",
    }


@pytest.mark.parametrize(
    ("hint", "seconds", "milliseconds"),
    [
        *[(None, None, None), (0, "1", "1000"), (-5, "1", "1000"), (0.2, "1", "1000"), (1, "1", "1000")],
        *[(1.2, "2", "1200"), (2, "2", "2000"), (59.5, "60", "59500"), (60, "60", "60000"), (61, "60", "60000")],
        *[(1e300, "60", "60000"), (float("inf"), "60", "60000")],
    ],
)
def test_a_retry_hint_is_whole_seconds_from_1_to_60(
    hint: float | None, seconds: str | None, milliseconds: str | None
) -> None:
    headers = errors.RateLimited("Slow.", retry_after=hint).headers()
    assert (headers.get("Retry-After"), headers.get("retry-after-ms")) == (seconds, milliseconds)


def test_a_refusal_tells_of_the_limit() -> None:
    error = errors.TooManyRequests("Slow.", retry_after=2, told={"x-ratelimit-remaining-requests": "0"})
    assert error.headers() == {"Retry-After": "2", "retry-after-ms": "2000", "x-ratelimit-remaining-requests": "0"}


def test_the_allowed_methods_are_said() -> None:
    assert errors.MethodNotAllowed("No.", allowed="GET, POST").headers() == {"Allow": "GET, POST"}


@given(st.text(st.characters(codec=None)), st.none() | st.text(st.characters(codec=None)))
def test_any_message_can_be_written_and_read(message: str, param: str | None) -> None:
    """Also half a surrogate pair, which most JSON writers refuse: an error must never fail to be said."""
    body = errors.InvalidRequest(message, param=param).body()
    read = json.loads(body.decode("utf-8"))["error"]
    assert (read["message"], read["param"]) == (message, param)
    assert b"\n" not in body  # it goes into one line of an event stream


def test_a_secret_in_a_message_is_masked() -> None:
    key = Secret("canary")
    error = errors.InvalidApiKey(f"{key} {key!r} {key!s} {key:>40}")
    assert "canary" not in error.body().decode() + repr(error) + str(error)
