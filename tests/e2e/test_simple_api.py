"""The simple API of a real server on either upstream, read by the example that its users start from, and others."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_packages import tool
from servers import (
    NOBODY,
    UPSTREAM_KEY,
    Service,
    ask,
    chat,
    control,
    frames,
    openai_upstream,
    program,
    request,
    serving,
    stats,
    until,
    urls,
    wire,
)

PATH = "/api/completions"
EXAMPLE = Path(__file__).parent / "stream_client.js"
STORY = "Unit 7 oiled its joints, é 😀, and said: \n\ndata: [DONE]\n\n. The end."


@pytest.fixture(scope="module", params=["codewhisperer", "openai"])
def service(request: pytest.FixtureRequest, emulated: str) -> Iterator[Service]:
    variables = openai_upstream(emulated) if request.param == "openai" else {}
    with serving(emulated if not variables else NOBODY, "--simple-api", **variables) as (url, _):
        yield Service(url, emulated)


def posted(path: str = PATH, text: str = "Count from 1 to 5", **more: Any) -> bytes:
    return request("POST", path, json.dumps({"messages": [{"role": "user", "content": text}], **more}).encode())


@pytest.mark.node
def test_the_example_as_it_is_printed_prints_the_content(service: Service, tmp_path: Path) -> None:
    control(service.emulator, "scripts/story", [{"text": STORY, "piece": 7}])
    control(service.emulator, "settings", {"default_script": "story", "openai_models": ["gpt-4-turbo-preview"]})
    script = tmp_path / "example.mjs"
    script.write_text(EXAMPLE.read_text().replace("https://your-api-url", service.proxy))
    done = subprocess.run([tool("node"), str(script)], capture_output=True, text=True, timeout=60, check=False)
    control(service.emulator, "reset", {})
    assert (done.returncode, done.stderr) == (0, "")
    # console.log ends each piece with a line break.
    assert done.stdout == "".join(f"{STORY[at : at + 7]}\n" for at in range(0, len(STORY), 7))


async def test_a_whole_answer(service: Service) -> None:
    answer = await ask(service.proxy, posted())
    assert answer.status == 200
    assert (answer.json["content"], answer.json["finish_reason"], answer.json["model"]) == ("1 2 3 4 5", "stop", "auto")
    assert answer.json["usage"]["total_tokens"] > 0


async def test_a_stream_is_content_and_done(service: Service) -> None:
    answer = await ask(service.proxy, posted(f"{PATH}/stream"))
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    text, done = contents(answer.body)
    assert (text, done) == ("1 2 3 4 5", True)


def contents(body: bytes) -> tuple[str, bool]:
    """The text of a stream, and whether its end came."""
    *events, end = frames(body)
    done = end == "[DONE]"
    return "".join(json.loads(event)["content"] for event in (events if done else [*events, end])), done


async def test_each_write_holds_whole_events_and_pings_are_events_of_their_own(emulated: str) -> None:
    """A chunk of HTTP is one write; the example reads each by itself."""
    with serving(emulated, "--simple-api", CW_PROXY_PING_INTERVAL="0.05") as (url, _):
        async with wire(url) as connection:
            await connection.send(posted(f"{PATH}/stream", "Play the script slow"))
            assert (await connection.head())[0] == 200
            chunks = [chunk async for chunk in connection.chunks()]
    assert any(b": ping" in chunk for chunk in chunks)
    assert all(chunk.endswith(b"\n\n") for chunk in chunks)
    assert "".join(contents(chunk + b"data: [DONE]\n\n")[0] for chunk in chunks[:-1]) == "First. Second."
    assert chunks[-1] == b"data: [DONE]\n\n"


async def test_an_answer_that_stops_at_its_limit_says_so_at_the_end(service: Service) -> None:
    answer = await ask(service.proxy, posted(f"{PATH}/stream", "Count from 1 to 50", max_tokens=5))
    *_, last, done = frames(answer.body)
    assert (json.loads(last), done) == ({"content": "", "finish_reason": "length"}, "[DONE]")


async def test_a_stream_that_breaks_off_ends_with_an_error(service: Service) -> None:
    answer = await ask(service.proxy, posted(f"{PATH}/stream", "Play the script exception"))
    *events, last = frames(answer.body)
    assert events
    assert set(json.loads(last)["error"]) == {"message", "type", "param", "code"}


REFUSED: list[tuple[dict[str, Any], int]] = [
    ({"messages": []}, 400),
    ({"messages": "hello"}, 400),
    ({"temperature": 9}, 400),
    ({"model": "no-such-model"}, 404),
    ({"text": "Play the script throttled"}, 429),
]


@pytest.mark.parametrize(("members", "status"), REFUSED, ids=range(len(REFUSED)))
@pytest.mark.parametrize("path", [PATH, f"{PATH}/stream"])
async def test_what_is_wrong_has_its_status(service: Service, path: str, members: dict[str, Any], status: int) -> None:
    answer = await ask(service.proxy, posted(path, **members))
    assert answer.status == status
    assert answer.error["message"]


async def test_what_changes_nothing_is_named(emulated: str) -> None:
    with serving(emulated, "--simple-api") as (url, _):
        assert (await ask(url, posted(temperature=0.7))).headers["x-cw-proxy-ignored"] == "temperature"
    with serving(NOBODY, "--simple-api", **openai_upstream(emulated)) as (url, _):
        assert "x-cw-proxy-ignored" not in (await ask(url, posted(temperature=0.7))).headers
        assert stats(emulated)["last_body"]["temperature"] == 0.7


# --- the variables that such servers have -----------------------------------------------------------------


async def test_an_env_file_makes_a_server_of_it(emulated: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    lines = {**openai_upstream(emulated), **urls(NOBODY), "DEFAULT_MODEL": "gpt-5-mini", "REQUEST_TIMEOUT": "500"}
    lines |= {"CW_PROXY_SIMPLE_API": "1", "CORS_ORIGINS": "https://page.example", "NODE_ENV": "production"}
    file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    with program("serve", "--env-file", str(file), PORT="0") as server:
        url = server.first_line()
        asked = posted()
        assert (await ask(url, asked)).json["model"] == stats(emulated)["last_body"]["model"] == "gpt-5-mini"
        allowed = request("GET", "/api/health", headers={"Origin": "https://page.example"})
        assert (await ask(url, allowed)).headers["access-control-allow-origin"] == "https://page.example"
        late = await ask(url, posted(text="Play the script hang"))
        assert (late.status, late.error["code"]) == (504, "upstream_timeout")
        broken = await ask(url, posted(f"{PATH}/stream", "Play the script hang"))
        *events, last = frames(broken.body)
        assert (len(events) > 0, json.loads(last)["error"]["code"]) == (True, "upstream_timeout")


async def test_without_the_switch_the_same_variables_do_nothing(emulated: str) -> None:
    shell = {"CORS_ORIGINS": "*", "REQUEST_TIMEOUT": "1", "DEFAULT_MODEL": "nothing"}
    with serving(emulated, **shell) as (url, _):
        refused = await ask(url, request("GET", "/health", headers={"Origin": "https://page.example"}))
        assert refused.status == 403
        answer = await ask(url, request("POST", "/v1/chat/completions", chat("Play the script slow")))
        assert answer.status == 200


async def test_neither_model_nor_key_is_told(emulated: str) -> None:
    """A model that the upstream does not know, and says so by its name."""
    with serving(NOBODY, "--simple-api", **openai_upstream(emulated, DEFAULT_MODEL="canary-model")) as (url, server):
        answer = await ask(url, posted())
        assert (answer.status, answer.error["message"]) == (404, "This model is not available here.")
        assert b"canary" not in answer.body
        await until(lambda: b"canary-model" in server.err, "the log has the reason")
        assert UPSTREAM_KEY.encode() not in server.err


# --- health -----------------------------------------------------------------------------------------------


async def test_health_needs_no_key_and_asks_nobody() -> None:
    with serving(NOBODY, "--simple-api", "--api-key", "a-key") as (url, _):
        answer = await ask(url, request("GET", "/api/health"))
        assert (answer.status, answer.body) == (200, b'{"status":"ok"}')
        assert (await ask(url, posted())).status == 401
        assert (await ask(url, posted("/api/other"))).status == 404
