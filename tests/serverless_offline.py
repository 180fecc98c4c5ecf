"""The prompt socket behind serverless-offline: another's API Gateway, and another's Lambda, around our handler.

In: an upstream, a settings file. Out: the address for clients. It has no limits of size, and its 410 says no type; what
it proves is that our handler needs nothing of our own gateway.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from node_packages import FOLDER, node_modules, tool
from servers import PATIENCE, clean_environment, urls

SERVICE = FOLDER / "serverless-offline"


@contextmanager
def serverless_offline(upstream: str, settings_file: str, more: Mapping[str, str]) -> Iterator[str]:
    ports = [str(port) for port in free_ports(3)]
    sls = node_modules(SERVICE) / "osls" / "bin" / "serverless.js"
    options = ["--httpPort", ports[0], "--websocketPort", ports[1], "--lambdaPort", ports[2]]
    # Not by npx, which would be what ends instead of it.
    command = [tool("node"), str(sls), "offline", "--host", "127.0.0.1", *options]
    environment = {
        **clean_environment(urls(upstream)),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "VIRTUAL_ENV": sys.prefix,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{ports[2]}",
        "API_GW_ENDPOINT": f"http://127.0.0.1:{ports[1]}",
        "CW_PROXY_PROMPT_SOCKET": "1",
        "CW_PROXY_CONFIG": settings_file,
        **more,
    }
    running = subprocess.Popen(
        command,
        cwd=SERVICE,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(int(ports[1]), running)
        wait_for(int(ports[2]), running)
        yield f"ws://127.0.0.1:{ports[1]}"
    finally:
        # With the handlers that it has started: asked to end, it waits for them.
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(PATIENCE)


def free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports: list[int] = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert running.poll() is None, "serverless-offline does not start"
            assert time.monotonic() - began < 2 * PATIENCE, "serverless-offline does not listen"
            time.sleep(0.05)
