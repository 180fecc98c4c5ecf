from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cw_proxy import __version__
from cw_proxy.auth import flow
from cw_proxy.auth.oidc_boto import BotoOidc, check_endpoint, translate
from cw_proxy.emulator import Emulator, Settings
from cw_proxy.errors import (
    ConfigError,
    ProxyError,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamUnavailable,
)
from cw_proxy.secret import Secret

REGISTER = flow.Register("cw-proxy", ("scope",))
AUTHORIZE = flow.Authorize("client", Secret("canary-client"), "https://example.awsapps.com/start")
REFRESH = flow.CreateToken("client", Secret("canary-client"), flow.RefreshGrant(Secret("canary-refresh")))
POLL = flow.CreateToken("client", Secret("canary-client"), flow.DeviceGrant(Secret("canary-device")))
TOKENS = {"accessToken": "canary-access", "refreshToken": "canary-new", "expiresIn": 60, "tokenType": "Bearer"}


class Scripted:
    """A server that says what it was told to, and keeps what it heard."""

    def __init__(self) -> None:
        self.status, self.body, self.heard = 200, b"{}", list[tuple[str, dict[str, str], bytes]]()
        self.hang: threading.Event | None = None
        owner = self

        class Server(ThreadingHTTPServer):
            def handle_error(self, *arguments: object) -> None:
                """A client that has given up is what some tests are about."""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                owner.heard.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                if owner.hang is not None:
                    owner.hang.wait(30)
                self.send_response(owner.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(owner.body)))
                self.end_headers()
                self.wfile.write(owner.body)

            def log_message(self, *arguments: object) -> None: ...

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def says(self, body: Any, status: int = 200) -> None:
        self.status, self.body = status, body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    thread = threading.Thread(target=scripted.server.serve_forever, args=(0.01,))
    thread.start()
    yield scripted
    scripted.server.shutdown()
    thread.join()
    scripted.server.server_close()


@pytest.fixture
def door(server: Scripted) -> BotoOidc:
    return BotoOidc("us-east-1", endpoint_url=server.url, attempts=1)


# --- against the emulator ---------------------------------------------------------------------------------


async def test_a_whole_sign_in_and_a_refresh():
    async with Emulator(settings=Settings(auto_approve=True)) as emulator:
        door = BotoOidc("us-east-1", endpoint_url=emulator.url)
        client = await asyncio.to_thread(door.register, flow.Register(flow.CLIENT_NAME, flow.SCOPES))
        authorize = flow.Authorize(client.client_id, client.client_secret, flow.Place().start_url)
        code = await asyncio.to_thread(door.authorize, authorize)
        assert (code.interval, code.expires_in) == (1, 600)
        assert code.user_code in code.verification_uri_complete
        grant: flow.DeviceGrant | flow.RefreshGrant = flow.DeviceGrant(code.device_code)
        for _ in range(2):
            ask = flow.CreateToken(client.client_id, client.client_secret, grant)
            granted = await asyncio.to_thread(door.create_token, ask)
            assert emulator.oidc.accepts(granted.access_token.reveal())
            grant = flow.RefreshGrant(granted.refresh_token)


@pytest.mark.parametrize(
    "error",
    [
        "authorization_pending",
        "slow_down",
        "expired_token",
        "access_denied",
        "invalid_grant",
        "invalid_client",
        "invalid_request",
        "unauthorized_client",
    ],
)
async def test_each_refusal_comes_by_its_name(error: str):
    async with Emulator(settings=Settings(next_token_errors=[error])) as emulator:
        door = BotoOidc("us-east-1", endpoint_url=emulator.url)
        answer = await asyncio.to_thread(door.create_token, POLL)
        assert isinstance(answer, flow.Refused)
        assert answer.error == error
        assert answer.description


# --- what goes out ----------------------------------------------------------------------------------------


def test_the_calls_are_unsigned_and_say_who_calls(server: Scripted, door: BotoOidc):
    server.says({"clientId": "c", "clientSecret": "s", "clientSecretExpiresAt": 1_800_000_000})
    assert door.register(REGISTER) == flow.Registered("c", Secret("s"), 1_800_000_000)
    server.says(TOKENS)
    door.create_token(REFRESH)
    (path, headers, body), (token_path, _, token_body) = server.heard
    assert (path, token_path) == ("/client/register", "/token")
    assert headers["user-agent"].endswith(f"cw-proxy/{__version__}")
    assert "authorization" not in headers
    assert json.loads(body) == {"clientName": "cw-proxy", "clientType": "public", "scopes": ["scope"]}
    assert json.loads(token_body)["grantType"] == "refresh_token"


