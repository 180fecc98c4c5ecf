"""A real NATS server as a process, with keys and certificates on request; workers, and what a test asks them with.

In: a folder, parts of the server's configuration. Out: a server that can be stopped and started again on its port.
Refuses to know pytest.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import nats
import nkeys
import trustme
from nats.aio.client import Client
from nats.aio.msg import Msg
from servers import PATIENCE, TOKEN, Daemon, Program, free_ports, program, settings, until, urls, wait_for_port

from cw_proxy.app import Core
from cw_proxy.emulator import Emulator
from cw_proxy.guard import Guard
from cw_proxy.nats_settings import NatsConfig, Tls
from cw_proxy.secret import Secret
from cw_proxy.transports.nats_in import NatsWorker

SUBJECT = "openai_requests"
_SERVER = str(Path(sys.executable).parent / "nats-server")


class NatsServer(Daemon):
    def __init__(self, folder: Path, extra: str = "") -> None:
        [self.port] = free_ports(1)
        self.url = f"nats://127.0.0.1:{self.port}"
        self.configuration = folder / f"server-{self.port}.conf"
        self.configure(extra)

    def start(self) -> None:
        self.process = subprocess.Popen([_SERVER, "-c", str(self.configuration)], stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def configure(self, extra: str) -> None:
        """For the next start."""
        self.configuration.write_text(f'listen: "127.0.0.1:{self.port}"\n{extra}\n')

    def reload(self, extra: str) -> None:
        """Another configuration, without losing connections."""
        self.configure(extra)
        self.signal(signal.SIGHUP)


@contextmanager
def nats_server(folder: Path, extra: str = "") -> Iterator[NatsServer]:
    server = NatsServer(folder, extra)
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Nkey:
    """A new one, its seed in a file."""

    def __init__(self, folder: Path, name: str = "user") -> None:
        seed = bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
        self.seed = seed.decode()
        self.public = nkeys.from_seed(bytearray(seed)).public_key.decode()
        self.file = folder / f"{name}.nk"
        self.file.write_text(self.seed + "\n")


class Certificates:
    """An authority, a server's certificate and a client's."""

    def __init__(self, folder: Path, name: str = "ours") -> None:
        authority = trustme.CA()
        self.ca, self.cert, self.key = (folder / f"{name}-{part}.pem" for part in ("ca", "cert", "key"))
        self.server_cert, self.server_key = folder / f"{name}-server-cert.pem", folder / f"{name}-server-key.pem"
        authority.cert_pem.write_to_path(self.ca)
        _write(authority.issue_cert("127.0.0.1", "localhost"), self.server_cert, self.server_key)
        _write(authority.issue_cert("client@example.org"), self.cert, self.key)

    @property
    def demanded(self) -> str:
        """The server's configuration: both sides show a certificate."""
        files = f'cert_file: "{self.server_cert}", key_file: "{self.server_key}", ca_file: "{self.ca}"'
        return f"tls {{ {files}, verify: true }}"


def _write(certificate: trustme.LeafCert, cert: Path, key: Path) -> None:
    certificate.cert_chain_pems[0].write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)


class Site:
    """A folder of keys and certificates, and the configuration of a server that demands both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.other_key = Nkey(folder), Nkey(folder, "other")
        self.ours, self.foreign = Certificates(folder), Certificates(folder, "foreign")
        self.strict = f"authorization {{ users: [{{ nkey: {self.key.public} }}] }}\n{self.ours.demanded}"

    def tls(self, **changes: Any) -> Tls:
        paths = {"ca": self.ours.ca, "cert": self.ours.cert, "key": self.ours.key, **changes}
        return Tls(True, **{name: str(path) for name, path in paths.items() if path is not None})

    def config(self, **changes: Any) -> NatsConfig:
        return NatsConfig(**{"nkey_seed_file": str(self.key.file), "tls": self.tls(), **changes})


# --- asking -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def client(server: NatsServer, **options: Any) -> AsyncIterator[Client]:
    connection = await nats.connect(server.url, **options)
    try:
        yield connection
    finally:
        if not connection.is_closed:
            await connection.close()


def chat(text: str, **more: Any) -> bytes:
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}], **more}).encode()


async def request(connection: Client, body: bytes, **headers: str) -> Msg:
    return await connection.request(SUBJECT, body, timeout=PATIENCE, headers=headers or None)


async def streamed(connection: Client, body: bytes) -> list[Msg]:
    """All messages of an answer, the empty one too."""
    inbox = connection.new_inbox()
    subscription = await connection.subscribe(inbox)
    await connection.publish(SUBJECT, body, reply=inbox)
    messages = [await subscription.next_msg(PATIENCE)]
    while messages[-1].data:
        messages.append(await subscription.next_msg(PATIENCE))
    await subscription.unsubscribe()
    return messages


def code(message: Msg) -> str | None:
    return (message.headers or {}).get("Nats-Service-Error-Code")


def text_of(chunks: list[Msg]) -> str:
    return "".join(json.loads(chunk.data)["choices"][0]["delta"].get("content") or "" for chunk in chunks)


async def under_way(connection: Client, emulator: Emulator, number: int) -> list[asyncio.Task[Msg]]:
    """So many requests that are with the service for a moment, and their askers."""
    emulator.scripts["down"] = [{"delay": 0.3}, {"text": "done"}]
    asking = [asyncio.create_task(request(connection, b"play the script down")) for _ in range(number)]
    await until(lambda: emulator.stats.in_flight == number, "all are under way")
    return asking


# --- a worker in this process -----------------------------------------------------------------------------


@asynccontextmanager
async def working(
    server: NatsServer, emulator: Emulator, keys: tuple[str, ...] = (), **more: Any
) -> AsyncIterator[NatsWorker]:
    drain_timeout, recorder = more.pop("drain_timeout", PATIENCE), more.pop("recorder", None)
    async with Core(settings(emulator.url), Path("/nonexistent")) as core:
        guard = Guard.of([], [], [Secret(key) for key in keys])
        config = NatsConfig(server=server.url, **more)
        worker = NatsWorker(core.exchange, guard, config, drain_timeout, recorder)
        await worker.start()
        try:
            yield worker
        finally:
            await worker.stop()


# --- as a process -----------------------------------------------------------------------------------------


@contextmanager
def worker(upstream: str, *arguments: str, **environment: str) -> Iterator[Program]:
    """`cw-proxy nats`, once it listens."""
    with program("nats", *arguments, **{"CW_PROXY_ACCESS_TOKEN": TOKEN, **urls(upstream), **environment}) as running:
        began = time.monotonic()
        while b"Listening for requests" not in running.err:
            assert running.process.poll() is None, running.err.decode()
            assert time.monotonic() - began < PATIENCE, running.err.decode()
            time.sleep(0.01)
        yield running
