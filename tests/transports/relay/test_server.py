"""The relay before frames flow: who may come in, what the upstream gets to see, what a refusal looks like, the end."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from aiohttp import web
from openai import AsyncOpenAI, OpenAI
from servers import PATIENCE, ask, request, until, wire
from websocket_peers import (
    KEY,
    UPGRADE,
    Counts,
    client,
    closed,
    config,
    create,
    echo,
    received,
    relay,
    responses,
    silence,
    upstream,
)
from websockets.exceptions import InvalidStatus

from cw_proxy.errors import ConfigError
from cw_proxy.secret import Secret
from cw_proxy.transports.relay import Relay


@asynccontextmanager
async def refusing(status: int, body: bytes, **headers: str) -> AsyncIterator[str]:
    """An upstream that speaks HTTP only."""

    async def handle(asked: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=body, headers={key.replace("_", "-"): headers[key] for key in headers})

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def refusal(running: Relay, **settings: Any) -> websockets.Response:
    with pytest.raises(InvalidStatus) as raised:
        async with client(running, **settings):
            pass
    return raised.value.response


# --- what the upstream sees -------------------------------------------------------------------------------


async def test_the_clients_key_is_taken_off_and_the_upstreams_put_on() -> None:
    sent = {
        "Authorization": "Bearer the-key-of-the-client",
        "X-Api-Key": "the-key-of-the-client",
        "Cookie": "session=the-key-of-the-client",
        "OpenAI-Beta": "responses_websockets=2026-02-06",
        "session_id": "a-session",
        "X-Client-Request-Id": "a-request",
        "X-Forwarded-For": "192.0.2.1",
    }
    async with (
        upstream(echo) as peer,
        relay(config(peer.url)) as running,
        client(running, additional_headers=sent, user_agent_header="a-client/1"),
    ):
        pass
    seen = peer.requests[0].headers
    assert seen.get_all("Authorization") == [KEY]
    assert "the-key-of-the-client" not in str(seen)
    assert "192.0.2.1" not in str(seen)
    assert seen["OpenAI-Beta"] == "responses_websockets=2026-02-06"
    assert (seen["session_id"], seen["X-Client-Request-Id"], seen["User-Agent"]) == (
        "a-session",
        "a-request",
        "a-client/1",
    )
    assert seen["Host"] == peer.url.removeprefix("ws://")


async def test_the_header_of_the_key_can_be_another() -> None:
    settings = {"auth_header": "X-Provider", "auth_value": Secret("the-key")}
    async with (
        upstream(echo) as peer,
        relay(config(peer.url, **settings)) as running,
        client(running, additional_headers={"x-provider": "mine", "Authorization": "Bearer mine"}),
    ):
        pass
    seen = peer.requests[0].headers
    assert seen.get_all("X-Provider") == ["the-key"]
    assert "Authorization" not in seen


async def test_the_relay_says_who_it_is_when_the_client_does_not() -> None:
    async with upstream(echo) as peer, relay(config(peer.url)) as running, client(running, user_agent_header=None):
        pass
    assert peer.requests[0].headers["User-Agent"].startswith("cw-proxy/")


async def test_path_and_query_are_passed_on() -> None:
    async with upstream(echo) as peer, relay(config(f"{peer.url}/gateway")) as running:
        async with client(running, "/v1/responses?model=a%2Fb&x=%20+"):
            pass
        async with client(running):
            pass
    assert [asked.path for asked in peer.requests] == [
        "/gateway/v1/responses?model=a%2Fb&x=%20+",
        "/gateway/v1/responses",
    ]


async def test_a_header_in_no_encoding_harms_nobody() -> None:
    asked = request("GET", "/v1/responses", headers={**UPGRADE, "x-name": "caf\xe9", "x-other": "plain"})
    async with upstream(echo) as peer, relay(config(peer.url)) as running, wire(running.url) as connection:
        await connection.send(asked)
        assert (await connection.head())[0] == 101
    assert "x-name" not in peer.requests[0].headers
    assert peer.requests[0].headers["x-other"] == "plain"


async def test_the_subprotocol_is_agreed_on_from_end_to_end(caplog: pytest.LogCaptureFixture) -> None:
    key: Any = "openai-insecure-api-key.the-key-of-the-client"
    async with (
        upstream(echo, subprotocols=["two", "one"]) as peer,
        relay(config(peer.url)) as running,
        client(running, subprotocols=["one", key, "two"]) as socket,
    ):
        assert socket.subprotocol == peer.sockets[0].subprotocol == "two"
    async with (
        upstream(echo) as other,
        relay(config(other.url)) as running,
        client(running, subprotocols=[key]) as socket,
    ):
        assert socket.subprotocol is None
    assert "the-key-of-the-client" not in str([asked.headers for asked in peer.requests + other.requests])
    assert "the-key-of-the-client" not in caplog.text


async def test_what_the_upstream_says_of_itself_comes_back() -> None:
    def told(_: Any, __: Any, response: Any) -> None:
        response.headers["x-codex-turn-state"] = "a-state"
        response.headers["Set-Cookie"] = "a=b"

    async with (
        upstream(echo, process_response=told) as peer,
        relay(config(peer.url)) as running,
        client(running) as socket,
    ):
        assert socket.response is not None
        assert socket.response.headers["x-codex-turn-state"] == "a-state"
        assert "Set-Cookie" not in socket.response.headers
        assert socket.response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("value", ["Bearer the-key-of-the-upstream", "you sent the-key-of-the-upstream; fine"])
async def test_an_upstream_that_shows_what_it_was_sent_does_not_show_its_key(value: str) -> None:
    def told(_: Any, __: Any, response: Any) -> None:
        response.headers["x-echo"] = value
        response.headers["x-note"] = "harmless"

    async with (
        upstream(echo, process_response=told) as peer,
        relay(config(peer.url)) as running,
        client(running) as socket,
    ):
        assert socket.response is not None
        assert "the-key-of-the-upstream" not in str(socket.response.headers)
        assert "x-echo" not in socket.response.headers
        assert socket.response.headers["x-note"] == "harmless"


# --- refused ----------------------------------------------------------------------------------------------


async def test_a_refusal_is_the_upstreams_own() -> None:
    body = b'{"error":{"message":"slow down","type":"rate_limit_error","code":"x","param":null}}'
    counts = Counts()
    headers = {"Retry_After": "7", "x_ratelimit_limit_tokens": "1", "Set_Cookie": "a=b"}
    async with refusing(429, body, **headers) as url, relay(config(url), metrics=counts) as running:
        seen = await refusal(running)
    assert (seen.status_code, seen.body) == (429, body)
    assert (seen.headers["Retry-After"], seen.headers["x-ratelimit-limit-tokens"]) == ("7", "1")
    assert "Set-Cookie" not in seen.headers
    assert counts.ended == [("", "refused")]


@pytest.mark.parametrize(
    "body", [b"<html>no</html>", b"", b"[1]", b'{"key": "the-key-of-the-upstream"}', b"{" * 70_000]
)
async def test_a_refusal_that_cannot_be_shown_is_told_in_our_words(body: bytes) -> None:
    async with refusing(403, body, x_note="the-key-of-the-upstream") as url, relay(config(url)) as running:
        seen = await refusal(running)
    assert seen.status_code == 403
    assert seen.body is not None
    assert "status 403" in json.loads(seen.body)["error"]["message"]
    assert b"the-key-of-the-upstream" not in seen.body
    assert "x-note" not in seen.headers


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307])
async def test_an_upstream_that_does_not_upgrade_is_an_error_and_no_redirect_is_followed(status: int) -> None:
    async with (
        upstream(echo) as elsewhere,
        refusing(status, b"", Location=elsewhere.url.replace("ws://", "http://")) as url,
        relay(config(url)) as running,
    ):
        seen = await refusal(running)
    assert seen.status_code == 502
    assert seen.body is not None
    assert json.loads(seen.body)["error"]["code"] == "upstream_protocol"
    assert elsewhere.requests == []


async def test_an_upstream_that_is_not_there_is_502() -> None:
    counts = Counts()
    async with relay(config("ws://127.0.0.1:9"), metrics=counts) as running:
        seen = await refusal(running)
    assert seen.status_code == 502
    assert counts.ended == [("", "refused")]


async def test_an_upstream_without_tls_is_502() -> None:
    async with upstream(echo) as peer, relay(config(peer.url.replace("ws://", "wss://"))) as running:
        seen = await refusal(running)
    assert seen.status_code == 502
    assert peer.requests == []


async def test_a_client_key_is_demanded_and_not_passed_on() -> None:
    async with upstream(echo) as peer, relay(config(peer.url, api_keys=[Secret("right")])) as running:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert (await refusal(running, additional_headers=headers)).status_code == 401
        assert peer.requests == []
        async with client(running, additional_headers={"Authorization": "Bearer right"}):
            pass
    assert "right" not in str(peer.requests[0].headers)


@pytest.mark.parametrize(
    ("headers", "status"), [({"Origin": "https://evil.example"}, 403), ({"Host": "evil.example"}, 421)]
)
async def test_a_web_page_cannot_use_it(headers: dict[str, str], status: int) -> None:
    async with upstream(echo) as peer, relay(config(peer.url)) as running:
        answer = await ask(running.url, request("GET", "/v1/responses", headers={**UPGRADE, **headers}))
    assert answer.status == status
    assert answer.error["message"]
    assert peer.requests == []


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request("GET", "/v1/responses"), 426),
        (request("GET", "/v1/responses", headers={**UPGRADE, "Sec-WebSocket-Key": "short"}), 400),
        (request("GET", "/v1/responses", headers={**UPGRADE, "Sec-WebSocket-Version": "12"}), 400),
        (request("POST", "/v1/responses", b"{}"), 405),
        (request("GET", "/v1/models"), 404),
    ],
)
async def test_what_is_no_upgrade_never_reaches_the_upstream(asked: bytes, status: int) -> None:
    async with upstream(echo) as peer, relay(config(peer.url)) as running:
        answer = await ask(running.url, asked)
    assert answer.status == status
    assert answer.error["code"]
    assert peer.requests == []


async def test_sessions_have_a_limit_and_free_their_place() -> None:
    async with upstream(silence) as peer, relay(config(peer.url, max_sessions=1)) as running:
        async with client(running):
            assert (await refusal(running)).status_code == 503
        await until(lambda: not running._admitted, "the session ends")
        async with client(running):
            pass


async def test_a_client_that_leaves_while_the_upstream_thinks_leaves_nothing_behind() -> None:
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slow(_: Any, __: Any) -> None:
        arrived.set()
        await go.wait()

    async with upstream(echo, process_request=slow) as peer, relay(config(peer.url)) as running:
        connecting = asyncio.ensure_future(ask(running.url, request("GET", "/v1/responses", headers=UPGRADE)))
        await asyncio.wait_for(arrived.wait(), PATIENCE)
        connecting.cancel()
        await until(lambda: not running._admitted, "the place is free again")
        go.set()


# --- the official client ----------------------------------------------------------------------------------


def sdk(running: Relay) -> dict[str, Any]:
    return {"base_url": f"{running.url}/v1", "api_key": "the-key-of-the-client"}


async def test_the_official_client_has_several_turns_and_lanes() -> None:
    counts = Counts()
    async with upstream(responses) as peer, relay(config(peer.url), metrics=counts) as running:
        async with AsyncOpenAI(**sdk(running)) as openai, openai.responses.connect() as connection:
            for text in ("one", "two words", "three words more"):
                await connection.response.create(model="gpt-5", input=text)
                assert await answered(connection) == text.replace(" ", "")
            for lane in ("a", "b", "c"):
                await connection.response.create(model="gpt-5", input=lane, stream_id=lane)
            assert sorted([await answered(connection) for _ in "abc"]) != []
        await until(lambda: counts.ended, "the session is counted")
    assert counts.ended == [("gpt-5", "ok")]
    assert counts.milliseconds[0] > 0
    assert "the-key-of-the-client" not in str(peer.requests[0].headers)


async def answered(connection: Any) -> str:
    """The text up to the next end."""
    text = ""
    async with asyncio.timeout(PATIENCE):
        async for event in connection:
            if event.type == "response.output_text.delta":
                text += event.delta
            elif event.type == "response.completed":
                return text
    raise AssertionError("the connection ended first")


async def test_the_official_synchronous_client() -> None:
    async with upstream(responses) as peer, relay(config(peer.url)) as running:

        def blocking() -> list[str]:
            with OpenAI(**sdk(running)).responses.connect() as connection:
                connection.response.create(model="gpt-5", input="Hello there")
                types = []
                for event in connection:
                    types.append(event.type)
                    if event.type == "response.completed":
                        break
                return types

        types = await asyncio.to_thread(blocking)
    assert types == ["response.created", *["response.output_text.delta"] * 2, "response.completed"]


# --- hooks, tap and metrics -------------------------------------------------------------------------------


async def test_hooks_see_each_text_frame_of_their_direction() -> None:
    of_client: list[bytes] = []
    of_upstream: list[bytes] = []
    hooks = {"on_client_frame": [of_client.append], "on_upstream_frame": [of_upstream.append]}

    async def shout(socket: Any) -> None:
        async for message in socket:
            await socket.send(message.upper())

    async with upstream(shout) as peer, relay(config(peer.url), **hooks) as running, client(running) as socket:
        for message in ("one", "twö", b"binary"):
            await socket.send(message)
            await received(socket)
    assert of_client == [b"one", "twö".encode()]
    assert of_upstream == [b"ONE", "TWÖ".encode()]


async def test_a_hook_that_fails_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[bytes] = []

    def broken(frame: bytes) -> None:
        calls.append(frame)
        raise ValueError(frame)

    seen: list[bytes] = []
    async with (
        upstream(echo) as peer,
        relay(config(peer.url), on_client_frame=[broken, seen.append]) as running,
        client(running) as socket,
    ):
        for message in ("one-secret", "two"):
            await socket.send(message)
            assert await received(socket) == message
    assert (calls, seen) == ([b"one-secret"], [b"one-secret", b"two"])
    assert "ValueError" in caplog.text
    assert "one-secret" not in caplog.text


async def test_a_failed_answer_is_counted_as_one() -> None:
    counts = Counts()
    async with upstream(responses) as peer, relay(config(peer.url), metrics=counts) as running:
        async with client(running) as socket:
            await socket.send(create("fail", "gpt-5-mini"))
            await received(socket)
            while "response.failed" not in await received(socket):
                pass
        await until(lambda: counts.ended, "the session is counted")
    assert counts.ended == [("gpt-5-mini", "failed")]
    assert counts.closed


async def test_nothing_of_keys_or_frames_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "cw_proxy")
    async with (
        upstream(responses) as peer,
        relay(config(peer.url)) as running,
        client(running, additional_headers={"Authorization": "Bearer the-key-of-the-client"}) as socket,
    ):
        await socket.send(create("what-is-said"))
        await received(socket)
    for secret in ("the-key-of-the-client", "the-key-of-the-upstream", "what-is-said"):
        assert secret not in caplog.text


# --- the end ----------------------------------------------------------------------------------------------


async def test_draining_closes_idle_sessions_at_once_and_takes_no_new_ones() -> None:
    counts = Counts()
    async with upstream(responses) as peer, relay(config(peer.url), metrics=counts) as running:
        async with client(running) as socket:
            await socket.send(create("Hello"))
            while "response.completed" not in await received(socket):
                pass
            await asyncio.wait_for(running.drain(), PATIENCE)
            assert await closed(socket) == (1001, "The relay is shutting down.")
            assert await closed(peer.sockets[0]) == (1001, "The relay is shutting down.")
        assert (await refusal(running)).status_code == 503
        assert (await ask(running.url, request("GET", "/health/ready"))).status == 503
    assert counts.ended == [("gpt-5", "ok")]


async def test_draining_lets_an_answer_end() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(socket: Any) -> None:
        message = await socket.recv()
        asked.set()
        await go.wait()
        await socket.send(json.dumps({"type": "response.completed", "response": {"id": "a"}, "said": message}))
        await socket.wait_closed()

    async with (
        upstream(slow) as peer,
        relay(config(peer.url, shutdown_timeout=PATIENCE)) as running,
        client(running) as socket,
    ):
        await socket.send(create("Hello"))
        await asyncio.wait_for(asked.wait(), PATIENCE)
        draining = asyncio.ensure_future(running.drain())
        await asyncio.sleep(0)
        go.set()
        assert "response.completed" in await received(socket)
        assert (await closed(socket))[0] == 1001
        await asyncio.wait_for(draining, PATIENCE)


async def test_what_does_not_end_in_time_is_broken_off() -> None:
    counts = Counts()
    async with (
        upstream(silence) as peer,
        relay(config(peer.url, shutdown_timeout=0.05), metrics=counts) as running,
        client(running) as socket,
    ):
        await socket.send(create("Hello"))
        await until(lambda: not next(iter(running._sessions)).tap.idle, "the question is seen")
        await running.drain()
        assert socket.close_code is None
        stopping = asyncio.ensure_future(running.stop())
        assert await closed(socket) == (1012, "The relay is shutting down.")
        assert (await closed(peer.sockets[0]))[0] == 1012
        await asyncio.wait_for(stopping, PATIENCE)
    assert counts.ended == [("gpt-5", "shutdown")]


async def test_a_taken_port_is_said_clearly() -> None:
    async with relay(config("ws://127.0.0.1:9")) as running:
        port = int(running.url.rpartition(":")[2])
        with pytest.raises(ConfigError, match=f"Cannot listen on 127.0.0.1:{port}"):
            await Relay(config("ws://127.0.0.1:9", port=port)).start()


async def test_health() -> None:
    async with relay(config("ws://127.0.0.1:9")) as running:
        for path in ("/health", "/health/live", "/health/ready"):
            assert (await ask(running.url, request("GET", path))).json == {"status": "ok"}
