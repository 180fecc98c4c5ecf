"""The calls the backend builds: where they go, what their headers and bodies hold."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from strategies import frame, request, say

from cw_proxy import errors
from cw_proxy.backends.codewhisperer import USER_AGENT, CodeWhisperer
from cw_proxy.backends.codewhisperer.hosts import Hosts
from cw_proxy.events import Begin, End, Text
from cw_proxy.interfaces import Credential, ModelInfo
from cw_proxy.secret import Secret
from cw_proxy.wire.call import HttpCall

HOSTS = Hosts("https://service.example", "https://runtime.example")


def backend(*, opt_out: bool = True, profile_arn: str | None = None) -> CodeWhisperer:
    return CodeWhisperer(hosts=HOSTS, origin="IDE", max_body=10_000, opt_out=opt_out, profile_arn=profile_arn)


def credential(profile_arn: str | None = None) -> Credential:
    return Credential(Secret("canary"), "us-east-1", profile_arn)


def build(cw: CodeWhisperer, own: str | None = None) -> HttpCall:
    return cw.question(request(say("user", "a")), ModelInfo("m")).call("c", credential(own))


def test_a_question() -> None:
    call = build(backend())
    assert (call.method, call.url) == ("POST", "https://service.example/generateAssistantResponse")
    assert call.headers == {
        "Authorization": "Bearer canary",
        "User-Agent": USER_AGENT,
        "x-amzn-codewhisperer-optout": "true",
        "Content-Type": "application/json",
    }
    assert json.loads(call.body)["conversationState"]["currentMessage"] == {
        "userInputMessage": {"content": "a", "origin": "IDE", "modelId": "m"}
    }


def test_sharing_is_said_when_it_is_wanted() -> None:
    assert build(backend(opt_out=False)).headers["x-amzn-codewhisperer-optout"] == "false"


@pytest.mark.parametrize(
    ("setting", "own", "sent"), [(None, None, None), (None, "own", "own"), ("set", None, "set"), ("set", "own", "set")]
)
def test_the_profile_of_the_settings_outranks_the_credentials(
    setting: str | None, own: str | None, sent: str | None
) -> None:
    cw = backend(profile_arn=setting)
    assert json.loads(build(cw, own).body).get("profileArn") == sent
    query = parse_qs(urlsplit(cw.list_models(credential(own), None).url).query)
    assert query.get("profileArn", [None]) == [sent]


def test_the_list_of_models() -> None:
    call = backend().list_models(credential("a&b=c"), "next/ö&")
    assert (call.method, call.body) == ("GET", b"")
    assert call.url.startswith("https://runtime.example/ListAvailableModels?")
    assert parse_qs(urlsplit(call.url).query) == {
        "origin": ["IDE"],
        "maxResults": ["50"],
        "profileArn": ["a&b=c"],
        "nextToken": ["next/ö&"],
    }
    assert "Content-Type" not in call.headers


def test_the_lists_of_profiles() -> None:
    [call] = backend().list_profiles(credential())
    assert (call.method, call.url) == ("POST", "https://runtime.example/ListAvailableProfiles")
    assert json.loads(call.body) == {"maxResults": 10}


def test_no_call_shows_the_token_or_the_chat() -> None:
    for call in (build(backend()), backend().list_models(credential(), None)):
        assert "canary" not in repr(call)
        assert "conversationState" not in repr(call)


def test_the_decoder_knows_the_id_in_the_replys_header() -> None:
    question = backend().question(request(say("user", "a")), None)
    decoder = question.decoder({"x-amzn-codewhisperer-conversation-id": "c-9"})
    assert decoder.feed(frame("assistantResponseEvent", {"content": "a"})) == [Begin("c-9"), Text("a")]
    assert decoder.finish() == [End("stop")]


def test_lists_and_failures_are_read_by_their_own_modules() -> None:
    assert backend().parse_models(b'{"models":[{"modelId":"m"}]}')[0].models[0].id == "m"
    assert backend().parse_profiles(b'{"profiles":[{"arn":"a"}]}') == ["a"]
    assert type(backend().failure(429, {}, b"")) is errors.RateLimited
