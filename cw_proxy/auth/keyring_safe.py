"""The secret fields of a file in the system's keyring (opt-in): the file then only names where they are.

In: a file's JSON. Out: the same without secrets, and back. Every sealing takes new entries, so the old ones hold
until the file that names the new is in place. The only door to `keyring`, imported when first used.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from cw_proxy.errors import BrokenState

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

FIELD = "cwProxyKeyring"
SECRET_FIELDS = ("accessToken", "refreshToken", "clientSecret")
SERVICE = "cw-proxy"
# The Windows Credential Manager holds 2,560 bytes of UTF-16 in an entry.
CHUNK = 1280
# A locked keyring asks the person for its password in a window, or on a server waits for nobody.
SECONDS = 60.0
REFUSED = ("fail", "null", "plaintext")

T = TypeVar("T")


class KeyringSafe:
    def __init__(self, backend: KeyringBackend | None = None, *, seconds: float = SECONDS) -> None:
        self._chosen = backend
        self._seconds = seconds

    def seal(self, data: bytes) -> bytes:
        fields: dict[str, Any] = json.loads(data)
        hidden = json.dumps({name: fields.pop(name) for name in SECRET_FIELDS if name in fields})
        names = self._put(hidden)
        return json.dumps(fields | {FIELD: names}, indent=2).encode() + b"\n"

    def unseal(self, data: bytes) -> bytes | None:
        fields: dict[str, Any] = json.loads(data)
        hidden = self._get(_names(fields))
        if hidden is None:
            return None
        fields.pop(FIELD, None)
        return json.dumps(fields | json.loads(hidden)).encode()

    def discard(self, data: bytes) -> None:
        try:
            names = _names(json.loads(data))
        except ValueError:
            return
        self._limited(lambda backend: _delete(backend, names))

    def _put(self, text: str) -> list[str]:
        chunks = [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]
        sealing = secrets.token_hex(8)
        names = [f"{sealing}.{number}" for number in range(len(chunks))]

        def store(backend: KeyringBackend) -> None:
            for name, chunk in zip(names, chunks, strict=True):
                backend.set_password(SERVICE, name, chunk)

        self._limited(store)
        if self._get(names) != text:
            raise BrokenState("The keyring does not give back what was put in. Use `cw-proxy login --store files`.")
        return names

    def _get(self, names: list[str]) -> str | None:
        chunks = self._limited(lambda backend: [backend.get_password(SERVICE, name) for name in names])
        found = [chunk for chunk in chunks if chunk is not None]
        return "".join(found) if len(found) == len(names) > 0 else None

    def _limited(self, work: Callable[[KeyringBackend], T]) -> T:
        """In a thread that may be left behind: a keyring behind a dead session bus never answers."""
        results: list[T] = []
        errors: list[str] = []

        def run() -> None:
            try:
                results.append(work(self._backend()))
            except BrokenState as error:
                errors.append(error.message)
            except Exception as error:  # noqa: BLE001 - the edge to plug-ins, which raise what they like
                errors.append(f"The keyring failed ({type(error).__name__}). Use `cw-proxy login --store files`.")

        thread = threading.Thread(target=run, name="keyring", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if results:
            return results[0]
        raise BrokenState(errors[0] if errors else "The keyring does not answer. Unlock it, or use `--store files`.")

    def _backend(self) -> KeyringBackend:
        if self._chosen is None:
            import keyring

            self._chosen = keyring.get_keyring()
        for backend in _members(self._chosen):
            if not is_refused(backend):
                return backend
        raise BrokenState("There is no keyring here that keeps secrets. Use `cw-proxy login --store files`.")


def is_refused(backend: KeyringBackend) -> bool:
    """Backends that keep nothing, or keep it in plain sight."""
    kind = type(backend)
    name = f"{kind.__module__.rpartition('.')[2]}.{kind.__qualname__}".lower()
    return any(word in name for word in REFUSED)


def _members(backend: KeyringBackend) -> Iterator[KeyringBackend]:
    """keyring's chainer falls through to the next of several: each is judged by itself."""
    several = getattr(backend, "backends", None)
    yield from several if isinstance(several, (list, tuple)) else (backend,)


def _delete(backend: KeyringBackend, names: list[str]) -> None:
    from keyring.errors import PasswordDeleteError

    for name in names:
        try:
            backend.delete_password(SERVICE, name)
        except PasswordDeleteError:
            # Already gone: logging out twice is fine.
            continue


def _names(fields: Any) -> list[str]:
    names = fields.get(FIELD) if isinstance(fields, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []
