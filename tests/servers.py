"""Servers for the tests: an App and an Emulator in this process, commands as processes, and a client on a bare socket.

In: settings, command lines, bytes. Out: something that runs on a free port and is stopped at the end of its block.
Refuses to know pytest. Nothing sleeps for a fixed time: one waits for lines, for numbers, for ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from cw_proxy.app import App
from cw_proxy.auth.driver import drive
from cw_proxy.auth.flow import Place, sign_in
from cw_proxy.auth.oidc_boto import BotoOidc
from cw_proxy.auth.records import BUILDER_ID_REGION, BUILDER_ID_START_URL
from cw_proxy.auth.store import Store
from cw_proxy.config import Config
from cw_proxy.emulator import Emulator
from cw_proxy.secret import Secret

PATIENCE = 30.0  # seconds for what takes milliseconds on an idle machine
TOKEN = "an-access-token-of-the-tests"
UPSTREAM_KEY = "sk-canary-of-the-upstream"
CHAT = "/v1/chat/completions"
COMMAND = [str(Path(sys.executable).parent / "cw-proxy")]
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


# --- in this process --------------------------------------------------------------------------------------


def settings(upstream: str, **changes: Any) -> Config:
    """A proxy on a free port, in front of `upstream`, with a ready token."""
    urls = {"streaming_url": upstream, "runtime_url": upstream, "oidc_url": upstream}
    return Config(**{"port": 0, "access_token": Secret(TOKEN), **urls, **changes})


@asynccontextmanager
async def proxy(upstream: Emulator | str, home: Path = Path("/nonexistent"), **changes: Any) -> AsyncIterator[App]:
    """The home only matters without a ready token: `access_token=None`."""
    app = App(settings(upstream if isinstance(upstream, str) else upstream.url, **changes), home)
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


def login(home: Path, emulator_url: str) -> None:
    """The device flow against an emulator that approves by itself. Blocks."""
    place = Place(BUILDER_ID_START_URL, BUILDER_ID_REGION)
    door = BotoOidc(place.region, endpoint_url=emulator_url)
    steps = sign_in(place, None, time.time())
    done = drive(steps, door, clock=time.time, wait=time.sleep, show=lambda step: None)
    with Store(home).writing() as files:
        files.save_registration(done.registration)
        files.save(done.login)


async def until(condition: Callable[[], object], what: str) -> float:
    """Waits until `condition` is true; the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE, f"never happened: {what}"
        await asyncio.sleep(0.002)
    return time.monotonic() - began


# --- a client on a bare socket ----------------------------------------------------------------------------


class Answer:
    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes, interim: list[int]) -> None:
        self.status = status
        self.all_headers = headers
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body
        self.interim = interim

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error, which must have OpenAI's shape and a request id, and name neither Python nor the framework."""
        error = self.json["error"]
        assert set(self.json) == {"error"}
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"], error
        assert isinstance(error["type"], str), error
        assert isinstance(error["code"], str), error
        assert self.headers["content-type"].startswith("application/json")
        assert self.headers["x-request-id"].startswith("req_")
        assert self.headers["server"].startswith("cw-proxy/")
        assert "python" not in self.headers["server"].lower()
        return error


class Wire:
    """One connection: bytes out, answers in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read(self) -> bytes:
        """What comes next; b"" when the server has closed, cleanly or not."""
        try:
            return await asyncio.wait_for(self.reader.read(65536), PATIENCE)
        except ConnectionError:
            return b""

    async def until(self, wanted: bytes) -> bytes:
        seen = b""
        while wanted not in seen:
            data = await self.read()
            assert data, f"closed before {wanted!r} came: {seen!r}"
            seen += data
        return seen

    async def head(self) -> tuple[int, list[tuple[str, str]]]:
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        first, *lines = raw.decode("latin-1").strip().split("\r\n")
        version, status, *_ = first.split(" ", 2)
        assert version.startswith("HTTP/"), raw
        pairs = (line.split(":", 1) for line in lines)
        return int(status), [(name, value.strip()) for name, value in pairs]

    async def answer(self, method: str = "GET") -> Answer:
        """One whole answer; the connection may be used on."""
        interim: list[int] = []
        status, headers = await self.head()
        while status < 200:
            interim.append(status)
            status, headers = await self.head()
        lower = {name.lower(): value for name, value in headers}
        body = b"" if method == "HEAD" or status in (204, 304) else await self._body(lower)
        return Answer(status, headers, body, interim)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join([chunk async for chunk in self.chunks()])
        if "content-length" in headers:
            return await asyncio.wait_for(self.reader.readexactly(int(headers["content-length"])), PATIENCE)
        return await asyncio.wait_for(self.reader.read(), PATIENCE)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises IncompleteReadError where the connection ends before the last chunk."""
        while True:
            line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), PATIENCE)
            data = await asyncio.wait_for(self.reader.readexactly(int(line, 16) + 2), PATIENCE)
            if data == b"\r\n":
                return
            yield data[:-2]

    def vanish(self) -> None:
        """As a killed client does it."""
        self.writer.transport.abort()


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def request(
    method: str, path: str, body: bytes | None = None, *, version: str = "1.1", headers: Mapping[str, str | None] = {}
) -> bytes:
    """A request's bytes. A header that is None is left out, also one that would be there by default."""
    usual: dict[str, str | None] = {"Host": "127.0.0.1"}
    if body is not None:
        usual |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{name}: {value}" for name, value in {**usual, **headers}.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/{version}", *lines, "", ""]).encode("latin-1") + (body or b"")


def chat(text: str, **more: Any) -> bytes:
    messages = [{"role": "user", "content": text}]
    return json.dumps({"model": "codewhisperer", "messages": messages, **more}).encode()


