"""Refusals as servers of this kind write them go in, the error tree comes out; never a key, never a foreign 401."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values

from cw_proxy import errors
from cw_proxy.backends.openai_upstream.failure import classify, failure_of_reply, retry_after_of, said_of


def refused(status: int, error: object = None, **headers: str) -> errors.ProxyError:
    body = json.dumps({"error": error}).encode()
    return failure_of_reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def said(code: str | None = None, kind: str = "invalid_request_error", message: str = "No.") -> dict[str, Any]:
    return {"message": message, "type": kind, "param": None, "code": code}


CASES: list[tuple[int, Any, type[errors.ProxyError]]] = [
    (400, said("context_length_exceeded"), errors.ContextLengthExceeded),
    (400, said(message="This model's maximum context length is 8192 tokens."), errors.ContextLengthExceeded),
    (400, said("unsupported_value"), errors.UpstreamRejected),
    (422, "Not so.", errors.UpstreamRejected),
    (401, said("invalid_api_key"), errors.UpstreamTokenRefused),
    (401, None, errors.UpstreamTokenRefused),
    (403, said("invalid_api_key"), errors.UpstreamTokenRefused),
    (403, said("unsupported_country_region_territory", "request_forbidden"), errors.UpstreamAccessDenied),
    (403, said("model_not_found"), errors.ModelNotFound),
    (404, said("model_not_found"), errors.ModelNotFound),
    (404, said(message="model 'x' not found"), errors.ModelNotFound),
    (404, None, errors.UpstreamProtocol),
    (405, None, errors.UpstreamProtocol),
    (402, None, errors.InsufficientQuota),
    (429, said("insufficient_quota", "insufficient_quota"), errors.InsufficientQuota),
    (429, said("billing_hard_limit_reached"), errors.InsufficientQuota),
    (429, said("rate_limit_exceeded", "tokens"), errors.RateLimited),
    (429, None, errors.RateLimited),
    (408, None, errors.UpstreamTimeout),
    (413, None, errors.RequestTooLarge),
    (500, said(None, "server_error"), errors.UpstreamUnavailable),
    (502, None, errors.UpstreamUnavailable),
    (503, "<html>", errors.UpstreamUnavailable),
    (504, None, errors.UpstreamTimeout),
    (302, None, errors.UpstreamProtocol),
]


@pytest.mark.parametrize(("status", "error", "expected"), CASES)
def test_what_a_refusal_means(status: int, error: Any, expected: type[errors.ProxyError]) -> None:
    assert type(refused(status, error)) is expected


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize(
    "key",
    ["sk-proj-abcdefgh12345678", "sk-abc***********wxyz", "Bearer abc.def", "gsk_abcdefgh1234", "key-1234567890"],
)
def test_a_key_that_the_server_repeats_is_not_passed_on(key: str, status: int) -> None:
    error = refused(status, said(message=f"Incorrect key {key} provided."))
    assert key.removeprefix("Bearer ") not in error.message


def test_the_clients_own_key_is_never_blamed() -> None:
    error = refused(401, said("invalid_api_key", message="Incorrect API key provided."))
    assert (error.status, error.type) == (403, "permission_error")
    assert error.message == "The OpenAI upstream refused the key (HTTP 401, invalid_api_key)."


def test_words_code_and_place_are_passed_on() -> None:
    error = refused(
        400, {"message": "Bad \ud83d temperature.", "code": "decimal_above_max_value", "param": "temperature"}
    )
    assert (error.message, error.code, error.param) == (
        "Bad \ufffd temperature.",
        "decimal_above_max_value",
        "temperature",
    )
    assert refused(400, {"message": "x", "code": 400}).code == "upstream_validation"


def test_waiting_times() -> None:
    assert refused(429, None, retry_after="7").retry_after == 7
    assert refused(429, None, retry_after="7", retry_after_ms="1500").retry_after == 1.5
    assert refused(429, None, retry_after="Wed, 21 Oct 2026 07:28:00 GMT").retry_after == 2
    for value in ("", "-1", "1e9", "nan", "٣", "9" * 400):
        assert retry_after_of({"retry-after": value}) is None


def test_a_spent_quota_stands_for_all_calls_and_a_rate_does_not() -> None:
    assert refused(429, said("insufficient_quota")).hold == 60
    assert refused(429).hold is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"error": "a"}, "a"),
        ({"message": "a", "object": "error"}, "a"),
        ({"detail": "a"}, "a"),
        ("a", "a"),
        ([], ""),
        ({"error": {"message": 5}}, ""),
    ],
)
def test_envelopes(body: Any, message: str) -> None:
    assert said_of(body).message == message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"type": "server_error"}, errors.UpstreamUnavailable),
        ({"type": "rate_limit_error", "code": "rate_limit_exceeded"}, errors.RateLimited),
        ({"type": "invalid_request_error", "message": "x"}, errors.UpstreamRejected),
        ({"code": "context_length_exceeded"}, errors.ContextLengthExceeded),
        ({}, errors.UpstreamUnavailable),
    ],
)
def test_in_the_middle_of_an_answer_type_and_code_decide(error: Any, expected: type[errors.ProxyError]) -> None:
    assert type(classify(said_of({"error": error}))) is expected


@given(st.integers(300, 599), json_values)
def test_any_json_is_some_error_that_can_be_written(status: int, body: Any) -> None:
    for whole in (body, {"error": body}):
        error = failure_of_reply(status, {}, json.dumps(whole).encode())
        assert error.message
        error.body()
        assert error.status != 401


@given(st.integers(300, 599), st.binary(max_size=40))
def test_any_bytes_are_some_error(status: int, body: bytes) -> None:
    assert failure_of_reply(status, {}, body).message
