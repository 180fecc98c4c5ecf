"""A sign-in in one secret that many machines share: tokens, registration, and whose turn it is to renew them.

In: a door to the secret. Out: what `store.Store` gives. Refuses to know whose secret manager it is.

There is no lock between machines, but there is one atomic step: to replace the current version if it is still the one
that was read. By it a writer takes a lease, a version that says who renews, and until when. Others wait for it to go,
and then find the tokens renewed. A writer whose lease ran out while the service took its time may find another at
work: tokens that came of the same refresh token as theirs win over what that other can have achieved.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import Any, Protocol

import msgspec

from cw_proxy.auth.lock import LockTaken
from cw_proxy.auth.records import (
    Login,
    Registration,
    parse_login,
    parse_registration,
    render_login,
    render_registration,
)
from cw_proxy.auth.store import LOCK_SECONDS, Keep, Stamp
from cw_proxy.errors import BrokenState, ProxyError, UpstreamError

# Longer than the slowest refresh, as LOCK_SECONDS; after it a holder counts as dead.
LEASE_SECONDS = LOCK_SECONDS
POLL_SECONDS = 0.5
# Reading costs money and time, and tokens of one's own serve on when others have been renewed.
LOOK_SECONDS = 300.0
_TRIES = 5

log = logging.getLogger(__name__)


class Version(msgspec.Struct, frozen=True):
    id: str
    text: str


class Secrets(Protocol):
    """One secret. Blocks. Raises BrokenState, ConfigError, UpstreamError."""

    @property
    def name(self) -> str: ...

    def read(self) -> Version | None:
        """The current version; None where there is none yet."""

    def create(self) -> None:
        """Sees that the secret is there, if without a version."""

    def put(self, text: str) -> None:
        """A new current version, whatever was there."""

    def swap(self, old: Version, text: str) -> Version | None:
        """A new current version in the place of `old`; None when that is not the current one any more."""


class Lease(msgspec.Struct, frozen=True):
    """`until` is epoch seconds."""

    holder: str
    until: float


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A secret's text: two files' content as JSON objects, and a lease."""

    tokens: dict[str, Any] | None = None
    registration: dict[str, Any] | None = None
    lease: Lease | None = None


