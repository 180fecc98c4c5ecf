"""What stands behind transports: whole answers, streams, what is answered at once, and headers that errors have too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from servers import settings, until

from cw_proxy.app import Core
from cw_proxy.emulator import Emulator
from cw_proxy.errors import InvalidApiKey, ModelNotFound, ProxyError, UpstreamTimeout
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


async def test_a_stream_as_messages(front: Front) -> None:
    answer = await front.answer(OpenAIChat(), front.caller(HEADERS), body(stream=True), {})
    assert isinstance(answer, Streamed)
    found = [each async for data in answer.payloads() for each in data]
    texts = [json.loads(each)["choices"][0]["delta"].get("content") or "" for each in found[:-1]]
    assert "".join(texts) == "1 2 3"
    assert found[-1] == b"[DONE]"
    assert answer.failure is None


async def test_an_error_within_a_stream_is_its_last_message(front: Front) -> None:
    broken = body("Break the stream after 1 pieces by drop. Count from 1 to 30", stream=True)
    answer = await front.answer(OpenAIChat(), front.caller(HEADERS), broken, {})
    assert isinstance(answer, Streamed)
    *_, last = [each async for data in answer.payloads() for each in data]
    assert json.loads(last)["error"]["type"] == "upstream_error"
    assert answer.failure is not None
    assert answer.failure.status == 502


async def test_an_error_before_a_stream_is_raised(front: Front) -> None:
    answer = await front.answer(OpenAIChat(), front.caller(HEADERS), body("Play the script nothing", stream=True), {})
    assert isinstance(answer, Streamed)
    with pytest.raises(ProxyError):
        await anext(answer.payloads())


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


# --- a time limit ---


@pytest.fixture
async def hasty(emulator: Emulator) -> AsyncIterator[Front]:
    async with Core(settings(emulator.url), Path("/nonexistent")) as core:
        yield Front(core.exchange, Guard.of([], [], []), limit=0.2)


async def test_a_whole_answer_that_takes_too_long_is_a_504(hasty: Front) -> None:
    with pytest.raises(UpstreamTimeout, match=r"longer than 0\.2 s"):
        await hasty.answer(OpenAIChat(), hasty.caller({}), body("Play the script hang"), {})


async def test_a_stream_that_takes_too_long_breaks_off(hasty: Front, emulator: Emulator) -> None:
    answer = await hasty.answer(OpenAIChat(), hasty.caller({}), body("Play the script hang-at-once", stream=True), {})
    assert isinstance(answer, Streamed)
    with pytest.raises(UpstreamTimeout):
        await anext(answer.batches)
    await until(lambda: emulator.stats.in_flight == 0, "the call is ended")


async def test_what_is_in_time_is_whole(emulator: Emulator) -> None:
    async with Core(settings(emulator.url), Path("/nonexistent")) as core:
        patient = Front(core.exchange, Guard.of([], [], []), limit=3600.0)
        answer = await patient.answer(OpenAIChat(), patient.caller({}), body(), {})
    assert isinstance(answer, Whole)
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == "1 2 3"


async def test_planning_counts_as_well() -> None:
    """A list of models that never comes."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, Core(settings(url), Path("/nonexistent")) as core:
        front = Front(core.exchange, Guard.of([], [], []), limit=0.05)
        asked = json.dumps({"model": "some-model", "messages": [{"role": "user", "content": "x"}]}).encode()
        with pytest.raises(UpstreamTimeout, match="longer than"):
            await front.answer(OpenAIChat(), front.caller({}), asked, {})
