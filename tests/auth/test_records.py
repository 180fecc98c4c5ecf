from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.auth.records import (
    Login,
    Registration,
    parse_login,
    parse_registration,
    render_login,
    render_registration,
)
from cw_proxy.secret import Secret

AWS_CACHE = {
    "startUrl": "https://view.awsapps.com/start",
    "region": "us-east-1",
    "accessToken": "canary-access",
    "expiresAt": "2026-03-04T05:06:07Z",
    "refreshToken": "canary-refresh",
    "clientId": "client",
    "clientSecret": "canary-client",
    "registrationExpiresAt": "2026-06-01T00:00:00Z",
}


def test_a_file_of_awss_sso_cache_is_read_and_written_back_the_same():
    login = parse_login(json.dumps(AWS_CACHE).encode())
    assert login.expires_at == 1772600767
    assert login.access_token == Secret("canary-access")
    assert json.loads(render_login(login)) == AWS_CACHE


def test_fields_of_other_tools_are_kept():
    fields = {**AWS_CACHE, "idToken": "canary-id", "nested": {"a": [1, None]}}
    assert json.loads(render_login(parse_login(json.dumps(fields).encode()))) == fields


def test_no_secret_shows_in_a_repr():
    login = parse_login(json.dumps({**AWS_CACHE, "idToken": "canary-id"}).encode())
    registration = parse_registration(b'{"clientId": "c", "clientSecret": "canary-client"}')
    assert "canary" not in f"{login!r} {registration!r}"


def test_a_registration_keeps_the_service_own_expiry_too():
    data = b'{"clientId": "c", "clientSecret": "s", "clientSecretExpiresAt": 1772600767}'
    registration = parse_registration(data)
    assert registration.expires_at == 1772600767
    assert json.loads(render_registration(registration))["expiresAt"] == "2026-03-04T05:06:07Z"


@given(
    st.builds(
        Registration,
        client_id=st.text(),
        client_secret=st.text().map(Secret),
        expires_at=st.integers(1, 2**33),
        scopes=st.lists(st.text()).map(tuple),
        start_url=st.text(),
        region=st.text(),
    )
)
def test_a_registration_survives_the_file(registration: Registration):
    assert parse_registration(render_registration(registration)) == registration


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"canary"',
        b"\xff\xfe",
        b'{"accessToken": 1}',
        b'{"expiresAt": "canary"}',
        b'{"expiresAt": "2026-13-45T00:00:00Z"}',
        b'{"accessToken": "canary"',
    ],
)
def test_what_is_no_sign_in_is_a_value_error_that_quotes_nothing(data: bytes):
    with pytest.raises(ValueError) as caught:
        parse_login(data)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_who_is_signed_in(make_login):
    now = 1_700_000_000.0
    assert make_login(left=10).signed_in(now)
    assert make_login(left=-10).signed_in(now)
    assert not make_login(left=-10, refresh_token=None).signed_in(now)
    assert not make_login(left=-10, client_secret=None).signed_in(now)
    assert make_login(left=10, refresh_token=None).signed_in(now)


def test_the_command_signs_in_to_the_same_place():
    assert Login(start_url="", region="us-east-1").command == "cw-proxy login"
    login = Login(start_url="https://example.awsapps.com/start", region="eu-west-1")
    assert login.command == "cw-proxy login --start-url https://example.awsapps.com/start --region eu-west-1"
