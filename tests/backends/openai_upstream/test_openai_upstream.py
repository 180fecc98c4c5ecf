"""The backend as the exchange sees it: where calls go, and with what."""

from __future__ import annotations

import json

import pytest
from strategies import request, say

from cw_proxy.backends.openai_upstream import OpenAIUpstream
from cw_proxy.backends.openai_upstream.request import Dialect
from cw_proxy.errors import UpstreamTokenRefused
from cw_proxy.interfaces import Credential, ModelInfo
from cw_proxy.secret import Secret

BACKEND = OpenAIUpstream(
    base_url="https://api.example/v1", default_model="m", dialect=Dialect("max_tokens", cache_key=False)
)
ASKED = request(say("user", "hello"), model="gpt-5", max_tokens=3)


def credential(key: str) -> Credential:
    return Credential(Secret(key))


def test_a_question() -> None:
    call = BACKEND.question(ASKED, ModelInfo("gpt-5")).call("c", credential("sk-x"))
    assert (call.method, call.url) == ("POST", "https://api.example/v1/chat/completions")
    assert dict(call.headers).keys() == {"Authorization", "User-Agent", "Content-Type", "Accept"}
    assert call.headers["Authorization"] == "Bearer sk-x"
    assert call.headers["User-Agent"].startswith("cw-proxy/")
    body = json.loads(call.body)
    assert (body["model"], body["max_tokens"]) == ("gpt-5", 3)


def test_the_list_of_models() -> None:
    call = BACKEND.list_models(credential("sk-x"), None)
    assert (call.method, call.url, call.body) == ("GET", "https://api.example/v1/models", b"")
    assert BACKEND.parse_models(b'{"data":[{"id":"gpt-5"}]}')[0].default == "m"


def test_without_a_key_there_is_no_header() -> None:
    assert "Authorization" not in BACKEND.list_models(credential(""), None).headers


def test_there_are_no_profiles() -> None:
    assert BACKEND.list_profiles(credential("")) == BACKEND.parse_profiles(b"") == []


def test_a_refused_key() -> None:
    with pytest.raises(UpstreamTokenRefused):
        raise BACKEND.failure(401, {}, b"{}")


def test_it_decodes() -> None:
    decoder = BACKEND.question(ASKED, None).decoder({})
    assert decoder.feed(b"") == []
    assert not decoder.tail
