"""The way to the upstream alone: its bounds in time and what goes wrong before a frame flows."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from servers import program
from websocket_peers import client, config, echo, received, upstream

from cw_proxy.errors import UpstreamProtocol, UpstreamTimeout, UpstreamTls, UpstreamUnavailable
from cw_proxy.transports.relay.upstream import Upstream


@asynccontextmanager
async def listener(answer: bytes | None) -> AsyncIterator[str]:
    """Takes every connection and answers what it is told to, or nothing, or hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer is not None:
            writer.write(answer)
            writer.close()
        else:
            await reader.read()
            writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def failing(url: str, **settings: float) -> str:
    way = Upstream(config(url), **settings)
    try:
        await way.connect("/v1/responses", [], [])
    finally:
        await way.close()
    raise AssertionError("connected")


async def test_an_upstream_that_never_answers_is_given_up() -> None:
    async with listener(None) as url:
        with pytest.raises(UpstreamTimeout):
            await failing(url, connect=0.1)


@pytest.mark.parametrize(
    "headers",
    [
        b"Connection: upgrade\r\nSec-WebSocket-Accept: x",
        b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: wrong",
        b"Upgrade: websocket\r\nSec-WebSocket-Accept: x",
    ],
)
async def test_an_upgrade_that_is_none_is_an_error(headers: bytes) -> None:
    async with listener(b"HTTP/1.1 101 Switching Protocols\r\n" + headers + b"\r\n\r\n") as url:
        with pytest.raises(UpstreamProtocol):
            await failing(url)


@pytest.mark.parametrize("answer", [b"", b"not HTTP\r\n\r\n"])
async def test_an_upstream_that_hangs_up_cannot_be_reached(answer: bytes) -> None:
    async with listener(answer) as url:
        with pytest.raises(UpstreamUnavailable):
            await failing(url)


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


async def test_a_certificate_of_nobody_is_refused(authority: trustme.CA) -> None:
    async with upstream(echo, ssl=tls(authority)) as peer:
        with pytest.raises(UpstreamTls):
            await failing(peer.url.replace("ws://", "wss://"))
    assert peer.requests == []


async def test_the_environments_proxy_is_used_for_tls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n"))
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(UpstreamUnavailable):
            await failing("wss://upstream.invalid")
        async with upstream(echo) as peer:
            way = Upstream(config(peer.url))
            connected = await way.connect("/v1/responses", [], [])
            await connected.socket.close()
            await way.close()
    assert set(asked) == {b"CONNECT upstream.invalid:443 HTTP/1.1\r\n"}


async def test_the_relay_follows_the_systems_certificates(authority: trustme.CA, tmp_path: Path) -> None:
    """A process of its own: the certificates are read once."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with upstream(echo, ssl=tls(authority)) as peer:
        variables = {"SSL_CERT_FILE": str(tmp_path / "ca.pem"), "OPENAI_API_KEY": "the-key"}
        with program("relay", "--upstream-url", peer.url.replace("ws://", "wss://"), **variables) as running:
            url = await asyncio.to_thread(running.first_line)
            async with client(url) as socket:
                await socket.send("over TLS")
                assert await received(socket) == "over TLS"
    assert peer.requests[0].headers["Authorization"] == "Bearer the-key"
