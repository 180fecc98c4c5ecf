"""Lists of models go in, a Catalog comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from strategies import json_values

from cw_proxy.backends.openai_upstream.models import parse_models
from cw_proxy.errors import UpstreamProtocol
from cw_proxy.interfaces import Catalog, ModelInfo


def parsed(body: Any) -> Catalog:
    return parse_models(json.dumps(body).encode(), "m")


def test_openais_list() -> None:
    entries = [{"id": "gpt-5", "object": "model", "created": 1, "owned_by": "system"}, {"id": "m"}]
    assert parsed({"object": "list", "data": entries}) == Catalog((ModelInfo("gpt-5"), ModelInfo("m")), "m")


def test_what_other_servers_say_beside_the_names() -> None:
    entry = {"id": "a", "name": "A", "description": "d", "context_length": 8192, "max_model_len": 1}
    assert parsed([entry]).models == (ModelInfo("a", "A", "d", max_input_tokens=8192),)
    assert parsed([{"id": "a", "name": None, "context_window": True}]).models == (ModelInfo("a"),)


def test_entries_without_a_name_are_skipped() -> None:
    assert parsed({"data": [{}, 5, None, {"id": ""}, {"id": 7}, {"id": "a"}]}).models == (ModelInfo("a"),)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"data":{}}', b"\xff", b"[" * 100_000])
def test_what_is_no_list(body: bytes) -> None:
    with pytest.raises(UpstreamProtocol):
        parse_models(body, None)


@given(json_values)
def test_any_json_is_a_list_or_none(body: Any) -> None:
    for whole in (body, [body], {"data": [body]}, {"data": [{"id": "a", "name": body, "context_length": body}]}):
        try:
            assert all(model.id for model in parsed(whole).models)
        except UpstreamProtocol:
            continue
