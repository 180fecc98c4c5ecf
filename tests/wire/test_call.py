"""Values that travel: what they hold is not shown."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest

from cw_proxy.wire.call import HttpCall, HttpReply


async def chunks() -> AsyncIterator[bytes]:
    yield b"canary"


def test_a_call_shows_where_it_goes_and_nothing_it_holds() -> None:
    call = HttpCall("POST", "https://service.example/x", {"Authorization": "Bearer canary"}, b"canary")
    assert repr(call) == "HttpCall(method='POST', url='https://service.example/x')"


async def test_a_reply_shows_its_head() -> None:
    reply = HttpReply(200, {"x": "y"}, chunks())
    assert repr(reply) == "HttpReply(status=200, headers={'x': 'y'})"
    assert [chunk async for chunk in reply.chunks] == [b"canary"]


def test_they_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        HttpCall("GET", "u", {}).url = "v"
