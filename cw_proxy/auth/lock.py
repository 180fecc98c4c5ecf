"""One writer of the sign-in files at a time, across threads and processes.

The kernel drops the lock with its holder, so a killed process leaves none behind. The file is never deleted: a lock
on a name that others re-create excludes nobody.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cw_proxy.errors import BrokenState

RETRY_SECONDS = 0.01


class FileLock:
    """`flock` belongs to the opened file, and each hold opens its own: threads exclude each other too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def hold(self, timeout: float) -> Iterator[None]:
        """Waits for the lock; `timeout` 0 asks once. Raises BrokenState when it stays taken."""
        descriptor = self._open()
        try:
            try:
                self._acquire(descriptor, timeout)
            except OSError as error:
                raise BrokenState(f"{self._path} cannot be locked: {error.strerror}.") from error
            yield
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BrokenState(f"{self._path} cannot be opened: {error.strerror}.") from error

    def _acquire(self, descriptor: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise LockTaken(f"{self._path} is held by another cw-proxy process. Try again in a moment.")
            time.sleep(RETRY_SECONDS)


class LockTaken(BrokenState):
    """Another live process holds it."""


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
