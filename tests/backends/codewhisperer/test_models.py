"""The companion service's lists go in, a page of models and profile ARNs come out."""

from __future__ import annotations

import json

import pytest

from cw_proxy.backends.codewhisperer.models import parse_models, parse_profiles
from cw_proxy.errors import UpstreamProtocol
from cw_proxy.interfaces import Catalog, ModelInfo

PAGE = {
    "models": [
        {
            "modelId": "claude-x",
            "modelName": "Claude X",
            "description": "Good.",
            "tokenLimits": {"maxInputTokens": 200000, "maxOutputTokens": None},
            "new": [1],
        },
        {"modelId": "claude-y", "modelName": None, "tokenLimits": None},
    ],
    "defaultModel": {"modelId": "claude-x"},
    "nextToken": "2",
}


def test_a_page_of_models() -> None:
    models = (ModelInfo("claude-x", "Claude X", "Good.", 200000, None), ModelInfo("claude-y"))
    assert parse_models(json.dumps(PAGE).encode()) == (Catalog(models, "claude-x"), "2")


def test_a_last_page_without_a_default() -> None:
    assert parse_models(b'{"models":[]}') == (Catalog((), None), None)


def test_profiles() -> None:
    assert parse_profiles(b'{"profiles":[{"arn":"a","profileName":"A"},{"arn":"b"}]}') == ["a", "b"]
    assert parse_profiles(b"{}") == []


@pytest.mark.parametrize(
    "body",
    [
        *[b"", b"<html>", b"[]", b'{"models":{}}', b'{"models":[{}]}', b'{"models":[{"modelId":1}]}', b"\xff"],
        *[b'{"models":[{"modelId":"\xff"}]}', b'{"x":' + b"[" * 100_000, b'{"profiles":[{}],"models":1}'],
    ],
)
def test_what_is_no_list_is_a_protocol_error(body: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        parse_models(body)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"profiles":[{}]}', b'{"x":' + b"[" * 100_000])
def test_what_is_no_list_of_profiles_neither(body: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        parse_profiles(body)
