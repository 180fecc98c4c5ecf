"""Several upstreams behind one door: a model's name says which one answers.

In: exchanges by the name of their backend, which one is the default, aliases that lead from one to another. Out: what
an Exchange offers. Refuses to know protocols, sockets and what the upstreams are. Everything an exchange remembers
(lists, holds, conversations, calibration) is its own: nothing is shared between upstreams.

`openai/NAME` is NAME at the upstream called openai; a name without such a prefix is the default upstream's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping

import msgspec

from cw_proxy import catalog as catalogs
from cw_proxy.errors import ProxyError, UpstreamTimeout
from cw_proxy.events import Event
from cw_proxy.exchange import Asker, Exchange, Plan
from cw_proxy.interfaces import Catalog
from cw_proxy.model import Request

log = logging.getLogger(__name__)

# Seconds that a list of models waits for the lists of upstreams which are not the default.
PATIENCE = 5.0
_OWNERS = {"codewhisperer": "aws"}


def prefix_of(name: str, backends: Mapping[str, object]) -> str | None:
    """The upstream that a name is addressed to."""
    prefix, slash, rest = name.partition("/")
    return prefix if slash and rest and prefix in backends else None


class Router:
    """`exchanges` by the names of their backends; `aliases` are those that name an upstream."""

    def __init__(
        self,
        exchanges: Mapping[str, Exchange],
        default: str,
        aliases: Mapping[str, str] = {},
        patience: float = PATIENCE,
    ) -> None:
        self._exchanges = exchanges
        self._default = default
        self._aliases = aliases
        self._patience = patience

    @property
    def aliases(self) -> Mapping[str, str]:
        return {**self._exchanges[self._default].aliases, **self._aliases}

    async def plan(self, request: Request) -> Plan:
        """See Exchange.plan. The name of the upstream is taken off the model's."""
        backend, name = await self._place(request.model)
        if name != request.model:
            request = msgspec.structs.replace(request, model=name)
        return await self._exchanges[backend].plan(request)

    def run(self, plan: Plan, asker: Asker, choice: int = 0) -> AsyncGenerator[list[Event], None]:
        """See Exchange.run."""
        return self._exchanges[plan.backend].run(plan, asker, choice)

    async def again(self, plan: Plan, request: Request) -> Plan:
        """See Exchange.again."""
        return await self._exchanges[plan.backend].again(plan, request)

    # --- models ---

    async def catalog(self) -> Catalog:
        """The default upstream's list, and behind it those of the others that can be had, prefixed."""
        others = [name for name in self._exchanges if name != self._default]
        first, *lists = await asyncio.gather(
            self._exchanges[self._default].catalog(), *(self._other_catalog(name) for name in others)
        )
        return Catalog((*first.models, *(model for listed in lists for model in listed.models)), first.default)

    async def names(self) -> list[str]:
        """What a client may put into `model`."""
        return catalogs.names(self.aliases, await self.catalog(), self._exchanges[self._default].default_name)

    async def check(self, name: str) -> None:
        """Raises ModelNotFound."""
        backend, rest = await self._place(name)
        await self._exchanges[backend].check(rest)

    def knows(self, backend: str, model: str) -> bool:
        """See Exchange.knows."""
        return backend in self._exchanges and self._exchanges[backend].knows(model)

    def owner(self, name: str) -> str:
        backend = prefix_of(self._aliases.get(name, name), self._exchanges) or self._default
        return _OWNERS.get(backend, backend)

    async def _other_catalog(self, backend: str) -> Catalog:
        """An upstream that nobody may be using must not keep the others from being listed."""
        try:
            async with asyncio.timeout(self._patience):
                listed = await self._exchanges[backend].catalog()
        except TimeoutError:
            error: ProxyError = UpstreamTimeout("Its list of models did not come in time.")
        except ProxyError as fault:
            error = fault
        else:
            models = (msgspec.structs.replace(model, id=f"{backend}/{model.id}") for model in listed.models)
            return Catalog(tuple(models))
        log.info("the models of %s are left out: %s", backend, error.message)
        return Catalog(())

    # --- which upstream ---

    async def _place(self, name: str) -> tuple[str, str]:
        """The upstream, and the model's name there."""
        wanted = self._aliases.get(name, name)
        backend = prefix_of(wanted, self._exchanges)
        if backend is None:
            return self._default, wanted
        if backend == self._default and await self._exchanges[backend].lists(wanted):
            # Gateways list names such as openai/gpt-4o.
            return backend, wanted
        return backend, wanted.partition("/")[2]