class SecretStore:
    def __init__(
        self,
        secrets: Secrets,
        *,
        clock: Callable[[], float] = time.time,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._secrets = secrets
        self._clock = clock
        self._wait = wait
        self._last: Login | None = None

    def load(self) -> Login | None:
        """What was loaded last serves while the secret cannot be read."""
        try:
            self._last = _login(self._secrets, self._secrets.read())
        except UpstreamError as fault:
            if self._last is None:
                raise
            log.warning("The sign-in's secret cannot be read now: %s", fault.message)
        return self._last

    def load_registration(self) -> Registration | None:
        kept = _kept(self._secrets, self._secrets.read())
        return _parsed(self._secrets, parse_registration, kept.registration) if kept.registration else None

    def kept(self) -> str:
        return f"secretsmanager:{self._secrets.name}"

    def stamp(self) -> Stamp | None:
        return int(self._clock() // LOOK_SECONDS), 0, 0

    def sweep(self) -> None:
        """Nothing lies about: a lease ends by itself."""

    @contextmanager
    def writing(self) -> Iterator[SecretWriter]:
        writer = SecretWriter(self._secrets, self._clock, self._wait)
        try:
            yield writer
        finally:
            writer.release()


class SecretWriter:
    """See store.TokenWriter."""

    def __init__(self, secrets: Secrets, clock: Callable[[], float], wait: Callable[[float], None]) -> None:
        self._secrets = secrets
        self._clock = clock
        self._wait = wait
        self._holder = token_hex(8)
        self._patience = clock() + LOCK_SECONDS + LEASE_SECONDS
        self._version: Version | None = None
        self._began: Login | None = None
        self._claimed = False

    def load(self) -> Login | None:
        self._version = self._secrets.read()
        return _login(self._secrets, self._version)

    def claim(self) -> bool:
        if self._version is None:
            return True
        kept, now = _kept(self._secrets, self._version), self._clock()
        taken = kept.lease is not None and now < kept.lease.until
        if not taken and self._swap(kept, Lease(self._holder, now + LEASE_SECONDS)):
            self._began = _login(self._secrets, self._version)
            self._claimed = True
            return True
        if now >= self._patience:
            raise LockTaken(f"Another machine renews the sign-in in {self._secrets.name}. Try again in a moment.")
        self._wait(POLL_SECONDS)
        return False

    def save(self, login: Login, keep: Keep | None = None) -> None:
        """Raises BrokenState alone: whoever saves has something to lose."""
        tokens = _object(render_login(login))
        try:
            if not self._claimed:
                kept = _kept(self._secrets, self._secrets.read())
                return self._secrets.put(_text(msgspec.structs.replace(kept, tokens=tokens, lease=None)))
            kept = msgspec.structs.replace(_kept(self._secrets, self._version), tokens=tokens)
            self._claimed = False
            if not self._swap(kept, None):
                self._save_late(tokens)
        except BrokenState:
            raise
        except ProxyError as fault:
            raise BrokenState(f"The sign-in cannot be saved: {fault.message}") from None
        return None

    def save_registration(self, registration: Registration, keep: Keep | None = None) -> None:
        kept = _kept(self._secrets, self._secrets.read())
        self._secrets.put(_text(msgspec.structs.replace(kept, registration=_object(render_registration(registration)))))

    def rehearse(self, keep: Keep | None) -> None:
        """Writes what is there already."""
        self._secrets.create()
        version = self._secrets.read()
        self._secrets.put(version.text if version else "{}")

    def remove(self) -> None:
        # Twice: the version before the current one can be read by its label as well.
        for _ in range(2):
            self._secrets.put("{}")

    def release(self) -> None:
        """A lease that was not needed; at the worst it ends by itself."""
        if self._claimed:
            self._claimed = False
            with suppress(ProxyError):
                self._swap(_kept(self._secrets, self._version), None)

    def _swap(self, kept: Kept, lease: Lease | None) -> bool:
        if self._version is None:
            return False
        new = self._secrets.swap(self._version, _text(msgspec.structs.replace(kept, lease=lease)))
        if new is not None:
            self._version = new
        return new is not None

    def _save_late(self, tokens: dict[str, Any]) -> None:
        """Our lease has run out, and another's has begun."""
        for _ in range(_TRIES):
            theirs = self.load()
            began = self._began.refresh_token if self._began else None
            if theirs is None or theirs.refresh_token not in (None, began):
                # A sign-out or sign-in, or a renewal that the service granted as well: theirs is in force.
                log.warning("The secret %s has been written by another meanwhile.", self._secrets.name)
                return
            if self._swap(msgspec.structs.replace(_kept(self._secrets, self._version), tokens=tokens), None):
                return
        raise BrokenState(f"The secret {self._secrets.name} is being written by too many others.")


# --- the secret's text --------------------------------------------------------------------------------------


def _login(secrets: Secrets, version: Version | None) -> Login | None:
    kept = _kept(secrets, version)
    return _parsed(secrets, parse_login, kept.tokens) if kept.tokens else None


def _kept(secrets: Secrets, version: Version | None) -> Kept:
    if version is None:
        return Kept()
    try:
        return msgspec.json.decode(version.text, type=Kept)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # The error is made outside: its context would carry the secret's text into a traceback.
    raise _broken(secrets, "it is not what `cw-proxy login` writes")


def _parsed(secrets: Secrets, parse: Callable[[bytes], Any], fields: dict[str, Any]) -> Any:
    try:
        return parse(msgspec.json.encode(fields))
    except ValueError as error:
        reason = str(error)
    raise _broken(secrets, reason)


def _broken(secrets: Secrets, reason: str) -> BrokenState:
    place = f"secretsmanager:{secrets.name}"
    return BrokenState(f"The secret {secrets.name} is broken: {reason}. Run `cw-proxy login --store {place}`.")


def _object(data: bytes) -> dict[str, Any]:
    return msgspec.json.decode(data, type=dict[str, Any])


def _text(kept: Kept) -> str:
    return msgspec.json.encode(kept).decode()
