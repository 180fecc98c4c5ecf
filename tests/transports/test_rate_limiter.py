"""Counting, in this process and in a real Redis: exact, shared, and in nobody's way when the store is down."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis_peers import RedisServer, redis_server
from servers import Answer, ask, post, proxy

from cw_proxy.emulator import Emulator
from cw_proxy.errors import TooManyRequests
from cw_proxy.limits import Client, RateLimits
from cw_proxy.secret import Secret
from cw_proxy.transports import rate_limiter
from cw_proxy.transports.rate_limiter import RateLimiter

WHO, OTHER = Client(None, "203.0.113.9"), Client(None, "203.0.113.8")
PONG = post("Reply with exactly the token PONG")


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where counts must be exact, no machine is too slow."""
    monkeypatch.setattr(rate_limiter, "PATIENCE", 30.0)


@asynccontextmanager
async def limiter(limits: RateLimits, url: Secret | None, pause: float = 60.0) -> AsyncIterator[RateLimiter]:
    made = RateLimiter(limits, url, pause=pause)
    try:
        yield made
    finally:
        await made.close()


async def passes(limiter: RateLimiter, client: Client = WHO) -> bool:
    try:
        await limiter.check(client, {})
    except TooManyRequests:
        return False
    return True


async def passed(limiter: RateLimiter, number: int, client: Client = WHO) -> int:
    return sum(await asyncio.gather(*(passes(limiter, client) for _ in range(number))))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("shared", [False, True])
async def test_exactly_so_many_pass(redis: RedisServer, shared: bool) -> None:
    """200 at once: more than a pool of connections has, by far."""
    async with limiter(RateLimits(50, 0, 600), redis.url if shared else None) as counting:
        assert await passed(counting, 200) == 50
        assert await passed(counting, 60, OTHER) == 50, "each client has its own"
        assert counting.failures == 0


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("shared", [False, True])
async def test_what_is_left_is_told(redis: RedisServer, shared: bool) -> None:
    async with limiter(RateLimits(3, 0, 600), redis.url if shared else None) as counting:
        told = []
        for _ in range(3):
            extra: dict[str, str] = {}
            await counting.check(WHO, extra)
            assert extra["x-ratelimit-limit-requests"] == "3"
            assert extra["x-ratelimit-reset-requests"] in ("10m0s", "9m59s", "9m58s")
            told.append(extra["x-ratelimit-remaining-requests"])
        assert told == ["2", "1", "0"]
        extra = {}
        with pytest.raises(TooManyRequests) as refused:
            await counting.check(WHO, extra)
        assert refused.value.headers().items() >= extra.items(), "an error's headers are whole by themselves"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("shared", [False, True])
async def test_who_comes_back_when_told_is_let_in(redis: RedisServer, shared: bool) -> None:
    async with limiter(RateLimits(1, 0, 1), redis.url if shared else None) as counting:
        await counting.check(WHO, {})
        with pytest.raises(TooManyRequests) as refused:
            await counting.check(WHO, {})
        await asyncio.sleep(int(refused.value.headers()["retry-after-ms"]) / 1000)
        await counting.check(WHO, {})


async def test_an_address_has_a_limit_of_its_own_whatever_its_keys() -> None:
    async with limiter(RateLimits(3, 5, 600), None) as counting:
        clients = [Client(bytes([at]) * 32, "203.0.113.9") for at in range(3)]
        assert [await passed(counting, 4, client) for client in clients] == [3, 1, 0]
        assert await passes(counting, Client(bytes([9]) * 32, "203.0.113.7"))


@pytest.mark.usefixtures("patient")
async def test_two_servers_share_a_window(redis: RedisServer, emulator: Emulator) -> None:
    limits = {"rate_limit_max": 25, "rate_limit_window": 600.0, "rate_limit_store": redis.url}
    async with proxy(emulator, **limits) as one, proxy(emulator, **limits) as two:
        answers: list[Answer] = await asyncio.gather(*(ask(app.url, PONG) for app in (one, two) * 20))
    statuses = [answer.status for answer in answers]
    assert (statuses.count(200), statuses.count(429)) == (25, 15)
    assert emulator.stats.requests == 25, "nothing that is refused reaches the service"


# --- a store that is down ---------------------------------------------------------------------------------


async def test_a_store_that_is_down_stops_nobody(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with limiter(RateLimits(1, 0, 600), redis.url) as counting:
        assert await passed(counting, 5) == 1
        redis.kill()
        with caplog.at_level(logging.WARNING):
            assert await passed(counting, 20) == 20
            failures = counting.failures
            assert failures >= 1
            assert await passed(counting, 100) == 100
        assert counting.failures == failures, "it is left alone for a while"
        assert len(caplog.records) == 1
        assert "203.0.113" not in caplog.text
        assert str(redis.port) not in caplog.text


async def test_a_store_that_is_silent_is_waited_for_once(redis: RedisServer) -> None:
    async with limiter(RateLimits(1, 0, 600), redis.url) as counting:
        await counting.check(WHO, {})
        redis.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            for _ in range(50):
                await counting.check(WHO, {})
            took = time.monotonic() - began
        finally:
            redis.signal(signal.SIGCONT)
    assert counting.failures == 1
    assert took < 25 * rate_limiter.PATIENCE, "50 requests, one of which waits"


@pytest.mark.usefixtures("patient")
async def test_a_store_that_comes_back_counts_again(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async with limiter(RateLimits(10, 0, 600), redis.url, pause=0.01) as counting:
        await passed(counting, 30)  # many connections, all of which die
        redis.kill()
        assert await passed(counting, 30) == 30
        redis.start()
        with caplog.at_level(logging.WARNING):
            while "is back" not in caplog.text:  # the test's own time limit ends it
                await passes(counting)
                await asyncio.sleep(0.002)
        before = counting.failures
        assert await passed(counting, 50, OTHER) == 10
        assert counting.failures == before


async def test_a_store_that_was_never_there_stops_nobody(redis: RedisServer, emulator: Emulator) -> None:
    redis.kill()
    async with proxy(emulator, rate_limit_max=1, rate_limit_store=redis.url) as app:
        answers = [await ask(app.url, PONG) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert not [name for name in answers[0].headers if name.startswith("x-ratelimit")], "nothing is told unknown"


@pytest.mark.usefixtures("patient")
async def test_a_valkey_is_a_store_too(redis: RedisServer) -> None:
    async with limiter(RateLimits(2, 0, 600), Secret(redis.url.reveal().replace("redis", "valkey"))) as counting:
        assert await passed(counting, 5) == 2
        assert counting.failures == 0
