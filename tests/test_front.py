"""What stands behind transports: whole answers, streams, what is answered at once, and headers that errors have too."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from servers import settings

from cw_proxy.app import Core
from cw_proxy.emulator import Emulator
from cw_proxy.errors import InvalidApiKey, ModelNotFound, ProxyError
from cw_proxy.front import Front, Streamed, Whole
from cw_proxy.guard import Guard
from cw_proxy.protocols.openai_chat import OpenAIChat
from cw_proxy.protocols.openai_responses import OpenAIResponses
from cw_proxy.secret import Secret


@pytest.fixture
async def front(emulator: Emulator) -> AsyncIterator[Front]:
    async with Core(settings(emulator.url), Path("/nonexistent")) as core:
        yield Front(core.exchange, Guard.of([], [], [Secret("a-key")]))


HEADERS = {"authorization": "Bearer a-key"}


def body(text: str = "Count from 1 to 3", **more: Any) -> bytes:
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}], **more}).encode()


async def test_a_whole_answer(front: Front) -> None:
    extra: dict[str, str] = {}
    answer = await front.answer(OpenAIChat(), front.caller(HEADERS), body(seed=1), extra)
    assert isinstance(answer, Whole)
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "1 2 3"
    assert extra == {"x-cw-proxy-ignored": "seed"}


async def test_a_large_body_is_read_as_well(front: Front) -> None:
    asked = body("x" * 300_000 + " Reply with exactly the token PONG")
    answer = await front.answer(OpenAIChat(), front.caller(HEADERS), asked, {})
    assert isinstance(answer, Whole)
    assert json.loads(answer.body)["choices"][0]["message"]["content"]


async def test_a_stream(front: Front) -> None:
    answer = await front.answer(OpenAIChat(), front.caller(HEADERS), body(stream=True), {})
    assert isinstance(answer, Streamed)
    written = b"".join([answer.encoder.feed(events) async for events in answer.batches])
    assert written.endswith(b"data: [DONE]\n\n")


async def test_what_is_answered_at_once(front: Front, emulator: Emulator) -> None:
    kept = await front.answer(
        protocol := OpenAIResponses(), front.caller(HEADERS), b'{"model": "auto", "input": "Hello"}', {}
    )
    assert isinstance(kept, Whole)
    again = front.caller(HEADERS, "GET", f"/v1/responses/{json.loads(kept.body)['id']}")
    found = await front.answer(protocol, again, b"", {})
    assert isinstance(found, Whole)
    assert json.loads(found.body)["id"] == json.loads(kept.body)["id"]
    assert emulator.stats.requests == 1


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer another"}])
def test_a_key_is_demanded(front: Front, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidApiKey):
        front.caller(headers)


@pytest.mark.parametrize(("asked", "error"), [(body(model="none"), ModelNotFound), (b"{", ProxyError)])
async def test_errors(front: Front, asked: bytes, error: type[ProxyError]) -> None:
    with pytest.raises(error):
        await front.answer(OpenAIChat(), front.caller(HEADERS), asked, {})
