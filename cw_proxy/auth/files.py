"""Files that only their owner reads, and that are whole at every moment.

In: paths and bytes. Out: the bytes, or BrokenState naming the file and what to do. Refuses to know what is in them.
A file is replaced, never written in place: a process killed in the middle leaves the old content or the new.
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cw_proxy.errors import BrokenState

LARGEST = 1024 * 1024
_OTHERS = 0o077
_SUFFIX = ".tmp"

log = logging.getLogger(__name__)


def make_private_folder(folder: Path, *, uid: int | None = None) -> None:
    with _named(folder, "made"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        _check_owner(folder, status.st_uid, uid)
        if status.st_mode & _OTHERS:
            folder.chmod(0o700)
            log.warning("%s could be read by other users; it is yours alone now (0700).", folder)


def read_private(path: Path, *, uid: int | None = None) -> bytes | None:
    """The content, None where there is no file. Another user's file is refused, an open one tightened."""
    with _named(path, "read"):
        try:
            _check_owner(path, path.lstat().st_uid, uid)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            _check_file(path, os.fstat(descriptor), descriptor, uid)
            return file.read(LARGEST)


def _check_file(path: Path, status: os.stat_result, descriptor: int, uid: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise BrokenState(f"{path} is not a file. Move it away, then run `cw-proxy login`.")
    _check_owner(path, status.st_uid, uid)
    if status.st_mode & _OTHERS:
        os.fchmod(descriptor, 0o600)
        log.warning("%s could be read by other users; it is yours alone now (0600).", path)


def _check_owner(path: Path, owner: int, uid: int | None) -> None:
    if owner != (os.geteuid() if uid is None else uid):
        raise BrokenState(f"{path} belongs to another user (uid {owner}). Move it away, then run `cw-proxy login`.")


def write_private(path: Path, data: bytes) -> None:
    """Call it under the lock: a temporary file found by whoever holds the lock is a dead one's."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_SUFFIX}")
    with _named(path, "written"):
        try:
            _write_new(temporary, data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        # Before the first byte: the mode given to open() is subject to the umask, and to nothing else we know.
        os.fchmod(descriptor, 0o600)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def remove(path: Path) -> None:
    with _named(path, "removed"):
        path.unlink(missing_ok=True)


def sweep(folder: Path, names: tuple[str, ...]) -> None:
    """Removes what killed writers of these files left: it holds tokens. Call it under the lock."""
    with _named(folder, "swept"):
        for name in names:
            for stale in folder.glob(f".{name}.*{_SUFFIX}"):
                stale.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes a rename survive a power cut; a file system that cannot do it is no reason to fail."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _named(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BrokenState(f"{path} cannot be {done}: {error.strerror}. Check its permissions and the disk.") from error
