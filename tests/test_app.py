"""The composition: from settings to a server that starts, drains and stops; where calls go, and with which token."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from lambda_front import front
from msgspec.structs import replace
from servers import NOBODY, TOKEN, Answer, ask, frames, login, post, proxy, request, said, settings, until, wire

from cw_proxy.app import App, Core, LambdaApp
from cw_proxy.auth.store import Store
from cw_proxy.config import Config
from cw_proxy.emulator import Emulator
from cw_proxy.errors import ConfigError
from cw_proxy.secret import Secret
from cw_proxy.transports.lambda_in import RuntimeApi

PONG = "Reply with exactly the token PONG"
READY = request("GET", "/health/ready")


# --- what is served by choice -----------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [False, True])
async def test_templates_come_from_the_environment_and_only_for_the_socket(emulator: Emulator, chosen: bool) -> None:
    config = settings(emulator.url, prompt_socket=chosen)
    app = App(config, Path("/nonexistent"), {"PROMPT_A": "The system token is S-7."})
    await app.start()
    question = {"prompt_template": "PROMPT_A", "response_type": "full"}
    chat = [{"role": "user", "content": "State the system token"}]
    try:
        async with aiohttp.ClientSession() as session:
            if not chosen:
                assert (await session.get(f"{app.url}/ws")).status == 404
                return
            async with session.ws_connect(f"{app.url}/ws") as socket:
                await socket.send_json({**question, "messages": chat})
                assert await socket.receive_str() == "system: S-7"
    finally:
        await app.stop()


@pytest.mark.parametrize("name", ["MISSING", "AWS_REGION"])
def test_a_template_that_cannot_be_is_an_error_at_the_start(name: str) -> None:
    config = settings(NOBODY, prompt_socket=True, prompt_templates=[name])
    with pytest.raises(ConfigError, match=name):
        App(config, Path("/nonexistent"), {"AWS_REGION": "x"})


@pytest.mark.parametrize("path", ["/ws", "/api/completions", "/api/completions/stream", "/api/health"])
async def test_what_is_not_chosen_is_not_there(path: str) -> None:
    async with proxy(NOBODY) as app:
        assert (await ask(app.url, request("GET", path))).status == 404


# --- starting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
async def test_an_address_that_others_reach_needs_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="--api-key"):
        App(settings(NOBODY, host=host), Path("/nonexistent"))


async def test_with_a_key_it_may_listen_everywhere(emulator: Emulator) -> None:
    async with proxy(emulator, host="0.0.0.0", api_keys=[Secret("a-key-of-the-test")]) as app:
        port = app.url.rpartition(":")[2]
        answer = await ask(f"http://127.0.0.1:{port}", post(PONG, headers={"x-api-key": "a-key-of-the-test"}))
    assert answer.status == 200


async def test_a_port_that_is_taken_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        app = App(settings(NOBODY, port=port), Path("/nonexistent"))
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: Address already in use"):
            await app.start()
        await app.stop()


async def test_the_url_is_where_it_listens(app: App) -> None:
    assert app.url.startswith("http://127.0.0.1:")
    assert not app.url.endswith(":0")


# --- where calls go ---------------------------------------------------------------------------------------


async def test_a_ready_token_is_used_and_nothing_is_written(emulator: Emulator, tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with proxy(emulator, home) as app:
        assert (await ask(app.url, post(PONG))).status == 200
    assert not home.exists()
    assert emulator.stats.token_grants == 0


async def test_settings_reach_the_service(emulator: Emulator) -> None:
    arn = "arn:aws:codewhisperer:us-east-1:123456789012:profile/TESTED000001"
    async with proxy(f"{emulator.url}/", origin="AI_EDITOR", opt_out=False, profile_arn=arn) as app:
        assert (await ask(app.url, post(PONG))).status == 200
    body, headers = emulator.stats.last_body, emulator.stats.last_headers
    assert body["conversationState"]["currentMessage"]["userInputMessage"]["origin"] == "AI_EDITOR"
    assert body["profileArn"] == arn
    assert headers["x-amzn-codewhisperer-optout"] == "false"
    assert headers["user-agent"].startswith("cw-proxy/")


async def test_the_profile_is_found_out_when_the_service_wants_it(emulator: Emulator) -> None:
    emulator.settings.update({"profile_arn_required": True, "profiles": 2})
    async with proxy(emulator) as app:
        statuses = [(await ask(app.url, post(PONG))).status for _ in range(2)]
    assert statuses == [200, 200]
    assert emulator.stats.last_body["profileArn"].endswith("EMULATED0000")
    assert emulator.stats.requests == 3, "found out once, then remembered"


async def test_a_core_asks_without_serving(emulator: Emulator) -> None:
    async with Core(settings(emulator.url), Path("/nonexistent")) as core:
        assert (await core.exchange.catalog()).models[0].id == "auto"


def test_a_setting_that_others_are_built_from_is_safe_to_show() -> None:
    assert TOKEN not in repr(Config(access_token=Secret(TOKEN)))


# --- the sign-in ------------------------------------------------------------------------------------------


@pytest.fixture
async def home(emulator: Emulator, tmp_path: Path) -> Path:
    """Signed in at the emulator, which takes no tokens but its own."""
    emulator.settings.update({"auto_approve": True, "strict_tokens": True, "device_interval": 0})
    await asyncio.to_thread(login, tmp_path / "home", emulator.url)
    return tmp_path / "home"


async def test_who_is_not_signed_in_is_told_how_and_served_as_soon_as_they_are(
    emulator: Emulator, tmp_path: Path
) -> None:
    emulator.settings.update({"auto_approve": True, "strict_tokens": True, "device_interval": 0})
    home = tmp_path / "home"
    async with proxy(emulator, home, access_token=None) as app:
        for data in (post(PONG), post(PONG, stream=True), request("GET", "/v1/models")):
            answer = await ask(app.url, data)
            assert (answer.status, answer.error["code"]) == (401, "login_required")
            assert "cw-proxy login" in answer.error["message"]
            assert answer.headers["x-should-retry"] == "false"
        await asyncio.to_thread(login, home, emulator.url)
        await until_status(app, 200)
        with Store(home).writing() as files:
            files.remove()
        await until_status(app, 401)


async def until_status(app: App, status: int) -> None:
    async with asyncio.timeout(30):
        while (await ask(app.url, post(PONG))).status != status:
            await asyncio.sleep(0.05)


async def ask_many(app: App, count: int) -> list[Answer]:
    return await asyncio.gather(*(ask(app.url, post(f"Reply with exactly the token T{at}")) for at in range(count)))


def contents(answers: list[Answer]) -> list[Any]:
    return [answer.json["choices"][0]["message"]["content"] if answer.status == 200 else answer for answer in answers]


async def test_a_hundred_that_meet_an_expired_token_make_one_refresh(emulator: Emulator, home: Path) -> None:
    async with proxy(emulator, home, access_token=None) as app:
        assert (await ask(app.url, post(PONG))).status == 200
        assert emulator.oidc.expire_access_tokens() == 1
        answers = await ask_many(app, 100)
    assert contents(answers) == [f"T{at}" for at in range(100)]
    assert (emulator.stats.refreshes, emulator.stats.refresh_reuse) == (1, 0)


async def test_a_hundred_that_find_the_token_over_at_home_make_one_refresh(emulator: Emulator, home: Path) -> None:
    """Here it is our own clock that says so, before any call is made."""
    store = Store(home)
    kept = store.load()
    assert kept is not None
    with store.writing() as files:
        files.save(replace(kept, expires_at=1))
    async with proxy(emulator, home, access_token=None) as app:
        answers = await ask_many(app, 100)
    assert contents(answers) == [f"T{at}" for at in range(100)]
    assert (emulator.stats.refreshes, emulator.stats.refresh_reuse) == (1, 0)


async def test_two_servers_of_one_home_share_one_refresh(emulator: Emulator, home: Path) -> None:
    async with proxy(emulator, home, access_token=None) as one, proxy(emulator, home, access_token=None) as two:
        await until_status(one, 200)
        await until_status(two, 200)
        emulator.oidc.expire_access_tokens()
        first, second = await asyncio.gather(ask_many(one, 20), ask_many(two, 20))
    assert contents([*first, *second]) == [f"T{at}" for at in range(20)] * 2
    assert (emulator.stats.refreshes, emulator.stats.refresh_reuse) == (1, 0)


async def test_a_dead_refresh_token_means_to_sign_in_again(emulator: Emulator, home: Path) -> None:
    emulator.settings.update({"next_token_errors": ["invalid_grant"]})
    async with proxy(emulator, home, access_token=None) as app:
        emulator.oidc.expire_access_tokens()
        answer = await ask(app.url, post(PONG))
        assert (answer.status, answer.error["code"]) == (401, "login_required")
        await asyncio.to_thread(login, home, emulator.url)
        await until_status(app, 200)


async def test_a_token_that_stays_refused_is_refreshed_once_only(emulator: Emulator, home: Path) -> None:
    async with proxy(emulator, home, access_token=None) as app:
        answer = await ask(app.url, post("Fault 403 times 9 id f1"))
        again = await ask(app.url, post("Fault 403 times 9 id f2"))
    assert [(one.status, one.error["code"]) for one in (answer, again)] == [(403, "upstream_access_denied")] * 2
    assert "not authorized" in answer.error["message"], "the service's own words"
    assert emulator.stats.refreshes == 1


# --- stopping ---------------------------------------------------------------------------------------------


async def test_draining_lets_open_streams_finish_and_lets_no_new_ones_in(emulator: Emulator) -> None:
    emulator.scripts["two"] = [{"text": "First. "}, {"delay": 0.5}, {"text": "Second."}]
    async with proxy(emulator) as app, wire(app.url) as connection:
        await connection.send(post("Play the script two", stream=True))
        await until(lambda: emulator.stats.in_flight == 1, "the stream is open")
        draining = asyncio.ensure_future(app.drain())
        await until(lambda: app.endpoints.draining, "the server drains")
        ready, live = await ask(app.url, READY), await ask(app.url, request("GET", "/health/live"))
        assert (ready.status, ready.json, live.status) == (503, {"status": "draining"}, 200)
        refused = await ask(app.url, post(PONG))
        assert (refused.status, refused.error["code"]) == (503, "shutting_down")
        assert 1 <= int(refused.headers["retry-after"]) <= 5
        assert not draining.done()
        answer = await connection.answer()
        assert said(answer.body) == "First. Second."
        assert await draining is True


async def test_nothing_open_drains_at_once(app: App) -> None:
    async with asyncio.timeout(5):
        assert await app.drain() is True


async def test_a_stream_that_does_not_end_is_not_waited_for_for_ever(emulator: Emulator) -> None:
    async with proxy(emulator, drain_timeout=0.1) as app, wire(app.url) as connection:
        await connection.send(post("Play the script hang", stream=True))
        seen = await connection.until(b"Then")
        assert await app.drain() is False
        await app.stop()
        while data := await connection.read():
            seen += data
        assert b"[DONE]" not in seen
        body = seen.split(b"\r\n\r\n", 1)[1]
        assert not body.endswith(b"0\r\n\r\n"), "no clean end of the body"
    await until(lambda: emulator.stats.in_flight == 0, "the call to the service is dropped")


async def test_after_the_stop_nobody_listens(emulator: Emulator) -> None:
    async with proxy(emulator) as app:
        url = app.url
    with pytest.raises(ConnectionRefusedError):
        await ask(url, READY)


async def test_a_hundred_streams_at_once_do_not_mix(app: App) -> None:
    answers = await asyncio.gather(*(ask(app.url, post(f"Count from 1 to {at}", stream=True)) for at in range(1, 101)))
    assert [said(answer.body) for answer in answers] == [" ".join(map(str, range(1, at + 1))) for at in range(1, 101)]
    ids = {json.loads(frames(answer.body)[0])["id"] for answer in answers}
    assert len(ids) == 100


async def test_draining_waits_until_a_whole_answer_is_with_its_reader(emulator: Emulator) -> None:
    """The body is larger than what the system takes in one go, and its reader is slow."""
    emulator.scripts["large"] = [{"repeat": 60, "steps": [{"text": "x" * 100_000, "piece": 100_000}]}]
    async with proxy(emulator) as app, wire(app.url) as client:
        await client.send(post("Play the script large"))
        await until(lambda: emulator.stats.completed == 1, "the answer is read from the service")
        draining = asyncio.ensure_future(app.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        answer = await client.answer()
        assert answer.status == 200
        assert len(answer.json["choices"][0]["message"]["content"]) == 6_000_000
        assert await draining


# --- the access log ---------------------------------------------------------------------------------------


class Log:
    """The lines on stderr, read as JSON."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured
        self.lines: list[dict[str, Any]] = []

    async def take(self, number: int) -> list[dict[str, Any]]:
        """A line may come after its answer."""

        def enough() -> bool:
            self.lines += [json.loads(line) for line in self._captured.readouterr().err.splitlines()]
            return len(self.lines) >= number

        await until(enough, f"{number} lines")
        taken, self.lines = self.lines, []
        assert len(taken) == number
        return taken


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Log:
    return Log(capsys)


