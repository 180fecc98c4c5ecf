"""What goes on and what stays: headers, subprotocols, close codes, reasons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cw_proxy.relay_rules import passable, passed_back, passed_on, reason, subprotocols

PASSED = [
    "OpenAI-Beta", "User-Agent", "session_id", "Session-Id", "conversation_id", "originator", "version", "traceparent",
    "X-Client-Request-Id", "x-codex-turn-state", "x-codex-beta-features", "X-Stainless-Lang", "x-request-id",
]  # fmt: skip
KEPT = [
    "Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "api-key", "Api-Key", "X-Auth-Token",
    "x-goog-api-key",
    "X-Amz-Security-Token", "x-amz-date", "Origin", "Host", "Connection", "Upgrade", "Sec-WebSocket-Key",
    "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "X-Forwarded-For", "x-envoy-external-address", "X-Real-IP",
    "Forwarded", "Transfer-Encoding", "Content-Length", "OpenAI-Organization", "OpenAI-Project", "ChatGPT-Account-Id",
    "X-Session-Cookie", "x-csrf-token", "x-password", "Referer", "TE", "x-client-secret", "baggage",
]  # fmt: skip


@pytest.mark.parametrize("name", PASSED)
def test_what_is_known_to_be_safe_goes_on(name: str) -> None:
    assert passed_on([(name, "value")], "authorization") == [(name, "value")]


@pytest.mark.parametrize("name", KEPT)
def test_everything_else_stays(name: str) -> None:
    assert passed_on([(name, "value")], "authorization") == []


@pytest.mark.parametrize("value", ["caf\u00e9", "\udcff", "a\x00b", "a\tb"])
def test_what_has_no_one_encoding_stays(value: str) -> None:
    assert passed_on([("x-name", value)], "authorization") == []
    assert passed_back([("x-name", value)]) == []
    assert subprotocols({"sec-websocket-protocol": "caf\u00e9, one"}) == ["one"]


def test_the_upstreams_header_is_never_the_clients() -> None:
    assert passed_on([("X-Provider", "the client's"), ("x-other", "1")], "x-provider") == [("x-other", "1")]


def test_what_goes_back_to_the_client() -> None:
    back = ["retry-after", "x-ratelimit-remaining-tokens", "x-request-id", "openai-model", "x-codex-turn-state"]
    stays = ["set-cookie", "www-authenticate", "server", "connection", "sec-websocket-accept", "x-api-key", "date"]
    assert [name for name, _ in passed_back((name, "1") for name in back + stays)] == back


def test_a_browsers_key_is_no_subprotocol() -> None:
    offered = "responses, openai-insecure-api-key.sk-1 ,openai-project.p,openai-organization.o,, realtime"
    assert subprotocols({"sec-websocket-protocol": offered}) == ["responses", "realtime"]
    assert subprotocols({}) == []


CODES = {
    0: 1000, 1000: 1000, 1001: 1001, 1002: 1002, 1003: 1003, 1004: 1011, 1005: 1000, 1006: 1011, 1007: 1007,
    1008: 1008, 1009: 1009, 1010: 1010, 1011: 1011, 1012: 1012, 1013: 1013, 1014: 1014, 1015: 1011, 1016: 1011,
    2999: 1011, 3000: 3000, 4999: 4999, 5000: 1011, 65535: 1011, 999: 1011,
}  # fmt: skip


@pytest.mark.parametrize(("code", "sent"), CODES.items())
def test_only_codes_that_may_be_sent_are(code: int, sent: int) -> None:
    assert passable(code) == sent


@given(st.text(max_size=200))
def test_a_reason_fits_a_close_frame_and_is_never_cut_inside_a_letter(text: str) -> None:
    cut = reason(text)
    assert len(cut) <= 123
    whole = text.encode("utf-8", "replace")
    assert whole.startswith(cut)
    assert len(cut) > 119 or cut == whole
