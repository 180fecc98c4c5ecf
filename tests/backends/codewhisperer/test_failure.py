"""A refusal in either wire form goes in, one error of the tree comes out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import json_values

from cw_proxy import errors
from cw_proxy.backends.codewhisperer.failure import classify, failure_of_frame, failure_of_reply

HIGH_LOAD = "Encountered unexpectedly high load when processing the request, please try again."
INVALID_TOKEN = "The bearer token included in the request is invalid."

# status, exception, message, reason → class, code
TABLE = [
    (400, "ValidationException", "Improperly formed request.", None, errors.UpstreamRejected, "upstream_validation"),
    (400, "ValidationException", "Bad tool.", "TOOL_DUPLICATE", errors.UpstreamRejected, "tool_duplicate"),
    (400, "ValidationException", "Input is too long.", None, errors.ContextLengthExceeded, "context_length_exceeded"),
    (
        *(400, "ValidationException", "Too much.", "CONTENT_LENGTH_EXCEEDS_THRESHOLD"),
        *(errors.ContextLengthExceeded, "context_length_exceeded"),
    ),
    (400, "ValidationException", "x", "PROMPT_TOO_LONG", errors.ContextLengthExceeded, "context_length_exceeded"),
    (
        *(400, "ValidationException", "Exceeded max chat context length.", None),
        *(errors.ContextLengthExceeded, "context_length_exceeded"),
    ),
    (400, "ValidationException", "x", "INVALID_MODEL_ID", errors.ModelNotFound, "model_not_found"),
    (
        *(400, "ValidationException", "profileArn is required for this request.", None),
        *(errors.UpstreamProfileRequired, "profile_required"),
    ),
    (401, "UnauthorizedException", INVALID_TOKEN, None, errors.UpstreamTokenRefused, "upstream_access_denied"),
    (403, "ExpiredTokenException", INVALID_TOKEN, None, errors.UpstreamTokenRefused, "upstream_access_denied"),
    (403, "AccessDeniedException", INVALID_TOKEN, None, errors.UpstreamTokenRefused, "upstream_access_denied"),
    (
        *(403, "AccessDeniedException", "Not for you.", "FEATURE_NOT_SUPPORTED"),
        *(errors.UpstreamAccessDenied, "upstream_access_denied"),
    ),
    (
        *(403, "AccessDeniedException", "Suspended.", "TEMPORARILY_SUSPENDED"),
        *(errors.UpstreamAccessDenied, "upstream_access_denied"),
    ),
    (402, "ServiceQuotaExceededException", "Enough.", None, errors.InsufficientQuota, "insufficient_quota"),
    (
        *(402, "ServiceQuotaExceededException", "Enough.", "OVERAGE_REQUEST_LIMIT_EXCEEDED"),
        *(errors.InsufficientQuota, "insufficient_quota"),
    ),
    (429, "ThrottlingException", "Slow.", None, errors.RateLimited, "rate_limit_exceeded"),
    (429, "ThrottlingException", "Slow.", "INSUFFICIENT_MODEL_CAPACITY", errors.RateLimited, "rate_limit_exceeded"),
    (429, "ThrottlingException", "Enough.", "MONTHLY_REQUEST_COUNT", errors.InsufficientQuota, "insufficient_quota"),
    (429, "ThrottlingException", "Enough.", "DAILY_REQUEST_COUNT", errors.InsufficientQuota, "insufficient_quota"),
    # An older form: the quota on a 400.
    (400, "ThrottlingException", "Enough.", "MONTHLY_REQUEST_COUNT", errors.InsufficientQuota, "insufficient_quota"),
    (400, "ThrottlingException", "MONTHLY_REQUEST_COUNT", None, errors.InsufficientQuota, "insufficient_quota"),
    (400, "ThrottlingException", "Slow.", None, errors.RateLimited, "rate_limit_exceeded"),
    (500, "InternalServerException", HIGH_LOAD, None, errors.RateLimited, "rate_limit_exceeded"),
    (500, "InternalServerException", "Oh.", None, errors.UpstreamUnavailable, "upstream_unavailable"),
    (
        *(500, "InternalServerException", "Oh.", "MODEL_TEMPORARILY_UNAVAILABLE"),
        *(errors.UpstreamUnavailable, "upstream_unavailable"),
    ),
    (503, "ServiceUnavailableException", "Oh.", None, errors.UpstreamUnavailable, "upstream_unavailable"),
    (404, "ResourceNotFoundException", "What?", None, errors.UpstreamRejected, "upstream_validation"),
    (
        409,
        "ConflictException",
        "No.",
        "CUSTOMER_KMS_KEY_DISABLED",
        errors.UpstreamRejected,
        "customer_kms_key_disabled",
    ),
    (418, "NewException", "New.", None, errors.UpstreamUnavailable, "upstream_unavailable"),
]
NAMESPACE = "com.amazon.aws.codewhisperer#"
SUFFIX = ":http://internal.amazon.com/coral/com.amazon.coral.validate/"
# Where the name stands: headers, members of the body.
FORMS = {
    "header": lambda name: ({"x-amzn-errortype": name}, {}),
    "header with a suffix": lambda name: ({"x-amzn-errortype": name + SUFFIX}, {}),
    "header with a namespace": lambda name: ({"x-amzn-errortype": NAMESPACE + name + SUFFIX}, {}),
    "code": lambda name: ({}, {"code": name}),
    "__type": lambda name: ({}, {"__type": NAMESPACE + name}),
    "header before body": lambda name: ({"x-amzn-errortype": name}, {"__type": "#OtherException", "code": "Other"}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("status", "name", "message", "reason", "error", "code"), TABLE)
def test_name_and_reason_decide_in_every_wire_form(
    form: str, status: int, name: str, message: str, reason: str | None, error: type[errors.ProxyError], code: str
) -> None:
    headers, members = FORMS[form](name)
    for spelling in ("message", "Message"):
        found = failure_of_reply(status, headers, json.dumps({**members, spelling: message, "reason": reason}).encode())
        assert (type(found), found.code) == (error, code)
        assert found.message.startswith(message)


BY_STATUS = [
    (400, errors.UpstreamRejected),
    (401, errors.UpstreamTokenRefused),
    (402, errors.InsufficientQuota),
    (403, errors.UpstreamTokenRefused),
    (404, errors.UpstreamRejected),
    (413, errors.UpstreamRejected),
    (429, errors.RateLimited),
    (204, errors.UpstreamProtocol),
    (302, errors.UpstreamProtocol),
    (500, errors.UpstreamUnavailable),
    (502, errors.UpstreamUnavailable),
    (503, errors.UpstreamUnavailable),
]
NOT_OURS = [b"", b"<html>secret</html>", b"[]", b"null", b"{", b"\xff", b"[" * 200_000, b'{"message":5,"code":400}']


@pytest.mark.parametrize(("status", "error"), BY_STATUS)
@pytest.mark.parametrize("body", NOT_OURS)
def test_without_a_name_the_status_decides_and_the_page_is_not_shown(
    status: int, error: type[errors.ProxyError], body: bytes
) -> None:
    found = failure_of_reply(status, {}, body)
    assert type(found) is error
    assert str(status) in found.message
    assert b"html" not in found.body()


def test_a_number_where_a_text_belongs_does_not_hide_the_rest() -> None:
    body = b'{"code":400,"message":"Enough.","reason":"MONTHLY_REQUEST_COUNT","more":[1]}'
    assert type(failure_of_reply(400, {}, body)) is errors.InsufficientQuota


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, "2"), ("7", "7"), ("600", "60"), ("0", "2"), ("1.5", "2"), ("-1", "2"), ("9" * 5000, "60"), ("²", "2")],
)
def test_retry_after_is_the_services_within_bounds(header: str | None, seconds: str) -> None:
    headers = {} if header is None else {"retry-after": header}
    found = failure_of_reply(429, headers, b"{}")
    assert found.headers()["Retry-After"] == seconds


def test_a_quota_is_not_to_be_tried_again() -> None:
    found = failure_of_reply(429, {"retry-after": "5"}, b'{"reason":"MONTHLY_REQUEST_COUNT","message":"Enough."}')
    assert found.headers() == {"x-should-retry": "false"}


HOLDS = [
    ("ThrottlingException", "MONTHLY_REQUEST_COUNT", 60),
    ("ThrottlingException", "DAILY_REQUEST_COUNT", 60),
    ("ServiceQuotaExceededException", None, 60),
    ("ServiceQuotaExceededException", "OVERAGE_REQUEST_LIMIT_EXCEEDED", 60),
    ("AccessDeniedException", "FEATURE_NOT_SUPPORTED", 60),
    ("AccessDeniedException", "TEMPORARILY_SUSPENDED", 60),
    # One conversation, one resource, perhaps only the token, only this moment.
    ("ServiceQuotaExceededException", "CONVERSATION_LIMIT_EXCEEDED", None),
    ("AccessDeniedException", "UNAUTHORIZED_CUSTOMIZATION_RESOURCE_ACCESS", None),
    ("AccessDeniedException", None, None),
    ("ThrottlingException", None, None),
    ("ValidationException", None, None),
    ("InternalServerException", None, None),
]


@pytest.mark.parametrize(("name", "reason", "seconds"), HOLDS)
def test_only_the_accounts_own_errors_stand_for_all_calls(name: str, reason: str | None, seconds: int | None) -> None:
    assert classify(name, "No.", reason).hold == seconds


def test_a_stated_reset_ends_the_hold() -> None:
    assert classify("ServiceQuotaExceededException", "No.", None, retry_after=7.0).hold == 7


FRAMES = [
    ("error", errors.UpstreamUnavailable),
    ("throttlingException", errors.RateLimited),
    ("ThrottlingException", errors.RateLimited),
    (NAMESPACE + "ThrottlingException", errors.RateLimited),
    ("validationException", errors.UpstreamRejected),
    ("accessDeniedException", errors.UpstreamTokenRefused),
    ("unheardOf", errors.UpstreamUnavailable),
    ("", errors.UpstreamUnavailable),
]


@pytest.mark.parametrize(("name", "error"), FRAMES)
def test_an_exception_frame_names_its_class(name: str, error: type[errors.ProxyError]) -> None:
    assert type(failure_of_frame(name, b'{"message":"No."}')) is error


@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["x-amzn-errortype", "retry-after"]), st.text(max_size=8)),
    st.one_of(
        st.binary(max_size=20),
        st.dictionaries(
            st.sampled_from(["message", "Message", "reason", "code", "__type"]),
            st.one_of(json_values, st.text(st.characters(codec=None), max_size=3)),
        ).map(lambda said: json.dumps(said).encode()),
    ),
)
def test_whatever_is_said_is_an_error_that_can_be_written(status: int, headers: dict[str, str], body: bytes) -> None:
    for found in (failure_of_reply(status, headers, body), failure_of_frame("error", body)):
        json.loads(found.body())
        assert all(value.isascii() and value.isprintable() for value in found.headers().values())


def test_the_message_keeps_the_services_words() -> None:
    assert classify("AccessDeniedException", "Because.", "FEATURE_NOT_SUPPORTED").message == "Because."


IMPROPER = "Improperly formed request."


def test_a_refusal_without_a_reason_says_who_can_explain_it() -> None:
    body = json.dumps({"message": IMPROPER}).encode()
    found = failure_of_reply(400, {"x-amzn-errortype": "ValidationException"}, body)
    assert found.message == f"{IMPROPER} (`cw-proxy lint` can tell what is wrong with a request.)"
    assert classify("ValidationException", IMPROPER, "TOOL_DUPLICATE").message == IMPROPER
    assert classify("ValidationException", "Bad tool.", None).message == "Bad tool."
