"""One server, one port, and nothing left when it closes."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from emulator_client import Caller, a_body

from cw_proxy.emulator import Emulator, Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", ""])
def test_loopback_only(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Emulator(host)


async def test_it_closes_with_streams_open() -> None:
    emulator = Emulator()
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as session:
        async with emulator:
            url = emulator.url
            responses = [
                await session.post(url + "/generateAssistantResponse", json=a_body(f"play the script {name}"))
                for name in ("hang", "hang-at-once")
            ]
            assert emulator.stats.in_flight == 2
        for response in responses:
            with pytest.raises(aiohttp.ClientError):
                await response.read()
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(url)
    # Its own end is not the clients' doing.
    assert (emulator.stats.in_flight, emulator.stats.cancelled_by_client) == (0, 0)


async def test_two_at_once_share_nothing() -> None:
    async with Emulator() as one, Emulator(settings=Settings(piece_size=3)) as other:
        assert one.url != other.url
        one.scripts["mine"] = []
        assert "mine" not in other.scripts
        assert (one.settings.piece_size, other.settings.piece_size) == (7, 3)


async def test_reset_goes_back_to_the_given_settings() -> None:
    emulator = Emulator(settings=Settings(piece_size=3))
    emulator.settings.piece_size = 5
    emulator.reset()
    assert emulator.settings.piece_size == 3


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [("GET", "/nothing", ""), ("POST", "/", ""), ("POST", "/", "Other.Op"), ("GET", "/generateAssistantResponse", "")],
)
async def test_unknown_operations(caller: Caller, method: str, path: str, target: str) -> None:
    async with caller.session.request(method, caller.url + path, headers={"X-Amz-Target": target}) as response:
        assert response.status == 404
        assert response.headers["x-amzn-errortype"] == "UnknownOperationException"


async def test_many_at_once(emulator: Emulator, caller: Caller) -> None:
    seen = await asyncio.gather(*(caller.ask(f"reply with exactly the token T{number}") for number in range(20)))
    assert [one.text for one in seen] == [f"T{number}" for number in range(20)]
    assert (emulator.stats.requests, emulator.stats.in_flight) == (20, 0)


async def test_until_waits_for_the_stats(emulator: Emulator, caller: Caller) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(emulator.until(lambda stats: stats.completed == 2))
        for _ in range(2):
            group.create_task(caller.ask("count from 1 to 3"))