EXCHANGES: list[tuple[str, bytes, dict[str, Any]]] = [
    ("whole", post(PONG), {"status": 200, "outcome": "ok", "stream": False, "finish": "stop", "model": None}),
    (
        "a stream",
        post(PONG, stream=True, model="claude-haiku-4.5"),
        {"status": 200, "outcome": "ok", "stream": True, "model": "claude-haiku-4.5", "backend": "codewhisperer"},
    ),
    ("cut off", post("Play the script exception", stream=True), {"status": 200, "finish": None}),
    ("throttled", post("Play the script throttled"), {"status": 429, "outcome": "rate_limit_exceeded"}),
    ("no model", post(PONG, model="none"), {"status": 404, "outcome": "model_not_found", "tokens_source": None}),
    ("no JSON", request("POST", "/v1/chat/completions", b"{"), {"status": 400, "outcome": "invalid_json"}),
    ("no route", request("GET", "/secret?token=canary"), {"status": 404, "outcome": "not_found", "route": "none"}),
    ("a model", request("GET", "/v1/models/canary"), {"status": 404, "route": "/v1/models/{id}"}),
    ("a wrong method", request("PUT", "/v1/models"), {"status": 405, "method": "PUT", "route": "/v1/models"}),
    ("an invented method", request("PROPFIND", "/v1/models"), {"status": 405, "method": "other"}),
    ("health", request("GET", "/health"), {"status": 200, "route": "/health", "key": None, "model_asked": None}),
    ("a page", request("GET", "/health", headers={"Origin": "https://canary.example"}), {"outcome": "origin_refused"}),
]


