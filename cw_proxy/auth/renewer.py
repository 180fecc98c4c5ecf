"""The blocking half of a refresh: under the lock of all processes re-read, re-check, ask, save.

In: what the caller knows. Out: what is true now. All of it runs in one thread, so that no cancelled request can come
between the service's answer and the disk: a rotated refresh token that is not saved is a lost login.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from cw_proxy.auth import flow
from cw_proxy.auth.driver import Door, drive
from cw_proxy.auth.records import Login
from cw_proxy.auth.store import Stamp, TokenStore, TokenWriter
from cw_proxy.errors import BrokenState, LoginRequired, UpstreamError
from cw_proxy.secret import Secret

# Seconds that a token stored by another process must still live to spare us asking.
STILL_SERVES = 10.0

log = logging.getLogger(__name__)


class Renewer:
    """What TokenManager runs in threads."""

    def __init__(
        self,
        store: TokenStore,
        connect: Callable[[str], Door],
        *,
        clock: Callable[[], float],
        wait: Callable[[float], None],
    ) -> None:
        self._store = store
        self._connect = connect
        self._clock = clock
        self._wait = wait
        # Tokens a full disk would not take, and the refresh token they came from: losing them loses the login.
        self._unsaved: tuple[Secret | None, Login] | None = None
        self._swept = False
        self._door: tuple[str, Door] | None = None

    def read(self) -> tuple[Stamp | None, Login | None]:
        if not self._swept:
            self._store.sweep()
            self._swept = True
        # The stamp first: a change in between is then noticed at the next look.
        stamp = self._store.stamp()
        return stamp, self._unless_unsaved(self._store.load())

    def renew(self, known: Login | None, rejected: Secret | None) -> tuple[Stamp | None, Login | None]:
        with self._store.writing() as files:
            while True:
                stored = self._unless_unsaved(files.load())
                if stored is None:
                    raise not_signed_in()
                if self._newer(stored, known):
                    break
                if files.claim():
                    stored = self._ask(files, stored, rejected)
                    break
            return self._store.stamp(), stored

    def save_profile(self, arn: str) -> None:
        with self._store.writing() as files:
            while (stored := self._unless_unsaved(files.load())) is not None and stored.profile_arn != arn:
                if files.claim():
                    files.save(msgspec.structs.replace(stored, profile_arn=arn))
                    break

    def _unless_unsaved(self, stored: Login | None) -> Login | None:
        if stored is not None and self._unsaved is not None and stored.refresh_token == self._unsaved[0]:
            return self._unsaved[1]
        return stored

    def _newer(self, stored: Login, known: Login | None) -> bool:
        """Somebody else has renewed it while we waited for the lock."""
        if known is not None and stored.access_token == known.access_token:
            return False
        return stored.alive(self._clock() + STILL_SERVES)

    def _ask(self, files: TokenWriter, stored: Login, rejected: Secret | None) -> Login:
        answer = self._refresh(stored)
        if isinstance(answer, flow.Refused) and answer.error in flow.DEAD_LOGIN:
            # A writer that takes no lock may have rotated the token under us: its refresh token then differs.
            newer = files.load()
            if newer is None or newer.refresh_token in (None, stored.refresh_token):
                return _bury(files, stored, rejected, self._clock())
            stored, answer = newer, self._refresh(newer)
        if isinstance(answer, flow.Refused):
            raise UpstreamError(f"The sign-in service refused to refresh the sign-in ({answer.error}).")
        self._save(files, stored, answer)
        return answer

    def _refresh(self, login: Login) -> Login | flow.Refused:
        return drive(flow.refresh(login), self._open_door(login.region), clock=self._clock, wait=self._wait)

    def _open_door(self, region: str) -> Door:
        # Kept: making one costs boto3 a tenth of a second and megabytes, an hour later again.
        if self._door is None or self._door[0] != region:
            self._door = region, self._connect(region)
        return self._door[1]

    def _save(self, files: TokenWriter, old: Login, new: Login) -> None:
        try:
            files.save(new)
        except BrokenState as error:
            log.error("The refreshed sign-in is in memory only: %s", error.message)
            self._unsaved = (old.refresh_token, new)
        else:
            self._unsaved = None


def _bury(files: TokenWriter, login: Login, rejected: Secret | None, now: float) -> Login:
    """The session is over. An access token that still lives, and was not refused, serves to its end."""
    if login.alive(now) and login.access_token != rejected:
        kept = msgspec.structs.replace(login, refresh_token=None)
        files.save(kept)
        return kept
    files.save(msgspec.structs.replace(login, access_token=None, refresh_token=None, expires_at=0))
    raise ended(login)


def ended(login: Login) -> LoginRequired:
    return LoginRequired(f"The sign-in has ended. Run `{login.command}`.")


def not_signed_in() -> LoginRequired:
    return LoginRequired("Not signed in. Run `cw-proxy login`.")
