"""The fetcher of images against hosts that lie: where a name leads, how much is sent and how slowly, and who is asked.

Every server is on loopback, so the tests' reach is further than the default; the default's own tests are at the end.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import string
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from servers import NOBODY, until

from cw_proxy import __version__
from cw_proxy.addresses import Address
from cw_proxy.errors import InvalidValue
from cw_proxy.transports.image_fetch import FetchSettings, ImageFetcher, Reach, look_up

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
PARAM = "messages[0].content[1].image_url.url"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HERE = ip_address("127.0.0.1")
INSIDE = ip_address("10.0.0.1")
AUTHORITY = trustme.CA()


class Site:
    """A server on loopback: what it was asked, and how many connections came and went."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.connections = self.ended = 0
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                await self._handler(reader, writer)
        self.ended += 1
        writer.close()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def site(handler: Handler, host: str = "127.0.0.1", certificate_for: str | None = None) -> AsyncIterator[Site]:
    """Speaks TLS where it is given a name for its certificate."""
    tls = None
    if certificate_for is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        AUTHORITY.issue_cert(certificate_for).configure_cert(tls)
    running = Site(handler)
    server = await asyncio.start_server(running.serve, host, 0, ssl=tls)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        running.stop()


def answering(*pieces: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(pieces)
        await writer.drain()

    return handler


def then_closing(*pieces: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines(pieces)
        await writer.drain()
        raise ConnectionError

    return handler


class Names:
    """A resolver that gives one list of addresses after the other, and remembers what it was asked."""

    def __init__(self, *answers: Sequence[Address]) -> None:
        self._answers = iter(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        return next(self._answers)


async def here(host: str) -> Sequence[Address]:
    return [HERE]


async def nobody_asks(host: str) -> Sequence[Address]:
    raise AssertionError(f"nobody asks for {host}")


def loopback_only(address: Address) -> bool:
    return address.is_loopback


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


ON_LOOPBACK = Reach(allows=loopback_only, plain_http=True, any_port=True)


@asynccontextmanager
async def fetcher(
    resolve: Callable[[str], Awaitable[Sequence[Address]]] = here, reach: Reach = ON_LOOPBACK, **settings: object
) -> AsyncIterator[ImageFetcher]:
    made = ImageFetcher(FetchSettings(**settings), resolve=resolve, reach=reach)
    try:
        yield made
    finally:
        await made.close()


async def refusal(fetch: ImageFetcher, url: str) -> str:
    with pytest.raises(InvalidValue) as caught:
        await fetch(url, PARAM)
    assert caught.value.param == PARAM
    assert caught.value.status == 400
    assert "secret" not in caught.value.message, "paths, queries and passwords are nobody's business"
    return caught.value.message


# --- where a name leads -----------------------------------------------------------------------------------


async def test_a_name_is_looked_up_once_and_the_connection_goes_where_the_check_looked() -> None:
    """Rebinding: whoever asks a second time is sent to the inside. The name exists for our resolver alone."""
    names = Names([HERE], [INSIDE])
    async with site(answering(OK, b"image")) as server, fetcher(names) as fetch:
        assert await fetch(f"http://image.invalid:{server.port}/a", PARAM) == b"image"
        assert names.asked == ["image.invalid"]
        # The connection is still open, and yet the new answer counts.
        assert "public internet" in await refusal(fetch, f"http://image.invalid:{server.port}/a")
    assert len(server.heads) == 1


@pytest.mark.parametrize("addresses", [[HERE, INSIDE], [INSIDE, HERE], [HERE, HERE, ip_address("fd00::1")]])
async def test_one_address_of_the_inside_spoils_all(addresses: list[Address]) -> None:
    async with site(answering(OK, b"image")) as server, fetcher(Names(addresses)) as fetch:
        message = await refusal(fetch, f"http://image.invalid:{server.port}/secret")
    assert message == "The image's host 'image.invalid' is not on the public internet."
    assert server.connections == 0


async def test_only_the_first_address_is_tried() -> None:
    async with site(answering(OK, b"image")) as server, fetcher(Names([ip_address("127.0.0.2"), HERE])) as fetch:
        assert "cannot be reached" in await refusal(fetch, f"http://image.invalid:{server.port}/")
    assert server.connections == 0


@pytest.mark.parametrize("fault", [socket.gaierror(-2, "secret"), None])
async def test_a_name_without_addresses(fault: OSError | None) -> None:
    async def resolve(host: str) -> Sequence[Address]:
        if fault is not None:
            raise fault
        return []

    async with fetcher(resolve) as fetch:
        assert "'nowhere.invalid'" in await refusal(fetch, "http://nowhere.invalid/secret")


async def test_the_systems_resolver_is_asked_for_all_addresses() -> None:
    assert HERE in await look_up("127.0.0.1")
    assert all(address.is_loopback for address in await look_up("localhost"))
    with pytest.raises(socket.gaierror):
        await look_up("nowhere.invalid")


async def test_an_address_is_not_looked_up() -> None:
    async with site(answering(OK, b"image")) as server, fetcher(nobody_asks) as fetch:
        assert await fetch(f"http://127.0.0.1:{server.port}/", PARAM) == b"image"
    assert f"Host: 127.0.0.1:{server.port}\r\n" in server.heads[0]


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_an_ipv6_address() -> None:
    try:
        running = site(answering(OK, b"image"), "::1", certificate_for="::1")
        async with running as server, fetcher(nobody_asks, tls_reach(AUTHORITY)) as fetch:
            assert await fetch(f"https://[::1]:{server.port}/a", PARAM) == b"image"
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert f"Host: [::1]:{server.port}\r\n" in server.heads[0]


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, NOBODY)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with site(answering(OK, b"image")) as server, fetcher() as fetch:
        assert await fetch(f"http://image.invalid:{server.port}/", PARAM) == b"image"


# --- TLS --------------------------------------------------------------------------------------------------


def tls_reach(authority: trustme.CA) -> Reach:
    return Reach(allows=loopback_only, any_port=True, tls=trusting(authority))


async def test_tls_and_the_host_header_have_the_name_and_not_the_address() -> None:
    running = site(answering(OK, b"image"), certificate_for="image.invalid")
    async with running as server, fetcher(reach=tls_reach(AUTHORITY)) as fetch:
        assert await fetch(f"https://image.invalid:{server.port}/", PARAM) == b"image"
        # A second name on the same address gets no connection that was made for the first.
        assert "certificate" in await refusal(fetch, f"https://other.invalid:{server.port}/")
    assert f"Host: image.invalid:{server.port}\r\n" in server.heads[0]
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("certificate", "trusted"),
    [("other.invalid", AUTHORITY), ("127.0.0.1", AUTHORITY), ("image.invalid", trustme.CA())],
)
async def test_a_wrong_certificate(certificate: str, trusted: trustme.CA) -> None:
    running = site(answering(OK, b"image"), certificate_for=certificate)
    async with running as server, fetcher(reach=tls_reach(trusted)) as fetch:
        message = await refusal(fetch, f"https://image.invalid:{server.port}/secret")
    assert message == "The TLS certificate or handshake of the image's host 'image.invalid' was refused."
    assert server.heads == []


@pytest.mark.parametrize("name", ["a", "-a.b-", "_a.b", "xn--a.b", "a" * 63, ".".join(["a" * 50] * 4)])
async def test_names_that_dns_allows_and_certificates_hardly(name: str) -> None:
    running = site(answering(OK, b"image"), certificate_for="image.invalid")
    async with running as server, fetcher(reach=tls_reach(AUTHORITY)) as fetch:
        assert "certificate" in await refusal(fetch, f"https://{name}:{server.port}/")


async def test_a_host_that_speaks_no_tls() -> None:
    seen = b""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen = await reader.read(65536)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, fetcher(reach=tls_reach(AUTHORITY)) as fetch:
        port = server.sockets[0].getsockname()[1]
        assert "TLS" in await refusal(fetch, f"https://image.invalid:{port}/secret")
    assert b"secret" not in seen


# --- what is asked ----------------------------------------------------------------------------------------


async def test_what_is_sent_is_what_was_asked_and_no_more() -> None:
    path = "/a%2Fb/../c%7E'\"|?sig=%2B%20+x&a=b;c=%c3%a9"
    async with site(answering(OK, b"image")) as server, fetcher() as fetch:
        await fetch(f"http://image.invalid:{server.port}{path}#fragment", PARAM)
    first, *rest = server.heads[0].strip().split("\r\n")
    assert first == f"GET {path} HTTP/1.1", "signed URLs are signed to the letter"
    headers = dict(line.split(": ", 1) for line in rest)
    assert headers == {
        "Host": f"image.invalid:{server.port}",
        "User-Agent": f"cw-proxy/{__version__}",
        "Accept": "image/png, image/jpeg, image/gif, image/webp",
        "Accept-Encoding": "identity",
    }


@pytest.mark.parametrize(
    ("written", "sent"),
    [("", "/"), ("?a", "/?a"), ("/a b", "/a%20b"), ("/é?ü=ö", "/%C3%A9?%C3%BC=%C3%B6"), ("//x", "//x")],
)
async def test_what_no_request_line_can_hold_is_encoded(written: str, sent: str) -> None:
    async with site(answering(OK, b"image")) as server, fetcher() as fetch:
        await fetch(f"http://image.invalid:{server.port}{written}", PARAM)
    assert server.heads[0].startswith(f"GET {sent} HTTP/1.1\r\n")


async def test_a_connection_is_used_again_and_cookies_are_not_kept() -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 5\r\n\r\nimage"
    async with site(answering(answer)) as server, fetcher() as fetch:
        for _ in range(3):
            await fetch(f"http://image.invalid:{server.port}/", PARAM)
        assert server.connections == 1
        assert "cookie" not in "".join(server.heads).lower()
    await until(lambda: server.ended == 1, "the connection is closed with the fetcher")


# --- what is answered -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    answer = f"HTTP/1.1 {status} Moved\r\nLocation: http://169.254.169.254/secret\r\nContent-Length: 0\r\n\r\n"
    names = Names([HERE])
    async with site(answering(answer.encode())) as server, fetcher(names) as fetch:
        message = await refusal(fetch, f"http://image.invalid:{server.port}/secret?secret=1")
    assert "redirect" in message
    assert str(status) in message
    assert len(server.heads) == len(names.asked) == 1


@pytest.mark.parametrize("status", [201, 204, 206, 401, 404, 500])
async def test_any_other_status_is_named(status: int) -> None:
    answer = f"HTTP/1.1 {status} Secret\r\nContent-Length: 0\r\n\r\n".encode()
    async with site(answering(answer)) as server, fetcher() as fetch:
        message = await refusal(fetch, f"http://image.invalid:{server.port}/secret")
    assert message == f"The image's host 'image.invalid' answered with status {status}."


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
@pytest.mark.parametrize("head", ["Content-Length: {}\r\n", "Connection: close\r\n"])
async def test_up_to_the_limit_all_is_fetched(size: int, head: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{head}\r\n".format(size).encode()
    async with site(then_closing(answer, b"i" * size)) as server, fetcher(max_bytes=1000) as fetch:
        assert await fetch(f"http://image.invalid:{server.port}/", PARAM) == b"i" * size


async def test_a_length_beyond_the_limit_is_refused_before_the_first_byte() -> None:
    """The body never comes: whoever waited for it would wait for ever."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"
    async with site(answering(answer)) as server, fetcher(max_bytes=1000, timeout=3600.0) as fetch:
        message = await refusal(fetch, f"http://image.invalid:{server.port}/")
        await until(lambda: server.ended == 1, "what is unread is dropped with the connection")
    assert message == "The image from 'image.invalid' has more than 1000 bytes."


async def test_an_endless_body_is_left_at_the_limit() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while True:
            writer.write(b"64\r\n" + b"i" * 100 + b"\r\n")
            await writer.drain()

    async with site(endless) as server, fetcher(max_bytes=1000, timeout=3600.0) as fetch:
        assert "more than 1000 bytes" in await refusal(fetch, f"http://image.invalid:{server.port}/")
        await until(lambda: server.ended == 1, "the host sees that nobody listens")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "deflate, gzip", "identity, gzip"])
async def test_compressed_bodies_are_refused(coding: str) -> None:
    body = gzip.compress(b"\0" * 10_000_000)
    answer = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with site(answering(answer, body)) as server, fetcher() as fetch:
        assert "compressed" in await refusal(fetch, f"http://image.invalid:{server.port}/")


async def test_identity_is_no_compression() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\nContent-Length: 5\r\n\r\nimage"
    async with site(answering(answer)) as server, fetcher() as fetch:
        assert await fetch(f"http://image.invalid:{server.port}/", PARAM) == b"image"


BROKEN = [
    ("closes at once", then_closing(), "cannot be reached"),
    ("is no HTTP", then_closing(b"SSH-2.0-secret\r\n\r\n"), "not valid HTTP"),
    ("ends before its length", then_closing(OK, b"ima"), "broke off"),
    ("ends without a last chunk", then_closing(CHUNKED, b"3\r\nima\r\n"), "broke off"),
    ("has a broken chunk", then_closing(CHUNKED, b"3\r\nima\r\nzz\r\n"), "image.invalid"),
    (
        "has two lengths",
        then_closing(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + OK[17:], b"image"),
        "not valid HTTP",
    ),
]


@pytest.mark.parametrize(("what", "handler", "words"), BROKEN, ids=[case[0] for case in BROKEN])
async def test_a_host_that(what: str, handler: Handler, words: str) -> None:
    async with site(handler) as server, fetcher() as fetch:
        message = await refusal(fetch, f"http://image.invalid:{server.port}/secret")
    assert words in message
    assert "127.0.0.1" not in message


# --- time -------------------------------------------------------------------------------------------------


async def test_drips_do_not_stretch_the_time() -> None:
    """Each byte comes soon after the last one, and they never end."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while True:
            writer.write(b"1\r\ni\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with site(drip) as server, fetcher(timeout=0.3) as fetch:
        message = await refusal(fetch, f"http://image.invalid:{server.port}/secret")
        await until(lambda: server.ended == server.connections, "the host sees that nobody listens")
    assert message == "Fetching the image from 'image.invalid' took too long."


async def test_the_look_up_and_the_handshake_and_the_head_count_too() -> None:
    async def never(host: str) -> Sequence[Address]:
        await asyncio.Event().wait()
        return []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with fetcher(never, timeout=0.05) as fetch:
        assert "too long" in await refusal(fetch, "http://image.invalid/")
    async with site(silent) as server, fetcher(timeout=0.3) as fetch:
        assert "too long" in await refusal(fetch, f"http://image.invalid:{server.port}/")
    with socket.create_server(("127.0.0.1", 0)) as mute:  # the system accepts; nobody shakes hands
        async with fetcher(reach=tls_reach(AUTHORITY), timeout=0.3) as fetch:
            assert "too long" in await refusal(fetch, f"https://image.invalid:{mute.getsockname()[1]}/")


async def test_a_client_that_leaves_takes_its_fetch_along() -> None:
    begun = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.writelines([CHUNKED, b"3\r\nima\r\n"])
        begun.set()
        await reader.read()
        raise ConnectionError

    async with site(stall) as server, site(answering(OK, b"image")) as other, fetcher(parallel=1) as fetch:
        task = asyncio.create_task(fetch(f"http://image.invalid:{server.port}/", PARAM))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.ended == 1, "the host sees its client leave")
        assert await fetch(f"http://image.invalid:{other.port}/", PARAM) == b"image", "its turn is free again"


async def test_no_more_than_the_limit_go_on_at_a_time() -> None:
    """All begin before the first answer could come, if nobody holds them."""
    active = peak = 0

    async def begin(host: str) -> Sequence[Address]:
        nonlocal active, peak
        active += 1
        peak = max(peak, active)
        return [HERE]

    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal active
        active -= 1
        writer.writelines([OK, b"image"])

    async with site(end) as server, fetcher(begin, parallel=2) as fetch:
        asked = [fetch(f"http://image.invalid:{server.port}/", PARAM) for _ in range(7)]
        assert await asyncio.gather(*asked) == [b"image"] * 7
    assert peak == 2


# --- what a URL may be, with the reach that users have ----------------------------------------------------

HOSTILE_HOSTS = [
    "127.0.0.1", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1", "0177.0.0.1", "127.0.1",
    "017700000001", "127.0.0.1.", "0x7f.1.", "127.0.0.0x1", "256.256.256.256", "1.2.3.4.5", "127.0.0.1%2e",
    "127.0.0.01", "１２７.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "１６９.２５４.１６９.２５４", "0x７f.1",
    "169.254.169.254", "10.0.0.1", "100.100.100.200", "168.63.129.16", "255.255.255.255", "224.0.0.1", "192.168.1.1",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]",
    "[64:ff9b::7f00:1]", "[64:ff9b::8.8.8.8]", "[2002:7f00:1::]", "[2001::1]", "[fe80::1%25eth0]", "[fe80::1%eth0]",
    "[fe80::1]", "[fec0::1]", "[fd00:ec2::254]", "[ff02::1]", "[2606:4700::1111%25lo]", "[::1]x", "x[::1]", "[::1",
    "[127.0.0.1]", "[v1.a]", "[]", "", ".", "..", "a..b", ".a", "-" * 64, "a" * 64 + ".b", ".".join(["a" * 60] * 5),
    "user@8.8.8.8", "user:secret@8.8.8.8", "@8.8.8.8", "8.8.8.8@127.0.0.1", "8.8.8.8\\@127.0.0.1", "8.8.8.8\\.b", "a b",
    "a%2eb", "%31%32%37.0.0.1", "%6cocalhost", "a\u00adb.c", "a\u200db.c", "a／b", "a＠b", "a\tb", "a\r\nb", "a\0b",
    "xn--\u0661", "8.8.8.8:80", "8.8.8.8:8443", "8.8.8.8:0", "8.8.8.8:99999", "8.8.8.8:-1", "8.8.8.8:４４３",
    "8.8.8.8:a", "8.8.8.8:443:443",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
async def test_no_name_or_connection_for(host: str) -> None:
    async with fetcher(nobody_asks, Reach()) as fetch:
        await refusal(fetch, f"https://{host}/secret")


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/secret", "HTTP://8.8.8.8/", "ftp://8.8.8.8/", "file:///etc/passwd", "//8.8.8.8/", "8.8.8.8", "",
        "https:8.8.8.8", "https:/8.8.8.8", "https:\\\\8.8.8.8", "gopher://8.8.8.8", "data:image/png;base64,", "ht\ntps://8.8.8.8",
        "https://8.8.8.8/\r\nX-Header: secret", "https://8.8.8.8/" + "a" * 8000,
    ],
)  # fmt: skip
async def test_no_connection_to(url: str) -> None:
    async with fetcher(nobody_asks, Reach()) as fetch:
        await refusal(fetch, url)