@pytest.mark.parametrize(("what", "data", "expected"), EXCHANGES, ids=[case[0] for case in EXCHANGES])
async def test_each_exchange_has_a_line(
    emulator: Emulator, log: Log, what: str, data: bytes, expected: dict[str, Any]
) -> None:
    async with proxy(emulator, access_log="json") as app:
        answer = await ask(app.url, data)
        [line] = await log.take(1)
    assert line.items() >= expected.items(), line
    assert line["id"] == answer.headers["x-request-id"]
    assert line["total_ms"] >= 0
    assert "canary" not in json.dumps(line), "neither paths nor query strings"
    assert PONG not in json.dumps(line)
    if line["finish"]:
        assert 0 < line["queue_ms"] <= line["first_ms"] <= line["total_ms"]
        assert line["input_tokens"] > 0
        assert line["tokens_source"] in ("exact", "derived", "estimated")


async def test_the_line_says_what_the_client_was_told(emulator: Emulator, log: Log) -> None:
    async with proxy(emulator, access_log="json") as app:
        told = (await ask(app.url, post(PONG, headers={"x-api-key": "canary", "User-Agent": "a-tool/1"}))).json
        [line] = await log.take(1)
    assert told["usage"]["prompt_tokens"] == line["input_tokens"]
    assert told["usage"]["completion_tokens"] == line["output_tokens"]
    assert line["agent"] == "a-tool/1"
    assert len(line["key"]) == 8
    assert "canary" not in json.dumps(line)


