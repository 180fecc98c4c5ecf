"""What is asked and answered: bodies, keys, models, health, conversations, limits, clients that leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from servers import CHAT, NOBODY, ask, chat, post, proxy, request, until, wire

from cw_proxy.app import App
from cw_proxy.emulator import Emulator
from cw_proxy.secret import Secret

PONG = "Reply with exactly the token PONG"
KEY = "a-client-key-of-the-test"


def sent(body: bytes, **headers: str | None) -> bytes:
    return request("POST", CHAT, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


# --- bodies -----------------------------------------------------------------------------------------------

USER = {"role": "user", "content": "x"}
WRONG_BODIES: list[tuple[object, str, str | None]] = [
    (b"", "invalid_json", None),
    (b"{", "invalid_json", None),
    (b'{"model": "m", "messages": [}', "invalid_json", None),
    (b"\xff\xfe{}", "invalid_json", None),
    (b'{"model": "m", "messages": [], "temperature": NaN}', "invalid_json", None),
    (b"[" * 200 + b"]" * 200, "invalid_json", None),
    ([], "invalid_value", None),
    ({"messages": [USER]}, "invalid_value", None),
    ({"model": 1, "messages": [USER]}, "invalid_value", "model"),
    ({"model": "m", "messages": "x"}, "invalid_value", "messages"),
    ({"model": "m", "messages": []}, "invalid_value", "messages"),
    ({"model": "m", "messages": [USER, {"role": 1, "content": "x"}]}, "invalid_value", "messages[1].role"),
    ({"model": "m", "messages": [{"role": "user", "content": 7}]}, "invalid_value", "messages[0].content"),
    ({"model": "m", "messages": [USER, {"role": "robot", "content": "x"}]}, "invalid_value", "messages[1].role"),
    ({"model": "m", "messages": [{"role": "user"}]}, "invalid_value", "messages[0].content"),
    ({"model": "m", "messages": [USER], "stream": "yes"}, "invalid_value", "stream"),
    ({"model": "m", "messages": [USER], "stop": [1]}, "invalid_value", "stop[0]"),
    ({"model": "m", "messages": [USER], "stop": list("abcde")}, "invalid_value", "stop"),
    (
        {"model": "m", "messages": [USER], "stream_options": {"include_usage": 1}},
        "invalid_value",
        "stream_options.include_usage",
    ),
    ({"model": "m", "messages": [USER], "logprobs": True}, "unsupported_parameter", "logprobs"),
]


@pytest.mark.parametrize(("body", "code", "param"), WRONG_BODIES, ids=range(len(WRONG_BODIES)))
async def test_a_wrong_body_is_told_what_and_where(app: App, body: object, code: str, param: str | None) -> None:
    answer = await ask(app.url, sent(body if isinstance(body, bytes) else json.dumps(body).encode()))
    assert (answer.status, answer.error["type"], answer.error["code"]) == (400, "invalid_request_error", code)
    assert param is None or answer.error["param"] == param


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": ""},
        {"Content-Type": None},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "br"},
        {"Content-Encoding": "identity, gzip"},
    ],
)
async def test_only_plain_json_is_taken(app: App, headers: Mapping[str, str | None]) -> None:
    answer = await ask(app.url, post(PONG, headers=headers))
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;"])
async def test_json_by_any_of_its_names(app: App, media_type: str) -> None:
    assert (await ask(app.url, post(PONG, headers={"Content-Type": media_type}))).status == 200


async def test_a_body_that_says_it_is_too_large_is_refused_unread(emulator: Emulator) -> None:
    async with proxy(emulator, max_body_bytes=1000) as app, wire(app.url) as connection:
        await connection.send(request("POST", CHAT, headers={"Content-Type": "application/json"} | length(10**9)))
        answer = await connection.answer()
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


async def test_who_sends_all_of_a_huge_body_still_gets_the_answer(emulator: Emulator) -> None:
    async with proxy(emulator, max_body_bytes=1000) as app:
        answer = await ask(app.url, sent(b" " * 20_000_000))
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


async def test_a_body_that_hides_how_large_it_is_is_cut_off(emulator: Emulator) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    async with proxy(emulator, max_body_bytes=1000) as app, wire(app.url) as connection:
        await connection.send(request("POST", CHAT, headers=headers))
        await connection.send(b"200\r\n" + b" " * 0x200 + b"\r\n" + b"200\r\n" + b" " * 0x200 + b"\r\n")
        answer = await connection.answer()
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


async def test_a_body_in_chunks_is_as_good_as_any(app: App) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
    body = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in chat(PONG)) + b"0\r\n\r\n"
    answer = await ask(app.url, request("POST", CHAT, headers=headers) + body)
    assert answer.json["choices"][0]["message"]["content"] == "PONG"


async def test_a_body_that_does_not_come_is_not_waited_for(emulator: Emulator) -> None:
    async with proxy(emulator, read_timeout=0.05) as app, wire(app.url) as connection:
        await connection.send(request("POST", CHAT, headers={"Content-Type": "application/json"} | length(100)) + b"{")
        answer = await connection.answer()
    assert (answer.status, answer.error["code"]) == (408, "request_timeout")


def length(size: int) -> dict[str, str]:
    return {"Content-Length": str(size)}


async def test_what_is_accepted_and_not_used_is_named(app: App) -> None:
    answer = await ask(app.url, post(PONG, temperature=0.5, seed=1))
    assert answer.headers["x-cw-proxy-ignored"] == "temperature, seed"
    assert "x-cw-proxy-ignored" not in (await ask(app.url, post(PONG))).headers


# --- keys -------------------------------------------------------------------------------------------------

PROTECTED = [post(PONG), request("GET", "/v1/models"), request("GET", "/v1/models/auto")]
OPEN = ["/health", "/health/live", "/health/ready"]


def with_headers(data: bytes, headers: Mapping[str, str]) -> bytes:
    first, rest = data.split(b"\r\n", 1)
    return b"\r\n".join([first, *(f"{name}: {value}".encode("latin-1") for name, value in headers.items()), rest])


WRONG_KEYS = [
    {},
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Bearer {KEY}x"},
    {"Authorization": f"Bearer {KEY.upper()}"},
    {"Authorization": f"Basic {KEY}"},
    {"Authorization": KEY},
    {"Authorization": "Bearer "},
    {"x-api-key": "wrong"},
    {"x-api-key": "k\u00e9y"},
    # What stands in Authorization is the key, right or wrong.
    {"Authorization": "Bearer wrong", "x-api-key": KEY},
]
RIGHT_KEYS = [
    {"Authorization": f"Bearer {KEY}"},
    {"authorization": f"bearer   {KEY} "},
    {"x-api-key": KEY},
    {"X-API-Key": KEY, "Authorization": "Basic abc"},
    {"x-api-key": "another-key"},
]


@pytest.fixture
async def locked(emulator: Emulator) -> Any:
    async with proxy(emulator, api_keys=[Secret(KEY), Secret("another-key")]) as app:
        yield app


@pytest.mark.parametrize("headers", WRONG_KEYS, ids=str)
async def test_without_the_right_key_nothing_is_answered(
    locked: App, emulator: Emulator, headers: dict[str, str]
) -> None:
    for data in PROTECTED:
        answer = await ask(locked.url, with_headers(data, headers))
        assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert emulator.stats.requests == emulator.stats.runtime_requests == 0


@pytest.mark.parametrize("headers", RIGHT_KEYS, ids=str)
async def test_the_right_key_opens(locked: App, headers: dict[str, str]) -> None:
    assert [(await ask(locked.url, with_headers(data, headers))).status for data in PROTECTED] == [200] * 3


async def test_health_needs_no_key(locked: App) -> None:
    assert [(await ask(locked.url, request("GET", path))).status for path in OPEN] == [200] * 3


@pytest.mark.parametrize("headers", WRONG_KEYS, ids=str)
async def test_on_loopback_without_keys_any_will_do(app: App, headers: dict[str, str]) -> None:
    assert (await ask(app.url, with_headers(post(PONG), headers))).status == 200


# --- models and health ------------------------------------------------------------------------------------


async def test_the_models_are_the_services_and_ours(emulator: Emulator) -> None:
    async with proxy(emulator, aliases={"mine": "claude-haiku-4.5"}) as app:
        listed = (await ask(app.url, request("GET", "/v1/models"))).json
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["codewhisperer", *emulator.settings.models, "mine"]
    assert all(set(model) == {"id", "object", "created", "owned_by"} for model in listed["data"])


MODELS = [
    ("codewhisperer", None),
    ("auto", None),
    ("gpt-4o", None),
    ("gpt-4-turbo-preview", None),
    ("claude-sonnet-4.5", "claude-sonnet-4.5"),
    ("claude-sonnet-4-5", "claude-sonnet-4.5"),
    ("claude-sonnet-4-5-20250929", "claude-sonnet-4.5"),
    ("CLAUDE_SONNET_4_5_20250929_V1_0", "claude-sonnet-4.5"),
    ("mine", "claude-haiku-4.5"),
]


@pytest.mark.parametrize(("name", "upstream"), MODELS)
async def test_a_model_by_any_name_reaches_the_service_by_its_own(
    emulator: Emulator, name: str, upstream: str | None
) -> None:
    async with proxy(emulator, aliases={"mine": "claude-haiku-4-5"}) as app:
        retrieved = (await ask(app.url, request("GET", f"/v1/models/{name}"))).json
        answered = (await ask(app.url, post(PONG, model=name))).json
    assert retrieved["id"] == answered["model"] == name
    assert current(emulator).get("modelId") == upstream


def current(emulator: Emulator) -> dict[str, Any]:
    """The question as it reached the service."""
    return emulator.stats.last_body["conversationState"]["currentMessage"]["userInputMessage"]


UNKNOWN = [request("GET", "/v1/models/claude-sonet-4.5"), post(PONG, model="claude-sonet-4.5")]


@pytest.mark.parametrize("data", [*UNKNOWN, post(PONG, model="claude-sonet-4.5", stream=True)], ids=range(3))
async def test_an_unknown_model_is_told_near_names(app: App, emulator: Emulator, data: bytes) -> None:
    answer = await ask(app.url, data)
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")
    assert "claude-sonnet-4.5" in answer.error["message"]
    assert emulator.stats.requests == 0


@pytest.mark.parametrize("name", ["a%20b", "%ff%00", "a%0d%0aSet-Cookie:x", "..%2f..", "%F0%9F%98%80"])
async def test_a_strange_name_of_a_model_harms_nothing(app: App, name: str) -> None:
    answer = await ask(app.url, request("GET", f"/v1/models/{name}"))
    assert answer.status in (400, 404)
    assert answer.error["type"] == "invalid_request_error"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", OPEN)
async def test_health_is_these_bytes(path: str) -> None:
    async with proxy(NOBODY) as app:
        answer = await ask(app.url, request("GET", path))
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
    assert answer.headers["content-type"].startswith("application/json")


async def test_the_list_of_models_needs_the_service() -> None:
    async with proxy(NOBODY) as app:
        answer = await ask(app.url, request("GET", "/v1/models"))
    assert (answer.status, answer.error["code"]) == (502, "upstream_unavailable")


async def test_the_health_of_the_simple_api_tells_of_a_drain() -> None:
    async with proxy(NOBODY, simple_api=True) as app:
        healthy = await ask(app.url, request("GET", "/api/health"))
        app.endpoints.draining = True
        draining = await ask(app.url, request("GET", "/api/health"))
    assert (healthy.status, healthy.json) == (200, {"status": "ok"})
    assert (draining.status, draining.json) == (503, {"status": "draining"})


METRICS = request("GET", "/metrics")


async def test_metrics_are_for_who_has_a_key(emulator: Emulator) -> None:
    async with proxy(emulator, metrics=True, api_keys=[Secret(KEY)]) as app:
        assert [(await ask(app.url, with_headers(METRICS, headers))).status for headers in WRONG_KEYS] == [401] * 10
        answer = await ask(app.url, with_headers(METRICS, {"x-api-key": KEY, "X-Forwarded-For": "203.0.113.9"}))
    assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "forwarded", "Via", "X-Real-IP", "CF-Connecting-IP"])
async def test_without_keys_metrics_are_not_for_whom_a_proxy_passes_on(emulator: Emulator, header: str) -> None:
    async with proxy(emulator, metrics=True) as app:
        assert (await ask(app.url, METRICS)).status == 200
        assert (await ask(app.url, with_headers(METRICS, {header: "203.0.113.9"}))).status == 401


async def test_keys_cannot_be_tried_out_without_end(emulator: Emulator) -> None:
    async with proxy(emulator, metrics=True, api_keys=[Secret(KEY)], rate_limit_max=3) as app:
        tried = [(await ask(app.url, with_headers(METRICS, {"x-api-key": f"k{at}"}))).status for at in range(5)]
        assert tried == [401, 401, 401, 429, 429]
        assert (await ask(app.url, with_headers(METRICS, {"x-api-key": KEY}))).status == 200


async def test_there_are_no_metrics_unless_asked_for(app: App) -> None:
    assert (await ask(app.url, METRICS)).status == 404


# --- conversations ----------------------------------------------------------------------------------------


async def conversation(app: App, emulator: Emulator, messages: list[dict[str, str]], **headers: str) -> str:
    body = json.dumps({"model": "codewhisperer", "messages": messages}).encode()
    answer = await ask(app.url, sent(body, **headers))
    assert answer.status == 200, answer.body
    return emulator.stats.last_body["conversationState"]["conversationId"]


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]


async def test_a_chat_that_grows_stays_one_conversation(app: App, emulator: Emulator) -> None:
    first = await conversation(app, emulator, turns("Remember the token A1"), Authorization="Bearer one")
    grown = turns("Remember the token A1", "ok", "List every remembered token")
    assert await conversation(app, emulator, grown, Authorization="Bearer one") == first
    assert await conversation(app, emulator, grown, x_api_key="one") == first, "one key, sent another way"
    assert len(emulator.stats.last_body["conversationState"]["history"]) == 2, "the history goes along whole"


OTHERS: list[tuple[list[dict[str, str]], dict[str, str]]] = [
    (turns("Hello"), {"Authorization": "Bearer two"}),
    (turns("Hello"), {}),
    (turns("Good morning"), {"Authorization": "Bearer one"}),
    ([{"role": "system", "content": "Be brief."}, *turns("Hello")], {"Authorization": "Bearer one"}),
    (turns("Hello"), {"Authorization": "Bearer one", "x-conversation-id": "1"}),
    (turns("Hello"), {"Authorization": "Bearer one", "x-conversation-id": "2"}),
    (turns("Hello"), {"Authorization": "Bearer one", "session-id": "1"}),
]


async def test_other_keys_chats_and_threads_are_other_conversations(app: App, emulator: Emulator) -> None:
    ids = [await conversation(app, emulator, turns("Hello"), Authorization="Bearer one")]
    ids += [await conversation(app, emulator, messages, **headers) for messages, headers in OTHERS]
    assert len(set(ids)) == len(ids)


async def test_a_named_thread_is_one_conversation_whatever_is_said(app: App, emulator: Emulator) -> None:
    ids = {
        await conversation(app, emulator, turns(text), x_conversation_id="mine", Authorization="Bearer one")
        for text in ("Hello", "Good morning")
    }
    assert len(ids) == 1


# --- limits, and clients that leave -----------------------------------------------------------------------


async def test_at_the_limit_of_streams_one_more_is_told_to_come_back(emulator: Emulator) -> None:
    async with proxy(emulator, max_streams=1) as app, wire(app.url) as first:
        await first.send(post("Play the script hang", stream=True))
        await first.until(b"Then")
        answer = await ask(app.url, post(PONG))
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert 1 <= int(answer.headers["retry-after"]) <= 5
        first.vanish()
        await until(lambda: app.endpoints.active == 0, "the limit is free again")
        assert (await ask(app.url, post(PONG))).status == 200


async def test_at_the_limit_of_one_client_others_are_served(emulator: Emulator) -> None:
    keys = [Secret(KEY), Secret("another-key")]
    async with proxy(emulator, max_streams_per_key=1, api_keys=keys) as app, wire(app.url) as first:
        await first.send(post("Play the script hang", stream=True, headers={"x-api-key": KEY}))
        await first.until(b"Then")
        refused = await ask(app.url, post(PONG, headers={"x-api-key": KEY}))
        assert (refused.status, refused.error["code"]) == (429, "concurrency_limit_exceeded")
        assert refused.headers["retry-after"] == "1"
        assert (await ask(app.url, post(PONG, headers={"x-api-key": "another-key"}))).status == 200
        first.vanish()
        await until(lambda: app.endpoints.active == 0, "there is room again")
        assert (await ask(app.url, post(PONG, headers={"x-api-key": KEY}))).status == 200


MESSAGES = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": PONG}]}
LIMITED = [
    (post(PONG), lambda shown: shown["error"]["code"] == "rate_limit_exceeded"),
    (post(PONG, stream=True), lambda shown: shown["error"]["code"] == "rate_limit_exceeded"),
    (
        request("POST", "/v1/messages", json.dumps(MESSAGES).encode()),
        lambda shown: (shown["type"], shown["error"]["type"]) == ("error", "rate_limit_error"),
    ),
    (
        request("POST", "/v1/responses", b'{"model": "auto", "input": "Hello"}'),
        lambda shown: shown["error"]["code"] == "rate_limit_exceeded",
    ),
    (request("GET", "/v1/models"), lambda shown: shown["error"]["code"] == "rate_limit_exceeded"),
]


@pytest.mark.parametrize(("data", "fits"), LIMITED, ids=range(len(LIMITED)))
async def test_beyond_the_rate_limit_every_protocol_says_so(
    emulator: Emulator, data: bytes, fits: Callable[[Any], bool]
) -> None:
    async with proxy(emulator, rate_limit_max=1, rate_limit_window=600.0) as app:
        good, refused = await ask(app.url, data), await ask(app.url, data)
    assert (good.status, good.headers["x-ratelimit-remaining-requests"]) == (200, "0")
    assert refused.status == 429
    assert fits(refused.json), refused.body
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert int(refused.headers["retry-after-ms"]) >= 1000
    assert refused.headers["x-ratelimit-limit-requests"] == "1"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")


async def test_each_key_has_its_own_rate_limit_and_wrong_ones_share_their_address(emulator: Emulator) -> None:
    async with proxy(emulator, rate_limit_max=2, rate_limit_window=600.0, api_keys=[Secret(KEY), Secret("b")]) as app:
        asked = [KEY, KEY, KEY, "b", "wrong", "wrong as well", "wrong again", "b"]
        statuses = [(await ask(app.url, post(PONG, headers={"x-api-key": key}))).status for key in asked]
    assert statuses == [200, 200, 429, 200, 401, 401, 429, 200]


async def test_keys_that_nobody_checks_do_not_raise_a_limit(emulator: Emulator) -> None:
    async with proxy(emulator, rate_limit_max=2, rate_limit_window=600.0) as app:
        statuses = [(await ask(app.url, post(PONG, headers={"x-api-key": key}))).status for key in "abc"]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(("trusted", "statuses"), [(["127.0.0.0/8"], [200, 200, 429]), ([], [200, 429, 429])])
async def test_a_trusted_proxy_says_who_the_client_is(
    emulator: Emulator, trusted: list[str], statuses: list[int]
) -> None:
    async with proxy(emulator, rate_limit_max=1, rate_limit_window=600.0, trusted_proxies=trusted) as app:
        sources = ["203.0.113.1", "203.0.113.2", "1.1.1.1, 203.0.113.1"]
        answers = [await ask(app.url, post(PONG, headers={"X-Forwarded-For": source})) for source in sources]
    assert [answer.status for answer in answers] == statuses


async def test_health_is_not_limited(emulator: Emulator) -> None:
    async with proxy(emulator, rate_limit_max=1, rate_limit_window=600.0) as app:
        answers = [await ask(app.url, request("GET", path)) for path in OPEN * 2]
    assert {answer.status for answer in answers} == {200}


LEAVING = [
    ("in the middle of a stream", post("Play the script hang", stream=True), b"Then"),
    ("before the first byte of a stream", post("Play the script hang-at-once", stream=True), b""),
    ("during a whole answer", post("Play the script hang"), b""),
    ("before a whole answer", post("Play the script hang-at-once"), b""),
]


@pytest.mark.parametrize(("when", "data", "seen"), LEAVING, ids=[case[0] for case in LEAVING])
async def test_who_leaves_ends_the_call_to_the_service(
    app: App, emulator: Emulator, when: str, data: bytes, seen: bytes, record_property: Any
) -> None:
    async with wire(app.url) as connection:
        await connection.send(data)
        await until(lambda: emulator.stats.in_flight == 1, "the call reaches the service")
        if seen:
            await connection.until(seen)
        connection.vanish()
        took = await until(lambda: emulator.stats.cancelled_by_client == 1, "the service sees its client leave")
    record_property("seconds_to_cancel", took)
    assert took < 2, "200 ms are wanted; the rest is patience with a busy machine"
    assert (emulator.stats.in_flight, emulator.stats.completed) == (0, 0)
    await until(app.endpoints.idle.is_set, "the proxy forgets the request")


async def test_many_who_leave_at_once_leave_nothing_behind(app: App, emulator: Emulator) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(start_and_leave(app))
    await until(lambda: emulator.stats.cancelled_by_client == 50, "all calls are ended")
    await until(lambda: app.endpoints.active == 0, "none is counted any more")


async def start_and_leave(app: App) -> None:
    async with wire(app.url) as connection:
        await connection.send(post("Play the script hang", stream=True))
        await connection.until(b"Then")
