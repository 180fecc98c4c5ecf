"""A real Redis server as a process.

In: nothing. Out: a server on a free port that can be stopped, killed and started again there. Refuses to know pytest.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from servers import PATIENCE, Daemon, free_ports

from cw_proxy.secret import Secret


class RedisServer(Daemon):
    def __init__(self) -> None:
        [self.port] = free_ports(1)
        self.url = Secret(f"redis://127.0.0.1:{self.port}")

    def start(self) -> None:
        # Nothing on disk: no snapshots, no log of commands.
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL, cwd="/")
        began = time.monotonic()
        while not self._answers():
            assert time.monotonic() - began < PATIENCE, "the Redis server does not start"
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.kill()
