"""`make clients`: the acceptance matrix of real clients against `cw-proxy serve` on the emulator.

run_clients.py CLIENTS_DIR PREFIX [options of run_clients.sh]

The matrix is not part of this repository: CLIENTS_DIR holds its `install.sh` and `run_clients.sh`. Exits 1 when a
scenario fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNITS = ("py:openai", "node:runtime", "node:sdk")


def main(clients: Path, prefix: Path, options: list[str]) -> int:
    if not (clients / "run_clients.sh").exists():
        print(f"There is no client matrix at {clients}; set CLIENTS_DIR.")
        return 1
    units = [unit for unit in UNITS if not (prefix / unit.replace(":", "/") / ".installed").exists()]
    if units:
        subprocess.run([clients / "install.sh", prefix, *units], check=True)
    with started("emulator") as emulator, started("serve", upstream=emulator) as server:
        command = [clients / "run_clients.sh", server, "any-key", "--prefix", prefix.resolve(), *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, end="")
    return 1 if " FAIL" in done.stdout else 0


@contextmanager
def started(command: str, upstream: str | None = None) -> Iterator[str]:
    """A `cw-proxy` command on a free port; its first line is its address."""
    environment = dict(os.environ)
    if upstream:
        settings = {"STREAMING_URL": upstream, "RUNTIME_URL": upstream, "ACCESS_TOKEN": "emulated"}
        environment |= {f"CW_PROXY_{name}": value for name, value in settings.items()}
    arguments = [sys.executable, "-m", "cw_proxy", command, "--port", "0"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
