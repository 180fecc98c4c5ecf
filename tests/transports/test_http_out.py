"""The sender against services that misbehave below HTTP: each way has its own error, and nothing stays open."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme
from servers import until

from cw_proxy.errors import (
    ProxyError,
    UpstreamError,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamTls,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from cw_proxy.secret import Secret
from cw_proxy.transports.http_out import HttpSender, SenderSettings
from cw_proxy.wire.call import HttpCall

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def service(handler: Handler) -> AsyncIterator[str]:
    open_connections: set[asyncio.Task[None]] = set()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_connections.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(tracked, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in open_connections:
            task.cancel()


def answering(*pieces: bytes, then_wait: bool = False) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.writelines(pieces)
        await writer.drain()
        if then_wait:
            await reader.read()

    return handler


@asynccontextmanager
async def sender(**settings: object) -> AsyncIterator[HttpSender]:
    made = HttpSender(SenderSettings(**settings))
    try:
        yield made
    finally:
        await made.close()


async def fetch(send: HttpSender, url: str, body: bytes = b"") -> tuple[int, bytes]:
    async with send(HttpCall("POST" if body else "GET", url, {"X-Test": "1"}, body)) as reply:
        return reply.status, b"".join([chunk async for chunk in reply.chunks])


BROKEN: list[tuple[str, Handler, type[ProxyError]]] = [
    ("closes at once", answering(), UpstreamUnavailable),
    ("is no HTTP", answering(b"SSH-2.0-service\r\n\r\n"), UpstreamProtocol),
    ("ends in its headers", answering(b"HTTP/1.1 200 OK\r\nContent-"), UpstreamUnavailable),
    ("never answers", answering(then_wait=True), UpstreamTimeout),
    ("ends before its length", answering(OK, b"abc"), UpstreamTruncated),
    ("ends without a last chunk", answering(CHUNKED, b"3\r\nabc\r\n"), UpstreamTruncated),
    ("has a broken chunk", answering(CHUNKED, b"3\r\nabc\r\nzz\r\n"), UpstreamError),
    ("falls silent", answering(OK, b"abc", then_wait=True), UpstreamTimeout),
]


@pytest.mark.parametrize(("what", "handler", "error"), BROKEN, ids=[case[0] for case in BROKEN])
async def test_a_service_that(what: str, handler: Handler, error: type[ProxyError]) -> None:
    async with service(handler) as url, sender(stall=0.3) as send:
        with pytest.raises(error) as caught:
            await fetch(send, url)
    assert "127.0.0.1" not in caught.value.message, "clients are not shown addresses of the inside"


async def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: nobody else gets it either
        async with sender() as send:
            with pytest.raises(UpstreamUnavailable):
                await fetch(send, f"http://127.0.0.1:{taken.getsockname()[1]}")


async def test_a_name_that_does_not_exist() -> None:
    async with sender() as send:
        with pytest.raises(UpstreamUnavailable):
            await fetch(send, "https://nowhere.invalid/")


async def test_a_service_that_speaks_no_tls_gets_no_token() -> None:
    seen = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.read(65536)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with service(handler) as url, sender() as send:
        with pytest.raises(UpstreamTls):
            await fetch(send, url.replace("http:", "https:"))
    assert b"x-test" not in seen.lower()


async def test_silence_between_reads_is_not_the_services_fault() -> None:
    """A client that reads slowly must not look like a service that stalls."""
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"abcde"]
    more = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.writelines(pieces)
        await more.wait()
        writer.write(b"fghij")
        await reader.read()

    async with service(handler) as url, sender(stall=0.2) as send, send(HttpCall("GET", url, {}, b"")) as reply:
        chunks = aiter(reply.chunks)
        assert await anext(chunks) == b"abcde"
        await asyncio.sleep(0.5)  # more than twice the limit, while nobody waits for the service
        more.set()
        assert await anext(chunks) == b"fghij"


async def test_what_is_sent_is_what_was_asked_and_no_more() -> None:
    seen = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.readuntil(b"{}")
        writer.writelines([OK, b"hello"])

    async with service(handler) as url, sender() as send:
        assert await fetch(send, f"{url}/path?a=b", b"{}") == (200, b"hello")
    head = seen.decode().lower()
    assert head.startswith("post /path?a=b http/1.1\r\n")
    assert "x-test: 1" in head
    for unwanted in ("accept", "user-agent", "cookie", "aiohttp", "python"):
        assert unwanted not in head


async def test_a_redirect_is_not_followed_and_a_cookie_not_kept() -> None:
    """A bearer token goes where it was sent, and nowhere else."""
    heads = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")

    async with service(handler) as url, sender() as send:
        assert [(await fetch(send, url))[0] for _ in range(2)] == [302, 302]
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


async def test_a_connection_is_used_again_when_read_to_its_end_and_dropped_when_not() -> None:
    connections = ended = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections, ended
        connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.writelines([OK, b"hello"])
        finally:
            ended += 1

    async with service(handler) as url, sender() as send:
        for _ in range(3):
            await fetch(send, url)
        assert connections == 1
        async with send(HttpCall("GET", url, {}, b"")):
            pass  # not read: what is left of the answer must not become the next one
        assert await fetch(send, url) == (200, b"hello")
    await until(lambda: ended == connections, "every connection is closed with the sender")


async def test_leaving_in_the_middle_hangs_up_at_once() -> None:
    left = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.writelines([CHUNKED, b"3\r\nabc\r\n"])
        await reader.read()
        left.set()

    async with service(handler) as url, sender() as send:
        async with send(HttpCall("GET", url, {}, b"")) as reply:
            assert await anext(aiter(reply.chunks)) == b"abc"
        await until(left.is_set, "the service sees its client leave")


async def test_a_proxy_is_asked_instead_of_the_service() -> None:
    seen = b""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.readuntil(b"\r\n\r\n")
        writer.writelines([OK, b"hello"])

    async with service(handler) as url, sender(proxy=Secret(url)) as send:
        assert await fetch(send, "http://service.invalid/path") == (200, b"hello")
    assert seen.startswith(b"GET http://service.invalid/path HTTP/1.1\r\n")


@asynccontextmanager
async def tls_service(authority: trustme.CA) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server = await asyncio.start_server(answering(OK, b"hello"), "localhost", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


# aiohttp reads the trusted authorities when it is imported, so a process of its own has to be told.
FETCH = """
import asyncio, sys
from cw_proxy.errors import ProxyError
from cw_proxy.transports.http_out import HttpSender, SenderSettings
from cw_proxy.wire.call import HttpCall

async def main():
    sender = HttpSender(SenderSettings())
    try:
        async with sender(HttpCall("GET", sys.argv[1], {})) as reply:
            print(b"".join([chunk async for chunk in reply.chunks]).decode())
    except ProxyError as error:
        print(error.code)
    finally:
        await sender.close()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("trusted", "host", "outcome"),
    [(True, "localhost", "hello"), (True, "127.0.0.1", "upstream_tls"), (False, "localhost", "upstream_tls")],
)
async def test_a_certificate_counts_if_its_authority_is_trusted_and_the_name_is_right(
    trusted: bool, host: str, outcome: str, tmp_path: Path
) -> None:
    authority = trustme.CA()
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")
    environment = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem")}
    async with tls_service(authority) as url:
        arguments = [sys.executable, "-c", FETCH, url.replace("localhost", host)]
        process = await asyncio.create_subprocess_exec(*arguments, env=environment, stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
    assert out.decode().strip() == outcome
