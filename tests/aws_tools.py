"""AWS's own tools for the tests, which want other versions of our dependencies: in an environment of their own.

In: the locked list in tests/sam. Out: the folder with `sam`, `cfn-lint` and Lambda's emulator. Installed once; the
folder goes with `make clean`.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
REQUIREMENTS = Path(__file__).parent / "sam" / "requirements.txt"
FOLDER = ROOT / ".venv-sam"


def aws_tools() -> Path:
    """The folder of the programs; pytest-xdist workers wait for one another."""
    FOLDER.mkdir(exist_ok=True)
    mark, wanted = FOLDER / ".installed", hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text() != wanted:
            _install()
            mark.write_text(wanted)
    return FOLDER / "bin"


def _install() -> None:
    _run(sys.executable, "-m", "venv", "--clear", str(FOLDER / "environment"))
    python = FOLDER / "environment" / "bin" / "python"
    # Nothing is built: what comes has run nowhere else on the way.
    _run(str(python), "-m", "pip", "install", "-q", "--only-binary", ":all:", "--no-deps", "-r", str(REQUIREMENTS))
    (FOLDER / "bin").unlink(missing_ok=True)
    (FOLDER / "bin").symlink_to(FOLDER / "environment" / "bin")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


def emulator() -> Path:
    """aws-lambda-rie, as it lies in the package of AWS's SAM."""
    machine = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x86_64")
    (found,) = (
        aws_tools().resolve().parent.glob(f"lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}")
    )
    found.chmod(0o755)
    return found