def post(text: str, *, headers: Mapping[str, str | None] = {}, **more: Any) -> bytes:
    """A chat request's bytes."""
    return request("POST", CHAT, chat(text, **more), headers=headers)


async def ask(url: str, data: bytes) -> Answer:
    """One request, one connection, one answer."""
    async with wire(url) as connection:
        await connection.send(data)
        return await connection.answer(data.split(b" ", 1)[0].decode("latin-1"))


def frames(body: bytes) -> list[str]:
    """The data of server-sent events; whatever else a stream holds must be a comment."""
    found = []
    for block in body.decode().split("\n\n"):
        if block.startswith("data: "):
            found.append(block.removeprefix("data: "))
        else:
            assert block == "" or block.startswith(":"), block
    return found


def said(body: bytes) -> str:
    """The text of a whole stream, which must end as a good one does."""
    *chunks, done = frames(body)
    assert done == "[DONE]", body[-200:]
    choices = [choice for chunk in chunks for choice in json.loads(chunk)["choices"]]
    assert choices[-1]["finish_reason"] == "stop"
    return "".join(choice["delta"].get("content", "") for choice in choices)


# --- as processes -----------------------------------------------------------------------------------------


class Service(NamedTuple):
    """The URLs of a proxy and of the emulator behind it."""

    proxy: str
    emulator: str


class Program:
    """A running `cw-proxy`. What it prints is read all the time, so that it never waits for us."""

    def __init__(self, arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(environment),
        )
        self.out = bytearray()
        self.err = bytearray()
        self._readers = [
            threading.Thread(target=self._collect, args=(self.process.stdout, self.out), daemon=True),
            threading.Thread(target=self._collect, args=(self.process.stderr, self.err), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def first_line(self) -> str:
        """The address, once the server listens."""
        began = time.monotonic()
        while b"\n" not in self.out:
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.err.decode()}"
            assert time.monotonic() - began < PATIENCE, f"no line: {self.err.decode()}"
            time.sleep(0.01)
        return self.out.decode().splitlines()[0]

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code; then all that was printed is there."""
        code = self.process.wait(PATIENCE)
        for reader in self._readers:
            reader.join(PATIENCE)
        return code

    def _collect(self, stream: Any, into: bytearray) -> None:
        while data := stream.read1(65536):
            into += data
        stream.close()


@contextmanager
def program(*arguments: str, **environment: str) -> Iterator[Program]:
    """`cw-proxy` with these arguments, killed at the end of the block if it still runs."""
    running = Program(arguments, environment)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
        running.wait()


def run(
    *arguments: str, text: str | None = None, environment: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    """`cw-proxy` to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=text or "",
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        env=clean_environment(environment),
        check=False,
    )


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours without whatever a developer has set for the proxy, and a home that is not theirs."""
    ours = {name: value for name, value in os.environ.items() if not is_ours(name)}
    return {**ours, "CW_PROXY_HOME": "/nonexistent/cw-proxy", "PYTHONUNBUFFERED": "1", **more}


def is_ours(variable: str) -> bool:
    others = ("API_GW_ENDPOINT", "PORT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return variable.startswith(("CW_PROXY_", "CW_RELAY_")) or variable.upper() in others


def urls(upstream: str) -> dict[str, str]:
    """Variables that send a proxy to `upstream`."""
    return dict.fromkeys(("CW_PROXY_STREAMING_URL", "CW_PROXY_RUNTIME_URL", "CW_PROXY_OIDC_URL"), upstream)


def openai_upstream(emulator_url: str, **more: str) -> dict[str, str]:
    """Variables that make an emulator the OpenAI upstream; key and model as such servers have them."""
    return {
        "CW_PROXY_ACCESS_TOKEN": "",
        "CW_PROXY_BACKEND": "openai",
        "CW_PROXY_OPENAI_BASE_URL": f"{emulator_url}/v1",
        "CW_PROXY_OPENAI_API_KEY": UPSTREAM_KEY,
        "OPENAI_MODEL": "gpt-5",
        **more,
    }


@contextmanager
def serving(upstream: str, *arguments: str, **environment: str) -> Iterator[tuple[str, Program]]:
    """`cw-proxy serve` on a free port: its URL and the process. With a ready token unless one is given."""
    variables = {"CW_PROXY_ACCESS_TOKEN": TOKEN, **urls(upstream), **environment}
    with program("serve", "--port", "0", *arguments, **variables) as server:
        yield server.first_line(), server


class Daemon:
    """Somebody else's server, once a subclass has started it."""

    process: subprocess.Popen[bytes] | None = None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def free_ports(number: int) -> list[int]:
    """For programs that are told where to listen."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports: list[int] = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def wait_for_port(port: int, running: subprocess.Popen[bytes], patience: float = PATIENCE) -> None:
    """Until somebody else's program listens."""
    began = time.monotonic()
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert running.poll() is None, f"ended instead of listening: {running.args!r}"
            assert time.monotonic() - began < patience, f"does not listen: {running.args!r}"
            time.sleep(0.02)


def stats(emulator_url: str) -> dict[str, Any]:
    """Of an emulator in another process."""
    with urlopen(f"{emulator_url}/_emulator/stats", timeout=PATIENCE) as answer:
        return json.load(answer)


def control(emulator_url: str, lever: str, value: object) -> Any:
    """Pulls a lever of an emulator in another process: `settings`, `expire`, `scripts/NAME`, `reset`."""
    asked = Request(f"{emulator_url}/_emulator/{lever}", json.dumps(value).encode(), method="POST")
    with urlopen(asked, timeout=PATIENCE) as answer:
        return json.load(answer)
