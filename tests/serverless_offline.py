"""The prompt socket behind serverless-offline: another's API Gateway, and another's Lambda, around our handler.

In: an upstream, a settings file. Out: the address for clients. It has no limits of size, and its 410 says no type; what
it proves is that our handler needs nothing of our own gateway.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from node_packages import FOLDER, node_modules, tool
from servers import PATIENCE, clean_environment, free_ports, urls, wait_for_port

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
        wait_for_port(int(ports[1]), running, 2 * PATIENCE)
        wait_for_port(int(ports[2]), running, 2 * PATIENCE)
        yield f"ws://127.0.0.1:{ports[1]}"
    finally:
        # With the handlers that it has started: asked to end, it waits for them.
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(PATIENCE)
