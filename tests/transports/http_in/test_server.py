"""The guarded socket: who is let in, and that every failure, down to bytes that are no HTTP, is JSON of one shape."""

from __future__ import annotations

import pytest
from aiohttp import web
from servers import CHAT, Answer, ask, chat, post, proxy, request, wire

from cw_proxy.app import App
from cw_proxy.emulator import Emulator
from cw_proxy.guard import Guard
from cw_proxy.transports.http_in import HttpServer
from cw_proxy.transports.http_in.routes import Routes

MODELS = request("GET", "/v1/models")


def get(path: str = "/v1/models", **headers: str | None) -> bytes:
    return request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})


# --- Host -------------------------------------------------------------------------------------------------

FOREIGN_HOSTS = [
    "evil",
    "evil.example",
    "127.0.0.1.evil",
    "127.0.0.1.evil:3000",
    "127.0.0.1@evil",
    "127.0.0.1.",
    "localhost.",
    "localhost.evil",
    "0.0.0.0",
    "127.0.0.2",
    "[::]",
    "[::1].evil",
    "127.0.0.1, evil",
    "127.0.0.1:99999999",
    "127.0.0.1:abc",
    "",
    None,
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_a_host_that_is_not_ours_is_refused(app: App, host: str | None) -> None:
    answer = await ask(app.url, get(Host=host))
    assert (answer.status, answer.error["code"]) in ((421, "host_refused"), (400, "invalid_request"))
    assert host in (None, "") or answer.status == 421


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:3000", "localhost", "LOCALHOST:80", "[::1]", "[::1]:3000"])
async def test_loopback_is_ours(app: App, host: str) -> None:
    assert (await ask(app.url, get("/health", Host=host))).status == 200


async def test_two_hosts_are_none(app: App) -> None:
    data = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil\r\n\r\n"
    answer = await ask(app.url, data)
    assert answer.status in (400, 421)
    assert answer.error["type"] == "invalid_request_error"


ABSOLUTE = [
    ("http://evil/health", 421),
    ("http://evil:3000/health", 421),
    ("http://127.0.0.1@evil/health", 421),
    ("http://127.0.0.1.evil/health", 421),
    ("https://evil/health", 421),
    ("HTTP://evil/health", 421),
    ("http://127.0.0.1:3000/health", 200),
]


@pytest.mark.parametrize(("target", "status"), ABSOLUTE)
async def test_an_absolute_target_outranks_the_host(app: App, target: str, status: int) -> None:
    answer = await ask(app.url, get(target))
    assert answer.status == status, answer.body
    assert status == 200 or answer.error["code"] == "host_refused"


@pytest.mark.parametrize("version", ["0.9", "1.0"])
async def test_an_old_client_must_name_its_host_too(app: App, version: str) -> None:
    answer = await ask(app.url, request("GET", "/health", version=version, headers={"Host": None}))
    assert answer.status in (400, 421)
    assert answer.error["type"] == "invalid_request_error"


async def test_the_hosts_of_the_settings_are_served_too(emulator: Emulator) -> None:
    async with proxy(emulator, allowed_hosts=["Proxy.Example"]) as app:
        statuses = [
            (await ask(app.url, get("/health", Host=host))).status for host in ("proxy.example:80", "x.example")
        ]
    assert statuses == [200, 421]


# --- Origin -----------------------------------------------------------------------------------------------

BROWSERS: list[tuple[dict[str, str | None], int]] = [
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),
    ({"Origin": "http://127.0.0.1.evil"}, 403),
    ({"Origin": ""}, 403),
    ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Sec-Fetch-Site": "Cross-Site", "Sec-Fetch-Mode": "no-cors"}, 403),
    # The Node SDK sends these, and is no browser.
    ({"Sec-Fetch-Mode": "cors", "Accept-Language": "*"}, 200),
    ({"Sec-Fetch-Site": "none"}, 200),
    ({"Sec-Fetch-Site": "same-origin"}, 200),
]


@pytest.mark.parametrize(("headers", "status"), BROWSERS)
async def test_pages_of_other_origins_are_refused(app: App, headers: dict[str, str | None], status: int) -> None:
    answer = await ask(app.url, post("Reply with exactly the token PONG", headers=headers))
    assert answer.status == status
    assert status == 200 or answer.error["code"] == "origin_refused"


# --- what is no request that is served --------------------------------------------------------------------

WRONG_METHODS = [
    ("GET", CHAT, "POST"),
    ("PUT", CHAT, "POST"),
    ("DELETE", "/v1/models", "GET"),
    ("POST", "/health", "GET"),
    ("PATCH", "/v1/models/x", "GET"),
    ("HEAD", CHAT, "POST"),
]


@pytest.mark.parametrize(("method", "path", "allowed"), WRONG_METHODS)
async def test_a_wrong_method_is_told_the_right_one(app: App, method: str, path: str, allowed: str) -> None:
    answer = await ask(app.url, request(method, path))
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert method == "HEAD" or answer.error["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/chat", CHAT + "/", "/v2/models", "/health/x", "/%2e%2e/etc"])
async def test_an_unknown_route_says_what_there_is(app: App, path: str) -> None:
    answer = await ask(app.url, request("GET", path))
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert CHAT in answer.error["message"]


GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # a TLS hello
    b"hello\r\n\r\n",
    b"\x00\x01\x02\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /health HTTP/9.9.9\r\n\r\n",
    b"G@T /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nBad Name: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\x00b\r\n\r\n",
]