async def test_the_line_of_a_client_that_leaves(emulator: Emulator, log: Log) -> None:
    async with proxy(emulator, access_log="json") as app, wire(app.url) as connection:
        await connection.send(post("Play the script hang", stream=True))
        await connection.until(b"Then")
        connection.vanish()
        [line] = await log.take(1)
    assert (line["outcome"], line["finish"]) == ("client_gone", None)
    assert line["output_tokens"] > 0, "what was said is paid for"


async def test_each_turn_on_a_socket_has_a_line_and_the_socket_too(emulator: Emulator, log: Log) -> None:
    async with proxy(emulator, access_log="json") as app:
        async with aiohttp.ClientSession() as session, session.ws_connect(app.url + "/v1/responses") as socket:
            for text in (PONG, "Play the script throttled"):
                await socket.send_json({"type": "response.create", "model": "auto", "input": text})
                while (await socket.receive_json())["type"] not in ("response.completed", "error", "response.failed"):
                    pass
        good, bad, whole = await log.take(3)
    assert (good["id"], bad["id"]) == (f"{whole['id']}.1", f"{whole['id']}.2")
    assert (good["method"], good["route"], good["outcome"], good["status"]) == ("WS", "/v1/responses", "ok", 101)
    assert good["output_tokens"] > 0
    assert bad["outcome"] == "rate_limit_exceeded"
    assert (whole["method"], whole["route"], whole["status"]) == ("GET", "/v1/responses", 101)
    assert whole["model_asked"] is None


