"""`make clients`: the acceptance matrix of real clients against `cw-proxy serve` on the emulator.

run_clients.py CLIENTS_DIR PREFIX [options of run_clients.sh]

The matrix is not part of this repository: CLIENTS_DIR holds it. What the chosen clients need is installed first.
Exits 1 when a scenario fails or is skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RUNTIME = "node:runtime"


def main(clients: Path, prefix: Path, options: list[str]) -> int:
    if not (clients / "run_clients.sh").exists():
        print(f"There is no client matrix at {clients}; set CLIENTS_DIR.")
        return 1
    install(clients, prefix, options)
    with started("emulator") as emulator, started("serve", upstream=emulator) as server:
        command = [clients / "run_clients.sh", server, "any-key", "--prefix", prefix.resolve(), *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout, end="")
    return 1 if " FAIL" in done.stdout or " SKIP" in done.stdout else 0


def install(clients: Path, prefix: Path, options: list[str]) -> None:
    """A lock that this machine's npm does not take gives way to the pinned versions, resolved afresh."""
    needed = needed_units(json.loads((clients / "registry.json").read_text())["clients"], options)
    for extra in ({}, {"UNLOCKED": "1"}):
        missing = [unit for unit in needed if not (prefix / unit.replace(":", "/") / ".installed").exists()]
        if missing:
            subprocess.run([clients / "install.sh", prefix, *missing], check=True, env=os.environ | extra)


def needed_units(registry: list[dict[str, str]], options: list[str]) -> list[str]:
    """Each unit once; Node packages do not name the runtime that they need as well."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--only", type=lambda names: names.split(","))
    only = parser.parse_known_args(options)[0].only
    units = {client["needs"] for client in registry if not only or client["name"] in only} - {""}
    runtime = {RUNTIME} if any(unit.startswith("node:") for unit in units) else set()
    return sorted(units | runtime)


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
