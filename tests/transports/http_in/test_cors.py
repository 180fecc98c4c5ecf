"""CORS: pages of listed origins may read every answer, no other page may read any."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from servers import CHAT, Answer, ask, post, proxy, request

from cw_proxy.app import App
from cw_proxy.emulator import Emulator
from cw_proxy.secret import Secret

PAGE = "https://page.example"


@pytest.fixture
async def open_app(emulator: Emulator) -> AsyncIterator[App]:
    async with proxy(emulator, cors_origins=[PAGE]) as app:
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


ANSWERS = [
    ("a chat", post("Hello", headers={"Origin": PAGE}), 200),
    ("a stream", post("Hello", headers={"Origin": PAGE}, stream=True), 200),
    ("an error of ours", post("Hello", headers={"Origin": PAGE, "Content-Type": "text/plain"}), 415),
    ("an error of the service", post("Play the script throttled", headers={"Origin": PAGE}), 429),
    ("a missing route", request("GET", "/nothing", headers={"Origin": PAGE}), 404),
    ("the models", request("GET", "/v1/models", headers={"Origin": PAGE}), 200),
]


@pytest.mark.parametrize(("what", "data", "status"), ANSWERS, ids=[case[0] for case in ANSWERS])
async def test_a_listed_page_may_read_every_answer(open_app: App, what: str, data: bytes, status: int) -> None:
    answer = await ask(open_app.url, data)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, PAGE), what
    assert "x-request-id" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"


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
        answer = await ask(app.url, post("Hello", headers={"Origin": PAGE}))
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, PAGE)