@pytest.mark.parametrize("data", GARBAGE, ids=range(len(GARBAGE)))
async def test_bytes_that_are_no_http_get_json(app: App, data: bytes) -> None:
    async with wire(app.url) as connection:
        await connection.send(data)
        answer = await connection.answer()
        assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
        assert b"aaaa" not in answer.body, "the client's own bytes are not shown"
        assert await connection.read() == b"", "nothing sensible can follow"


async def test_bad_chunks_of_a_body_are_a_bad_request(app: App) -> None:
    head = request("POST", CHAT, headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    answer = await ask(app.url, head + b"zz\r\n{}\r\n0\r\n\r\n")
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")


# --- the ways of HTTP -------------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order(app: App) -> None:
    async with wire(app.url) as connection:
        words = ["ALPHA", "BETA", "GAMMA"]
        await connection.send(b"".join(post(f"Reply with exactly the token {word}") for word in words))
        answers = [await connection.answer() for _ in words]
    assert [answer.json["choices"][0]["message"]["content"] for answer in answers] == words


async def test_a_refused_post_does_not_turn_its_body_into_requests(app: App) -> None:
    """The rest of a body that nobody read must not be parsed as the next request."""
    smuggled = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    headers = {"Content-Type": "text/plain"}
    async with wire(app.url) as connection:
        await connection.send(request("POST", CHAT, smuggled, headers=headers) + MODELS)
        first, second = await connection.answer(), await connection.answer()
    assert first.status == 415
    assert second.json["object"] == "list"


UPGRADES: list[dict[str, str | None]] = [
    # As `curl --http2` sends it.
    {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA"},
    {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
]


@pytest.mark.parametrize("headers", UPGRADES, ids=["h2c", "websocket"])
async def test_who_offers_to_upgrade_is_answered_all_the_same(app: App, headers: dict[str, str | None]) -> None:
    async with wire(app.url) as connection:
        await connection.send(post("Reply with exactly the token PONG", headers=headers))
        first = await connection.answer()
        await connection.send(MODELS)
        second = await connection.answer()
    assert first.json["choices"][0]["message"]["content"] == "PONG"
    assert second.json["object"] == "list"


async def test_a_client_of_http_1_0(app: App) -> None:
    async with wire(app.url) as connection:
        await connection.send(request("POST", CHAT, chat("Count from 1 to 3", stream=True), version="1.0"))
        answer = await connection.answer()
        assert await connection.read() == b""
    assert answer.status == 200
    assert "transfer-encoding" not in answer.headers
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready", "/v1/models", "/v1/models/auto"])
async def test_head_is_get_without_a_body(app: App, path: str) -> None:
    async with wire(app.url) as connection:
        await connection.send(request("HEAD", path) + request("GET", path))
        head, full = await connection.answer("HEAD"), await connection.answer()
    assert head.status == full.status == 200
    assert head.headers["content-length"] == full.headers["content-length"] == str(len(full.body))


async def test_a_hundred_continue_comes_before_the_body_is_sent(app: App) -> None:
    body = chat("Reply with exactly the token PONG")
    data = request("POST", CHAT, body, headers={"Expect": "100-continue"})
    async with wire(app.url) as connection:
        await connection.send(data[: -len(body)])
        assert (await connection.head())[0] == 100
        await connection.send(body)
        answer = await connection.answer()
    assert answer.json["choices"][0]["message"]["content"] == "PONG"


async def test_who_is_refused_gets_no_hundred_continue(app: App) -> None:
    data = request("POST", CHAT, chat("x"), headers={"Expect": "100-continue", "Host": "evil"})
    async with wire(app.url) as connection:
        await connection.send(data[: data.index(b"\r\n\r\n") + 4])
        answer = await connection.answer()
    assert (answer.status, answer.interim) == (421, [])


# --- what every answer has --------------------------------------------------------------------------------


async def all_kinds_of_answers(app: App) -> dict[str, Answer]:
    kinds: dict[str, bytes] = {
        "health": get("/health"),
        "models": MODELS,
        "chat": post("Reply with exactly the token PONG"),
        "stream": post("Reply with exactly the token PONG", stream=True),
        "preflight": request("OPTIONS", CHAT),
        "not found": get("/x"),
        "method": request("DELETE", CHAT),
        "refused": get(Host="evil"),
        "no http": b"hello\r\n\r\n",
        "upstream": post("Play the script throttled"),
    }
    return {kind: await ask(app.url, data) for kind, data in kinds.items()}


async def test_every_answer_has_an_id_of_its_own_and_hides_what_made_it(app: App) -> None:
    answers = await all_kinds_of_answers(app)
    ids = {kind: answer.headers["x-request-id"] for kind, answer in answers.items()}
    assert len(set(ids.values())) == len(ids)
    for kind, answer in answers.items():
        servers = [value for name, value in answer.all_headers if name.lower() == "server"]
        assert len(servers) == 1, kind
        assert servers[0].startswith("cw-proxy/"), kind
        assert "aiohttp" not in str(answer.all_headers).lower(), kind


async def test_a_fault_of_ours_tells_its_id_and_nothing_of_our_insides(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*_: object) -> web.StreamResponse:
        raise RuntimeError("of the insides")

    routes = Routes()
    routes.add("GET", "/broken", broken)
    server = HttpServer(routes=routes, guard=Guard.of([], [], []))
    await server.start("127.0.0.1", 0)
    try:
        answer = await ask(server.url, get("/broken"))
    finally:
        await server.stop()
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert answer.headers["x-request-id"] in answer.error["message"]
    assert "insides" not in answer.body.decode()
    assert answer.headers["x-request-id"] in caplog.text