async def test_a_password_is_refused_as_one() -> None:
    async with fetcher(nobody_asks, Reach()) as fetch:
        assert "password" in await refusal(fetch, "https://user:secret@8.8.8.8/")


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST.", "localhost"),
        ("metadata.google.internal", "metadata.google.internal"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("ⓔxample。com", "example.com"),
        ("127.0.0.1.nip.io:443", "127.0.0.1.nip.io"),
        ("٠.٠.٠.٠", "xn--8hb.xn--8hb.xn--8hb.xn--8hb"),
        ("0x7f.example:", "0x7f.example"),
        ("_a-b.c", "_a-b.c"),
    ],
)
async def test_a_name_is_asked_for_in_ascii_and_its_address_judged(written: str, asked: str) -> None:
    names = Names([HERE])
    async with fetcher(names, Reach()) as fetch:
        assert "public internet" in await refusal(fetch, f"https://{written}/secret")
    assert names.asked == [asked]


@given(
    st.text(st.sampled_from(string.printable + "１。/＠é\u00ad"), max_size=40),
    st.sampled_from(["https://", "https://a", ""]),
)
def test_whatever_is_written_is_refused_in_order(text: str, start: str) -> None:
    """The resolver knows but loopback: no text may end anywhere else than in a refusal for the client."""

    async def attempt() -> None:
        async with fetcher(here, Reach(allows=lambda address: False)) as fetch:
            with pytest.raises(InvalidValue):
                await fetch(start + text, PARAM)

    asyncio.run(attempt())


async def test_no_session_is_made_for_what_is_refused() -> None:
    fetch = ImageFetcher(FetchSettings())
    await refusal(fetch, "https://127.0.0.1/")
    assert fetch._session is None
    await fetch.close()
