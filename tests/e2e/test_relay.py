"""The relay in front of this very proxy, which has the emulator behind it: three processes and the official client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from metrics_receiver import Receiver, receiver, series
from openai import AsyncOpenAI
from servers import PATIENCE, Program, program, serving, until

PROXY_KEY = "the-key-of-the-proxy"


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture
def relay(emulator_process: str, collector: Receiver) -> Iterator[Program]:
    """In front of a proxy that demands a key, which the clients do not have."""
    options = ("--otel-endpoint", collector.address, "--otel-export-interval", "50ms", "--auth-value", "Bearer ${KEY}")
    with serving(emulator_process, "--api-key", PROXY_KEY) as (url, _):
        upstream = url.replace("http://", "ws://")
        with program("relay", "--upstream-url", upstream, *options, KEY=PROXY_KEY) as running:
            yield running


async def answered(connection: Any) -> tuple[str, Any]:
    """The text up to the next end, and the response."""
    text = ""
    async with asyncio.timeout(PATIENCE):
        async for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.completed":
                return text, event.response
    raise AssertionError("the connection ended first")


async def test_the_proxy_answers_through_the_relay(relay: Program, collector: Receiver) -> None:
    url = await asyncio.to_thread(relay.first_line)
    async with (
        AsyncOpenAI(base_url=f"{url}/v1", api_key="the-key-of-the-client") as openai,
        openai.responses.connect() as connection,
    ):
        await connection.response.create(model="codewhisperer", input="Reply with exactly the token TULIP-7")
        text, first = await answered(connection)
        assert text == first.output_text == "TULIP-7"
        again = {"previous_response_id": first.id, "input": "Reply with exactly the token IRIS-8"}
        await connection.response.create(model="codewhisperer", **again)
        text, second = await answered(connection)
        assert text == second.output_text == "IRIS-8"
        assert second.previous_response_id == first.id
    await until(lambda: collector.counts() == {series("codewhisperer", "ok"): 1}, "the session is counted")


async def test_many_sessions_at_the_same_time_keep_apart(relay: Program) -> None:
    url = await asyncio.to_thread(relay.first_line)

    async def talk(number: int) -> str:
        async with (
            AsyncOpenAI(base_url=f"{url}/v1", api_key=f"client-{number}") as openai,
            openai.responses.connect() as connection,
        ):
            await connection.response.create(model="codewhisperer", input=f"Reply with exactly the token T{number}")
            return (await answered(connection))[0]

    texts = await asyncio.gather(*(talk(number) for number in range(10)))
    assert texts == [f"T{number}" for number in range(10)]
