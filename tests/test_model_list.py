"""One fetch for all who ask; its failure is theirs together, and an old list is better than waiting."""

from __future__ import annotations

import asyncio

import pytest

from cw_proxy.errors import ProxyError, UpstreamTimeout, UpstreamUnavailable
from cw_proxy.interfaces import Catalog, ModelInfo
from cw_proxy.model_list import AGE, RETRY, ModelList

OLD, NEW = (Catalog((ModelInfo(name),)) for name in ("old", "new"))


class Service:
    """Answers each fetch with the next of `outcomes`, once `open` is set."""

    def __init__(self, *outcomes: Catalog | ProxyError) -> None:
        self.outcomes = list(outcomes)
        self.fetches = 0
        self.open = asyncio.Event()
        self.open.set()
        self.now = 0.0

    async def fetch(self) -> Catalog:
        self.fetches += 1
        await self.open.wait()
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, ProxyError):
            raise outcome
        return outcome

    def models(self, limit: float = 60, patience: float = 60) -> ModelList:
        return ModelList(self.fetch, now=lambda: self.now, limit=limit, patience=patience)


async def test_the_list_is_fetched_again_when_it_is_old() -> None:
    service = Service(OLD, NEW)
    models = service.models()
    for now, catalog in [(0.0, OLD), (AGE - 1, OLD), (AGE, NEW)]:
        service.now = now
        assert await models.get() == catalog


async def test_a_failure_is_shared_by_those_who_wait_and_not_kept() -> None:
    service = Service(UpstreamUnavailable("down"), NEW)
    models = service.models()
    found = await asyncio.gather(*(models.get() for _ in range(10)), return_exceptions=True)
    assert [type(one) for one in found] == [UpstreamUnavailable] * 10
    assert service.fetches == 1
    assert await models.get() == NEW


async def test_silence_ends_for_all_at_once() -> None:
    service = Service()
    service.open.clear()
    models = service.models(limit=0.01)
    found = await asyncio.gather(*(models.get() for _ in range(10)), return_exceptions=True)
    assert [type(one) for one in found] == [UpstreamTimeout] * 10
    assert service.fetches == 1


async def test_an_old_list_serves_while_a_new_one_takes_its_time() -> None:
    service = Service(OLD, NEW)
    models = service.models(patience=0.01)
    await models.get()
    service.now = AGE
    service.open.clear()
    assert [await models.get(), await models.get()] == [OLD, OLD]
    assert service.fetches == 2
    service.open.set()
    while models.known != NEW:
        await asyncio.sleep(0)


async def test_an_old_list_serves_while_none_can_be_had() -> None:
    service = Service(OLD, UpstreamUnavailable("down"), NEW)
    models = service.models()
    for now, catalog, fetches in [(0.0, OLD, 1), (AGE, OLD, 2), (AGE + 1, OLD, 2), (AGE + RETRY, NEW, 3)]:
        service.now = now
        assert (await models.get(), service.fetches) == (catalog, fetches)


async def test_one_who_leaves_does_not_end_the_others_fetch() -> None:
    service = Service(NEW)
    service.open.clear()
    models = service.models()
    leaving, staying = (asyncio.ensure_future(models.get()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    service.open.set()
    assert await staying == NEW
