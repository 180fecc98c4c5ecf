"""When to refresh: three named numbers and a clock. Who refreshes: one task of one process, the others share it.

In: the store, a door to SSO OIDC, the time. Out: credentials. What blocks is renewer.py's, in threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from cw_proxy.auth.driver import Door
from cw_proxy.auth.flight import Flight
from cw_proxy.auth.records import Login
from cw_proxy.auth.renewer import Renewer, ended, not_signed_in
from cw_proxy.auth.store import Stamp, TokenStore
from cw_proxy.errors import LoginRequired, ProxyError
from cw_proxy.interfaces import Credential
from cw_proxy.secret import Secret

DEFAULT_REGION = "us-east-1"
# How long another process's login or logout may go unnoticed: the hot path costs one stat in this time.
LOOK_SECONDS = 1.0
_NEVER = float("-inf")

log = logging.getLogger(__name__)


class RefreshPolicy(msgspec.Struct, frozen=True):
    """Seconds before expiry from which a refresh is tried, is waited for; and between two attempts."""

    advisory: float = 15 * 60
    mandatory: float = 2 * 60
    gap: float = 30


DEFAULT_POLICY = RefreshPolicy()


class StaticTokenSource:
    """An access token from the settings, or another upstream's key: never written down, never refreshed."""

    remedy = "The access token comes from the settings (CW_PROXY_ACCESS_TOKEN) and is not renewed: set a fresh one."

    def __init__(
        self,
        token: Secret,
        region: str = DEFAULT_REGION,
        profile_arn: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.remedy = remedy or self.remedy
        self._token = token
        self._region = region
        self._profile_arn = profile_arn

    async def credential(self, *, rejected: Secret | None = None) -> Credential:
        return Credential(self._token, service_region(self._profile_arn, self._region), self._profile_arn)

    async def remember_profile(self, arn: str) -> None:
        self._profile_arn = arn

    async def warm(self) -> None:
        """It is at hand."""

    async def settled(self) -> None:
        """Nothing is ever under way."""


def service_region(profile_arn: str | None, default: str) -> str:
    """The region that serves a profile is in its ARN; where its owner signs in has nothing to do with it."""
    fields = (profile_arn or "").split(":")
    return fields[3] if len(fields) > 4 and fields[3] else default


class TokenManager:
    """The tokens of the one who is signed in, renewed in time. `connect` opens the door for a region."""

    remedy = "If this goes on, sign in again: cw-proxy login."

    def __init__(
        self,
        store: TokenStore,
        connect: Callable[[str], Door],
        *,
        region: str = DEFAULT_REGION,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
        policy: RefreshPolicy = DEFAULT_POLICY,
    ) -> None:
        self._region = region
        self._clock = clock
        self._policy = policy
        self._renewer = Renewer(store, connect, clock=clock, wait=wait)
        self._store = store
        self._login: Login | None = None
        self._stamp: Stamp | None = None
        self._looked_at = _NEVER
        self._tried_at = _NEVER
        self._renewed_at = _NEVER
        self._reading: Flight[None] = Flight()
        self._renewing: Flight[ProxyError | None] = Flight()

    async def credential(self, *, rejected: Secret | None = None) -> Credential:
        """See interfaces.TokenSource. With a token that is not about to expire this is two comparisons."""
        await self._look()
        login = await (self._fresh() if rejected is None else self._instead_of(rejected))
        if login.access_token is None:
            raise ended(login)
        return Credential(login.access_token, service_region(login.profile_arn, self._region), login.profile_arn)

    async def remember_profile(self, arn: str) -> None:
        """Keeps the ARN of the profile that calls are made with, for this process and the next."""
        await asyncio.to_thread(self._renewer.save_profile, arn)
        await self._reading.join(self._read)

    async def warm(self) -> None:
        """See interfaces.TokenSource. Who asks is told what is wrong; here nobody does."""
        with suppress(ProxyError):
            await self._look()

    async def settled(self) -> None:
        """See interfaces.TokenSource: the service's answer to a renewal is worth the login until it is saved."""
        await self._renewing.landed()

    # --- what is known ------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Re-reads the file if another process changed it."""
        now = self._clock()
        if 0 <= now - self._looked_at < LOOK_SECONDS:
            return
        if self._looked_at != _NEVER and self._store.stamp() == self._stamp:
            self._looked_at = now
        else:
            await self._reading.join(self._read)

    async def _read(self) -> None:
        self._known(*await asyncio.to_thread(self._renewer.read))

    def _known(self, stamp: Stamp | None, login: Login | None) -> None:
        self._stamp, self._login, self._looked_at = stamp, login, self._clock()

    def _current(self) -> Login:
        login = self._login
        if login is None:
            raise not_signed_in()
        if not login.signed_in(self._clock()):
            raise ended(login)
        return login

    # --- when to refresh ----------------------------------------------------------------------------------

    async def _fresh(self) -> Login:
        login, now = self._current(), self._clock()
        left = login.expires_at - now if login.access_token else 0.0
        if left > self._policy.advisory or not login.refreshable:
            return login
        if left > 0 and self._within_gap(self._tried_at, now):
            return login
        if left > self._policy.mandatory:
            self._renewing.start(self._renew)
            return login
        return await self._renewed()

    async def _instead_of(self, rejected: Secret) -> Login:
        if self._current().access_token == rejected:
            # Another process may have renewed it within the last second.
            await self._reading.join(self._read)
        login, now = self._current(), self._clock()
        if login.access_token != rejected:
            return await self._fresh()
        if not login.refreshable or self._within_gap(self._renewed_at, now):
            # Not to be had, or just renewed and refused again: it is not the token that is refused.
            return login
        return await self._renewed(rejected)

    def _within_gap(self, then: float, now: float) -> bool:
        # A clock set back must not forbid refreshing until it has caught up.
        return 0 <= now - then < self._policy.gap

    async def _renewed(self, rejected: Secret | None = None) -> Login:
        error = await self._renewing.join(lambda: self._renew(rejected))
        if self._login is not None and self._login.alive(self._clock()):
            return self._login
        raise error or not_signed_in()

    async def _renew(self, rejected: Secret | None = None) -> ProxyError | None:
        """Never raises: what went wrong matters only to those whose token no longer lives."""
        self._tried_at = self._clock()
        try:
            self._known(*await asyncio.to_thread(self._renewer.renew, self._login, rejected))
        except LoginRequired as error:
            self._login, self._looked_at = None, _NEVER
            return error
        except ProxyError as error:
            log.warning("The sign-in could not be refreshed: %s", error.message)
            return error
        self._renewed_at = self._clock()
        return None