async def test_lines_for_people(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    async with proxy(emulator, access_log="text") as app:
        await ask(app.url, post(PONG))
        await until(lambda: app.endpoints.active == 0, "it is over")
    assert " POST /v1/chat/completions 200 ok " in capsys.readouterr().err


async def test_without_the_setting_there_are_no_lines(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    await ask(app.url, post(PONG))
    assert capsys.readouterr().err == ""


async def test_an_id_that_clients_make_up_stays_within_its_line(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    async with proxy(emulator, access_log="text", openai_base_url=f"{emulator.url}/v1") as app:
        await ask(app.url, post(PONG, model="openai/a\nFORGED \x1b[31m" + "x" * 100_000))
        await until(lambda: app.endpoints.active == 0, "it is over")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert len(lines[0]) < 2000
    assert "\x1b" not in lines[0]


# --- on Lambda --------------------------------------------------------------------------------------------


async def test_a_function_whose_url_is_open_to_the_world_needs_a_key(emulator: Emulator) -> None:
    with pytest.raises(ConfigError, match="api_keys"):
        LambdaApp(settings(emulator.url), Path("/nonexistent"), RuntimeApi("127.0.0.1:9"))


async def test_on_lambda_the_whole_app_answers(emulator: Emulator) -> None:
    config = settings(emulator.url, api_keys=[Secret("a-key")])
    async with front() as lambda_:
        app = LambdaApp(config, Path("/nonexistent"), RuntimeApi(lambda_.address))
        await app.start()
        answer = await ask(lambda_.url, post(PONG, stream=True, headers={"Authorization": "Bearer a-key"}))
        assert said(answer.body) == "PONG"
        assert (await ask(lambda_.url, post(PONG))).error["code"] == "invalid_api_key"
        page = {"Authorization": "Bearer a-key", "Origin": "https://evil.example"}
        assert (await ask(lambda_.url, post(PONG, headers=page))).error["code"] == "origin_refused"
        await app.drain()
        assert not app.lost.is_set()
        await app.stop()


async def test_on_lambda_whom_aws_has_authenticated_needs_no_key(emulator: Emulator) -> None:
    config = settings(emulator.url, lambda_auth_type="AWS_IAM")
    async with front(authorizer={"iam": {"userId": "AIDA"}}) as known, front() as unknown:
        for lambda_, status in ((known, 200), (unknown, 401)):
            app = LambdaApp(config, Path("/nonexistent"), RuntimeApi(lambda_.address))
            await app.start()
            assert (await ask(lambda_.url, post(PONG))).status == status
            await app.stop()


async def test_on_lambda_there_is_no_history(emulator: Emulator) -> None:
    config = settings(emulator.url, api_keys=[Secret("a-key")], usage_history=True)
    with pytest.raises(ConfigError, match="usage_history"):
        LambdaApp(config, Path("/nonexistent"), RuntimeApi("127.0.0.1:9"))


async def test_on_lambda_limits_count_the_addresses_that_lambda_tells(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that a client writes, and not one for all."""
    config = settings(emulator.url, lambda_auth_type="AWS_IAM", rate_limit_max=1)
    async with front(authorizer={"iam": {"userId": "AIDA"}}) as lambda_:
        app = LambdaApp(config, Path("/nonexistent"), RuntimeApi(lambda_.address))
        await app.start()
        invented = [post(PONG, headers={"X-Forwarded-For": f"192.0.2.{number}"}) for number in (1, 2)]
        assert [(await ask(lambda_.url, data)).status for data in invented] == [200, 429]
        monkeypatch.setattr("lambda_front.ADDRESS", "198.51.100.99")
        assert (await ask(lambda_.url, post(PONG))).status == 200
        await app.stop()
