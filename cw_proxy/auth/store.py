"""Where a sign-in is kept: `tokens.json` and `registration.json` in the home folder, secrets perhaps in a keyring.

In: a Login or a Registration. Out: the same, in another process. Readers take no lock: a file is replaced whole.
Writers hold the lock from the reading they decide by to the writing, so two of them never decide by the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from cw_proxy.auth.files import make_private_folder, read_private, remove, sweep, write_private
from cw_proxy.auth.lock import FileLock
from cw_proxy.auth.records import (
    Login,
    Registration,
    parse_login,
    parse_registration,
    render_login,
    render_registration,
)
from cw_proxy.errors import BrokenState

TOKENS = "tokens.json"
REGISTRATION = "registration.json"
LOCK = "lock"
# Longer than the slowest refresh of another process: two attempts, each with its connect and read timeout.
LOCK_SECONDS = 60.0

Keep = Literal["files", "keyring"]
Stamp = tuple[int, int, int]
T = TypeVar("T")


class TokenStore(Protocol):
    """A place where sign-ins are kept, here and elsewhere. Blocks; raises BrokenState."""

    def load(self) -> Login | None: ...

    def load_registration(self) -> Registration | None: ...

    def kept(self) -> str:
        """Where the secrets are now, as the setting `store` has it."""

    def stamp(self) -> Stamp | None:
        """At once: a value that has changed when the tokens may have."""

    def sweep(self) -> None:
        """At start: removes what killed writers left."""

    def writing(self) -> AbstractContextManager[TokenWriter]: ...


class TokenWriter(Protocol):
    """What a writer may do, from the reading it decides by to the writing."""

    def load(self) -> Login | None: ...

    def claim(self) -> bool:
        """Whether what was loaded is ours alone to replace now; if not, load again and look whether there still is
        something to do. Without a claim `save` replaces whatever is there."""

    def save(self, login: Login, keep: Keep | None = None) -> None: ...

    def save_registration(self, registration: Registration, keep: Keep | None = None) -> None: ...

    def rehearse(self, keep: Keep | None) -> None: ...

    def remove(self) -> None: ...


class Safe(Protocol):
    """A better place than a file for a file's secret fields."""

    def seal(self, data: bytes) -> bytes:
        """The file's JSON with its secrets gone, naming where they are."""

    def unseal(self, data: bytes) -> bytes | None:
        """The whole JSON again; None when the secrets are no longer where it says."""

    def discard(self, data: bytes) -> None:
        """Forgets the secrets this JSON names."""


def is_sealed(data: bytes) -> bool:
    """Cheap, and true of no JSON that we write with secrets in it."""
    return b'"cwProxyKeyring"' in data


def default_safe() -> Safe:
    from cw_proxy.auth.keyring_safe import KeyringSafe

    return KeyringSafe()


class Store:
    """The files of one home folder. Blocks: on a disk, on the lock, on a keyring."""

    def __init__(self, home: Path, *, safe: Callable[[], Safe] = default_safe) -> None:
        self.home = home
        self._safe = safe
        self._lock = FileLock(home / LOCK)

    def load(self) -> Login | None:
        return self._load(TOKENS, parse_login)

    def load_registration(self) -> Registration | None:
        return self._load(REGISTRATION, parse_registration)

    def kept(self) -> Keep:
        """Where the secrets are now; files when there are none."""
        data = self._read(TOKENS)
        return "keyring" if data is not None and is_sealed(data) else "files"

    def stamp(self) -> Stamp | None:
        """Changes whenever the tokens do: one stat, for a server that must notice `cw-proxy login`."""
        try:
            status = (self.home / TOKENS).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def sweep(self) -> None:
        """At start: removes what killed writers left, unless a live one is at work, which will do it."""
        if not self.home.is_dir():
            return
        # Also a home mounted read-only serves: nobody can have left anything there.
        with suppress(BrokenState), self.writing(timeout=0):
            pass

    @contextmanager
    def writing(self, *, timeout: float = LOCK_SECONDS) -> Iterator[Writer]:
        """Holds the lock of all processes. Whoever has it knows that every temporary file is stale."""
        make_private_folder(self.home)
        with self._lock.hold(timeout):
            sweep(self.home, (TOKENS, REGISTRATION))
            yield Writer(self, self._safe)

    def _read(self, name: str) -> bytes | None:
        return read_private(self.home / name)

    def _load(self, name: str, parse: Callable[[bytes], T]) -> T | None:
        data = self._whole(name)
        if data is None:
            return None
        try:
            return parse(data)
        except ValueError as error:
            reason = str(error)
        raise BrokenState(
            f"{self.home / name} is broken: {reason}. Move it away or run `cw-proxy logout`, then `cw-proxy login`."
        )

    def _whole(self, name: str) -> bytes | None:
        data = self._read(name)
        if data is None or not is_sealed(data):
            return data
        whole = self._safe().unseal(data)
        # A writer may have replaced both between our two reads; then the file names another place now.
        if whole is None and (newer := self._read(name)) not in (None, data):
            whole = self._safe().unseal(newer or b"{}")
        if whole is None:
            raise BrokenState(f"The keyring has lost the secrets of {self.home / name}. Run `cw-proxy login` again.")
        return whole


class Writer:
    """What may be done under the lock."""

    def __init__(self, store: Store, safe: Callable[[], Safe]) -> None:
        self._store = store
        self._home = store.home
        self._safe = safe

    def load(self) -> Login | None:
        return self._store.load()

    def claim(self) -> bool:
        """Whoever has the lock is alone."""
        return True

    def save(self, login: Login, keep: Keep | None = None) -> None:
        self._save(TOKENS, render_login(login), keep)

    def save_registration(self, registration: Registration, keep: Keep | None = None) -> None:
        self._save(REGISTRATION, render_registration(registration), keep)

    def rehearse(self, keep: Keep | None) -> None:
        """Whether secrets can go there, before a person has gone to a browser for them."""
        if keep == "keyring":
            self._discard(self._safe().seal(b"{}"))

    def remove(self) -> None:
        """Forgets everything, also what cannot be parsed."""
        for name in (TOKENS, REGISTRATION):
            old = read_private(self._home / name)
            remove(self._home / name)
            self._discard(old)

    def _save(self, name: str, data: bytes, keep: Keep | None) -> None:
        path = self._home / name
        old = read_private(path)
        keep = keep or ("keyring" if old is not None and is_sealed(old) else "files")
        # The file is the commit: before it the old secrets are in force, after it the new.
        write_private(path, self._safe().seal(data) if keep == "keyring" else data)
        self._discard(old)

    def _discard(self, old: bytes | None) -> None:
        if old is not None and is_sealed(old):
            self._safe().discard(old)
