"""CORS: pages of listed origins may read every answer, no other page may read any."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from servers import CHAT, Answer, ask, post, proxy, request, wire

from cw_proxy.app import App
from cw_proxy.emulator import Emulator
from cw_proxy.guard import Guard
from cw_proxy.secret import Secret
from cw_proxy.transports.http_in import HttpServer
from cw_proxy.transports.http_in.routes import Routes

PAGE = "https://page.example"


@pytest.fixture
async def open_app(emulator: Emulator) -> AsyncIterator[App]:
    async with proxy(emulator, cors_origins=[PAGE], max_body_bytes=2000) as app:
        yield app


ASKED = "authorization,content-type,x-stainless-lang"  # as a page asks whose SDK adds headers of its own


async def preflight(app: App, origin: str | None, **headers: str) -> Answer:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": ASKED}
    return await ask(app.url, request("OPTIONS", CHAT, headers={**asked, "Origin": origin, **headers}))


async def test_a_listed_page_is_let_in_by_its_preflight(open_app: App) -> None:
    answer = await preflight(open_app, PAGE)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert {"GET", "POST", "DELETE"} <= {*answer.headers["access-control-allow-methods"].split(", ")}
    assert answer.headers["access-control-allow-headers"] == ASKED
    assert answer.headers["vary"] == "Origin, Access-Control-Request-Headers"


@pytest.mark.parametrize("asked", ["", "*", "a b", "x;y", "é"])
async def test_what_are_no_names_of_headers_is_not_repeated(open_app: App, asked: str) -> None:
    answer = await preflight(open_app, PAGE, **{"Access-Control-Request-Headers": asked})
    assert answer.headers["access-control-allow-headers"] == "Authorization, Content-Type"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://page.example.evil", "http://page.example"])
async def test_any_other_page_is_not(open_app: App, origin: str) -> None:
    answer = await preflight(open_app, origin)
    assert answer.headers.get("access-control-allow-origin") not in (origin, "*")
    assert (await ask(open_app.url, post("Hello", headers={"Origin": origin}))).status == 403


UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip
ANSWERS = [
    ("a chat", post("Hello", headers={"Origin": PAGE}), 200),
    ("a stream", post("Hello", headers={"Origin": PAGE}, stream=True), 200),
    ("an error of ours", post("Hello", headers={"Origin": PAGE, "Content-Type": "text/plain"}), 415),
    ("an error of the service", post("Play the script throttled", headers={"Origin": PAGE}), 429),
    ("a body too large", request("POST", CHAT, b" " * 3000, headers={"Origin": PAGE}), 413),
    ("a missing route", request("GET", "/nothing", headers={"Origin": PAGE}), 404),
    ("a wrong method", request("PUT", CHAT, headers={"Origin": PAGE}), 405),
    ("no upgrade", request("GET", "/v1/responses", headers={"Origin": PAGE}), 426),
    ("a wrong upgrade", request("GET", "/v1/responses", headers={"Origin": PAGE, "Upgrade": "websocket"}), 400),
    ("a WebSocket", request("GET", "/v1/responses", headers={"Origin": PAGE, **UPGRADE}), 101),
    ("the models", request("GET", "/v1/models", headers={"Origin": PAGE}), 200),
]


@pytest.mark.parametrize(("what", "data", "status"), ANSWERS, ids=[case[0] for case in ANSWERS])
async def test_a_listed_page_may_read_every_answer(open_app: App, what: str, data: bytes, status: int) -> None:
    answer = await head(open_app.url, data)
    assert_readable(answer, status)


async def head(url: str, data: bytes) -> Answer:
    """The answer without its body: a WebSocket has none that ends."""
    async with wire(url) as connection:
        await connection.send(data)
        return Answer(*await connection.head(), b"", [])


def assert_readable(answer: Answer, status: int) -> None:
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, PAGE)
    assert answer.headers["vary"] == "Origin"
    exposed = {name.lower() for name in answer.headers["access-control-expose-headers"].split(", ")}
    safe = {"content-type", "content-length", "cache-control"}
    ours = {name for name in answer.headers if name.startswith(("x-", "retry-", "request-"))} - {"x-accel-buffering"}
    assert ours <= exposed | safe, "whatever we say, the page can read"
    assert {"x-request-id", "x-cw-proxy-ignored"} <= exposed


LIMITED = [
    ("a refusal of ours", post("Hello", headers={"Origin": PAGE}), 429),
    ("a refused WebSocket", request("GET", "/v1/responses", headers={"Origin": PAGE, **UPGRADE}), 429),
]


@pytest.mark.parametrize(("what", "data", "status"), LIMITED, ids=[case[0] for case in LIMITED])
async def test_a_page_may_read_what_is_left_for_it(emulator: Emulator, what: str, data: bytes, status: int) -> None:
    async with proxy(emulator, cors_origins=[PAGE], rate_limit_max=1, rate_limit_window=600.0) as app:
        assert_readable(await head(app.url, post("Hello", headers={"Origin": PAGE})), 200)
        answer = await head(app.url, data)
    assert_readable(answer, status)
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_page_may_read_that_we_broke() -> None:
    async def broken(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        raise LookupError("a bug")

    routes = Routes()
    routes.add("GET", "/broken", broken)
    server = HttpServer(routes=routes, guard=Guard.of([], [PAGE], []))
    await server.start("127.0.0.1", 0)
    try:
        assert_readable(await head(server.url, request("GET", "/broken", headers={"Origin": PAGE})), 500)
    finally:
        await server.stop()


async def test_a_cache_does_not_mix_up_who_asked(open_app: App, app: App) -> None:
    """The answer to a page says so, and so must those to others, once any page is listed."""
    for headers in ({}, {"Origin": "https://evil.example"}):
        data = request("GET", "/health", headers=headers)
        assert (await ask(open_app.url, data)).headers["vary"] == "Origin"
        assert "vary" not in (await ask(app.url, data)).headers


async def test_programs_are_told_nothing_of_origins(open_app: App) -> None:
    answer = await ask(open_app.url, post("Hello"))
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_a_star_lets_every_page_in(emulator: Emulator) -> None:
    async with proxy(emulator, cors_origins=["*"]) as app:
        answer = await ask(app.url, post("Hello", headers={"Origin": "https://any.example"}))
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://any.example")


async def test_a_preflight_to_another_host_is_refused(open_app: App) -> None:
    """Rebinding again: also the permission to call is only given under our own name."""
    assert (await preflight(open_app, PAGE, Host="evil.example")).status == 421


async def test_a_page_that_is_let_in_needs_its_key_all_the_same(emulator: Emulator) -> None:
    async with proxy(emulator, cors_origins=[PAGE], api_keys=[Secret("a-key-of-the-test")]) as app:
        assert_readable(await ask(app.url, post("Hello", headers={"Origin": PAGE})), 401)
        upgrade = request("GET", "/v1/responses", headers={"Origin": PAGE, **UPGRADE})
        assert_readable(await head(app.url, upgrade), 401)
