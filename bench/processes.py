"""Child processes: started, measured and stopped by their pid."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bench.job import Job, Result

_ROOT = Path(__file__).parent.parent


class BenchError(Exception):
    """The measurement is void."""


class Server:
    """A started server; `port` is where it listens."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self.port = port

    def cpu(self) -> float:
        """Seconds of CPU, user and system, of all threads so far."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        try:
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
        except FileNotFoundError:
            fields = (tasks.parent / "stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self) -> int:
        """Bytes of memory in use."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024


class Load:
    """The load generator's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, job: Job) -> Result:
        """Raises BenchError when an answer was not whole."""
        self._say(msgspec.json.encode(job).decode())
        result = msgspec.json.decode(self._hear(), type=Result)
        if result.broken or result.complete != job.streams * job.requests:
            raise BenchError(f"{result.complete} whole answers of {job.streams * job.requests}; {result.broken}")
        return result

    @contextmanager
    def holding(self, job: Job) -> Iterator[None]:
        """All streams of the job are open inside."""
        self._say(msgspec.json.encode(job).decode())
        if (line := self._hear().strip()) != "held":
            raise BenchError(f"the streams did not open: {line}")
        yield
        self._say("release")
        self._hear()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError("the load generator is gone")
        return line


@contextmanager
def server(arguments: list[str], environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A process whose first line on stdout is its address."""
    with _started(arguments, environment) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        port = urlsplit(address).port
        if port is None:
            raise BenchError(f"{arguments} did not start: {address!r}")
        yield Server(process, port)


@contextmanager
def nats_server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "nats-server"), "-a", "127.0.0.1", "-p", str(port)]
    with _started([], {}, command=command, stderr=subprocess.PIPE) as process:
        _await(process, "Server is ready")
        yield Server(process, port)


@contextmanager
def worker(arguments: list[str], environment: Mapping[str, str], server: Server) -> Iterator[Server]:
    """A worker of that NATS server, once it listens."""
    url = f"nats://127.0.0.1:{server.port}"
    with _started(
        [*arguments, "--config", os.devnull, "--nats-server", url], environment, stderr=subprocess.PIPE
    ) as process:
        _await(process, "Listening for requests")
        yield Server(process, server.port)


def _await(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise BenchError(f"{process.args!r} did not start")


@contextmanager
def load() -> Iterator[Load]:
    with _started(["-m", "bench.load"], {}) as process:
        yield Load(process)


@contextmanager
def _started(
    arguments: list[str],
    environment: Mapping[str, str] | None,
    *,
    command: list[str] | None = None,
    stderr: int | None = None,
) -> Iterator[subprocess.Popen[str]]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CW_PROXY_")}
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            command or [sys.executable, *arguments],
            cwd=_ROOT,
            env={**inherited, "CW_PROXY_HOME": home, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    # Not asked to drain: nothing is open, or the run is void.
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()