def test_the_settings_of_other_work_decide_nothing(server, door, monkeypatch: pytest.MonkeyPatch, tmp_path):
    (tmp_path / "config").write_text("[profile x]\nendpoint_url = http://127.0.0.1:1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "there-is-none")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server.says(TOKENS)
    assert isinstance(door.create_token(REFRESH), flow.Granted)


# --- what comes back --------------------------------------------------------------------------------------


def test_what_is_optional_may_be_missing(server: Scripted, door: BotoOidc):
    server.says({"accessToken": "a", "expiresIn": 60})
    assert door.create_token(REFRESH) == flow.Granted(Secret("a"), None, 60)
    server.says({"deviceCode": "d", "userCode": "u", "verificationUri": "https://v", "expiresIn": 60})
    assert door.authorize(AUTHORIZE) == flow.Authorized(Secret("d"), "u", "https://v", "https://v", 60, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xff",
        b"[1]",
        b"null",
        b'"text"',
        b"<html>Sign in to the hotel's network</html>",
        {},
        {"accessToken": "", "expiresIn": 60},
        {"accessToken": "canary-access"},
        {"accessToken": "canary-access", "expiresIn": 0},
        {"accessToken": "canary-access", "expiresIn": "soon"},
        {"accessToken": ["canary-access"], "expiresIn": 60},
    ],
)
def test_an_answer_that_makes_no_sense_is_a_protocol_error(server: Scripted, door: BotoOidc, body: Any):
    server.says(body)
    with pytest.raises(UpstreamProtocol) as caught:
        door.create_token(REFRESH)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": "invalid_grant", "__type": "InvalidGrantException"}, flow.Refused("invalid_grant")),
        (400, {"__type": "ns#SlowDownException"}, flow.Refused("slow_down")),
        (429, {"__type": "TooManyRequestsException"}, flow.Refused("slow_down")),
        (400, {"__type": "ThrottlingException"}, flow.Refused("slow_down")),
        (500, {"error": "server_error"}, UpstreamUnavailable),
        (503, b"<html>", UpstreamUnavailable),
        (403, b"<html>blocked</html>", UpstreamProtocol),
        (400, {}, UpstreamProtocol),
    ],
)
def test_errors_by_status_and_name(server: Scripted, door: BotoOidc, status: int, body: Any, expected: Any):
    server.says(body, status)
    if isinstance(expected, flow.Refused):
        assert door.create_token(REFRESH) == expected
    else:
        with pytest.raises(expected):
            door.create_token(REFRESH)


def test_silence_is_a_timeout(server: Scripted):
    server.hang = threading.Event()
    door = BotoOidc("us-east-1", endpoint_url=server.url, attempts=1, read_seconds=0.05)
    with pytest.raises(UpstreamTimeout):
        door.create_token(REFRESH)
    server.hang.set()


def test_nobody_there_is_unavailable():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        door = BotoOidc("us-east-1", endpoint_url=f"http://127.0.0.1:{taken.getsockname()[1]}", attempts=1)
        with pytest.raises(UpstreamUnavailable):
            door.create_token(REFRESH)


def test_attempts_are_bounded(server: Scripted):
    server.says({"error": "server_error"}, 500)
    with pytest.raises(UpstreamUnavailable):
        BotoOidc("us-east-1", endpoint_url=server.url, attempts=2).create_token(REFRESH)
    assert len(server.heard) == 2


def test_tls_is_its_own_error():
    from botocore.exceptions import SSLError

    assert isinstance(translate(SSLError(endpoint_url="https://x", error="certificate")), UpstreamTls)


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:80", True),
        ("http://localhost", True),
        ("http://[::1]:80", True),
        ("https://localhost", True),
        ("https://oidc.example.com", False),
    ],
)
def test_endpoints_that_are_fine(url: str, loopback: bool):
    assert check_endpoint(url) is loopback


@pytest.mark.parametrize(
    "url",
    [
        "http://oidc.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com",
        "https://user:canary@example.com",
        "http://0.0.0.0",
        "ftp://127.0.0.1",
        "127.0.0.1:80",
        "https://",
        "",
    ],
)
def test_plain_http_to_elsewhere_and_what_is_no_url_are_refused(url: str):
    with pytest.raises(ConfigError) as caught:
        check_endpoint(url)
    assert "canary" not in caught.value.message


@pytest.mark.parametrize("region", ["", "us east", "us-east-1.example.com/", "US", "x" * 41])
def test_a_region_cannot_choose_the_host(region: str):
    with pytest.raises(ConfigError):
        BotoOidc(region)


# --- secrets ----------------------------------------------------------------------------------------------


def test_no_secret_reaches_a_log_a_message_or_a_traceback(server, door, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    server.says(TOKENS)
    answers: list[object] = [door.create_token(REFRESH), door.create_token(POLL)]
    description = "token canary-refresh of canary-client\x1b[2J"
    server.says({"__type": "InvalidGrantException", "error": "invalid_grant", "error_description": description}, 400)
    answers.append(door.create_token(REFRESH))
    failures = []
    for status, body in [(200, b'{"accessToken": "canary-access"'), (500, TOKENS), (403, TOKENS)]:
        server.says(body, status)
        with pytest.raises(ProxyError) as caught:
            door.create_token(REFRESH)
        failures.append("".join(traceback.format_exception(caught.value)))
        assert caught.value.__context__ is None
    assert "canary" not in f"{caplog.text} {answers!r} {failures}"
    assert answers[2] == flow.Refused("invalid_grant", "token *** of ***[2J")
