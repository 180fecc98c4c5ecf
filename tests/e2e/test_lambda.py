"""`cw-proxy lambda` as Lambda starts it: behind a strict front, with a client that knows nothing of Lambda, and in
AWS's own emulator, which buffers, but is AWS's word for what the Runtime API takes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from urllib.request import Request, urlopen

import openai
import pytest
from aiohttp import web
from aws_tools import emulator
from lambda_front import DOMAIN, LambdaFront, event_of, front
from lambda_runtimes import runtime
from secrets_manager import fresh_name, secrets_manager
from servers import (
    CHAT,
    PATIENCE,
    Program,
    ask,
    chat,
    clean_environment,
    control,
    frames,
    free_ports,
    post,
    program,
    run,
    said,
    stats,
    until,
    urls,
    wait_for_port,
    wire,
)

BOOTSTRAP = Path(__file__).parents[2] / "deploy" / "lambda" / "bootstrap"
KEY = "a-client-key"
ASKED = post("Reply with exactly the token PONG", stream=True, headers={"Authorization": f"Bearer {KEY}"})


@pytest.fixture
def settings_file(tmp_path: Path, emulator_process: str) -> str:
    """As it may lie beside the code: on Lambda no token stands in the environment."""
    file = tmp_path / "config.toml"
    file.write_text(f'api_keys = ["{KEY}"]\naccess_token = "a-token-of-the-tests"\n')
    return str(file)


@contextmanager
def function(lambda_: LambdaFront, file: str, upstream: str, **more: str) -> Iterator[Program]:
    variables = {"AWS_LAMBDA_RUNTIME_API": lambda_.address, "CW_PROXY_CONFIG": file, **urls(upstream), **more}
    with program("lambda", **variables) as running:
        yield running


async def test_openais_client_streams_from_a_function_url(settings_file: str, emulator_process: str) -> None:
    async with front() as lambda_:
        with function(lambda_, settings_file, emulator_process):
            client = openai.AsyncOpenAI(base_url=f"{lambda_.url}/v1", api_key=KEY, timeout=PATIENCE, max_retries=0)
            stream = await client.chat.completions.create(
                model="codewhisperer",
                messages=[{"role": "user", "content": "Count from 1 to 20"}],
                stream=True,
            )
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])
            assert text.split()[-1] == "20"
            whole = await client.chat.completions.create(
                model="codewhisperer", messages=[{"role": "user", "content": "Count from 1 to 20"}]
            )
            assert whole.choices[0].message.content == text
            with pytest.raises(openai.AuthenticationError):
                await client.with_options(api_key="another").models.list()
            await client.close()


async def test_a_silent_stream_is_kept_open_by_comments(settings_file: str, emulator_process: str) -> None:
    async with front() as lambda_:
        with function(lambda_, settings_file, emulator_process, CW_PROXY_PING_INTERVAL="0.05"):
            async with wire(lambda_.url) as client:
                await client.send(post("Play the script slow", stream=True, headers={"Authorization": f"Bearer {KEY}"}))
                body = (await client.answer()).body
    assert any(block.startswith(":") for block in body.decode().split("\n\n"))
    assert said(body) == "First. Second."


async def test_sigterm_lets_an_answer_end(settings_file: str, emulator_process: str) -> None:
    async with front() as lambda_:
        with function(lambda_, settings_file, emulator_process) as running:
            async with wire(lambda_.url) as client:
                await client.send(post("Play the script slow", stream=True, headers={"Authorization": f"Bearer {KEY}"}))
                await client.until(b"data: ")
                running.send(signal.SIGTERM)
                assert b"[DONE]" in await client.until(b"[DONE]")
            assert await asyncio.to_thread(running.wait) == 0
        assert lambda_.waiting == 0


async def test_what_does_not_start_is_told(settings_file: str, emulator_process: str) -> None:
    async with front() as lambda_:
        with function(lambda_, settings_file, emulator_process, CW_PROXY_BACKEND="openai") as running:
            assert await asyncio.to_thread(running.wait) == 2
        assert lambda_.init_error is not None
        assert lambda_.init_error["errorType"] == "Runtime.ConfigError"


# --- a sign-in that functions share ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    with secrets_manager() as variables:
        yield variables


async def test_functions_share_a_sign_in_and_never_lose_it(aws: dict[str, str], tmp_path: Path) -> None:
    """Signed in on one machine, renewed by one of two functions while both are asked, found by the next."""
    place = f"secretsmanager:{fresh_name()}"
    keys = tmp_path / "keys.toml"
    keys.write_text(f'api_keys = ["{KEY}"]\n')
    with program("emulator") as emulator_:
        upstream = emulator_.first_line()
        control(upstream, "settings", {"auto_approve": True})
        here = {**aws, **urls(upstream), "CW_PROXY_HOME": str(tmp_path / "home")}
        done = await asyncio.to_thread(run, "login", "--store", place, "--no-browser", environment=here)
        assert done.returncode == 0, done.stderr
        shown = await asyncio.to_thread(run, "status", environment={**here, "CW_PROXY_STORE": place})
        assert f"Kept in       {place}" in shown.stdout
        assert not (tmp_path / "home").exists()

        async with front() as one, front() as two:
            shared = {**aws, "CW_PROXY_STORE": place}
            with (
                function(one, str(keys), upstream, **shared) as first,
                function(two, str(keys), upstream, **shared) as second,
            ):
                for lambda_ in (one, two):
                    assert said((await ask(lambda_.url, ASKED)).body) == "PONG"
                control(upstream, "expire", {})
                answers = await asyncio.gather(*(ask(lambda_.url, ASKED) for lambda_ in (one, two)))
                assert [said(answer.body) for answer in answers] == ["PONG", "PONG"]
                assert first.err == second.err == b""
        seen = stats(upstream)
        assert (seen["refreshes"], seen["refresh_reuse"]) == (1, 0)

        async with front() as later:
            with function(later, str(keys), upstream, **aws, CW_PROXY_STORE=place):
                assert said((await ask(later.url, ASKED)).body) == "PONG"
        done = await asyncio.to_thread(run, "logout", environment={**here, "CW_PROXY_STORE": place})
        assert done.stdout == "Signed out.\n"
        done = await asyncio.to_thread(run, "status", environment={**here, "CW_PROXY_STORE": place})
        assert done.returncode == 4


async def test_nobody_signed_in_is_told_to_whoever_asks(aws: dict[str, str], tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(f'api_keys = ["{KEY}"]\n')
    async with front() as lambda_:
        with function(lambda_, str(keys), "http://127.0.0.1:9", **aws, CW_PROXY_STORE=f"secretsmanager:{fresh_name()}"):
            assert (await ask(lambda_.url, ASKED)).error["code"] == "login_required"


# --- AWS's emulator ---------------------------------------------------------------------------------------


class AwsEmulator(NamedTuple):
    """Where events are sent to, and where a runtime asks for them."""

    url: str
    runtime_api: str


@contextmanager
def aws_emulator(*command: str | Path, **environment: str) -> Iterator[AwsEmulator]:
    """`command` is the runtime, which it starts with the first event."""
    # It panics where a port is taken.
    ports = free_ports(2)
    addresses = [f"127.0.0.1:{port}" for port in ports]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    flags = ["--runtime-interface-emulator-address", addresses[0], "--runtime-api-address", addresses[1]]
    running = subprocess.Popen(
        [emulator(), *flags, *command],
        env=clean_environment({**environment, "PATH": path}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_port(ports[0], running)
        yield AwsEmulator(f"http://{addresses[0]}/2015-03-31/functions/function/invocations", addresses[1])
    finally:
        # With the runtime, which it leaves behind.
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def invoke(url: str, kind: str, body: bytes, path: str = CHAT) -> bytes:
    headers = {"host": ["127.0.0.1"], "content-type": ["application/json"], "authorization": [f"Bearer {KEY}"]}
    event = event_of(kind, "POST" if body else "GET", path, "", headers, body)
    if kind != "load_balancer":
        event["requestContext"]["domainName"] = DOMAIN if kind == "function_url" else "api.example"
    with urlopen(Request(url, json.dumps(event).encode()), timeout=PATIENCE) as answer:
        return answer.read()


def test_awss_emulator_takes_what_we_answer(settings_file: str, emulator_process: str) -> None:
    variables = {"CW_PROXY_CONFIG": settings_file, **urls(emulator_process)}
    with aws_emulator(BOOTSTRAP, **variables) as (url, _):
        # It hands a streamed answer on as it came: the prelude before the body.
        prelude, _, streamed = invoke(url, "function_url", chat("Count from 1 to 20", stream=True)).partition(b"\0" * 8)
        assert json.loads(prelude)["statusCode"] == 200
        assert json.loads(prelude)["headers"]["content-type"].startswith("text/event-stream")
        assert said(streamed).split()[-1] == "20"
        for kind in ("http_api", "rest_api", "load_balancer"):
            answer = json.loads(invoke(url, kind, chat("Count from 1 to 20")))
            assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
            assert json.loads(answer["body"])["choices"][0]["message"]["content"].split()[-1] == "20"
        _, _, broken = invoke(url, "function_url", chat("Play the script exception", stream=True)).partition(b"\0" * 8)
        assert "error" in json.loads(frames(broken)[-1])
        with urlopen(Request(url, b"{}"), timeout=PATIENCE) as refused:
            assert json.load(refused)["errorType"] == "Runtime.NotHttp"
        prelude, _, body = invoke(url, "function_url", b"", "/health").partition(b"\0" * 8)
        assert (json.loads(prelude)["statusCode"], body) == (200, b'{"status":"ok"}')


def connected(url: str, key: str) -> int:
    """The status that a WebSocket's client gets."""
    context = {"eventType": "CONNECT", "connectionId": "an-id="}
    event = {"requestContext": context, "headers": {"x-api-key": key}}
    with urlopen(Request(url, json.dumps(event).encode()), timeout=PATIENCE) as answer:
        status: int = json.load(answer)["statusCode"]
        return status


def test_awss_emulator_takes_what_we_answer_to_a_websockets_events(settings_file: str, emulator_process: str) -> None:
    variables = {"CW_PROXY_CONFIG": settings_file, "CW_PROXY_PROMPT_SOCKET": "1", **urls(emulator_process)}
    with aws_emulator(BOOTSTRAP, **variables) as (url, _):
        assert [connected(url, key) for key in (KEY, "another")] == [200, 401]


def test_awss_own_runtime_takes_the_handler(settings_file: str, emulator_process: str, tmp_path: Path) -> None:
    script = tmp_path / "bootstrap"
    script.write_text(f"#!/bin/sh\nexec {sys.executable} -m awslambdaric cw_proxy.lambda_handler.handler\n")
    script.chmod(0o755)
    variables = {"CW_PROXY_CONFIG": settings_file, "CW_PROXY_PROMPT_SOCKET": "1", **urls(emulator_process)}
    with aws_emulator(script, **variables) as (url, _):
        assert [connected(url, key) for key in (KEY, "another")] == [200, 401]
        answer = json.loads(invoke(url, "http_api", chat("Count from 1 to 20")))
        assert json.loads(answer["body"])["choices"][0]["message"]["content"].split()[-1] == "20"
        with urlopen(Request(url, b"{}"), timeout=PATIENCE) as refused:
            assert json.load(refused)["errorType"] == "Failed"


async def test_awss_emulator_takes_an_answer_that_breaks_off(tmp_path: Path) -> None:
    """That is, its trailers: the next invocation comes on all the same."""

    async def breaking(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half an answer")
        raise ConnectionError("broken off")

    async def fine(request: web.BaseRequest, extra: dict[str, str]) -> web.StreamResponse:
        return web.Response(text="fine")

    started, script = tmp_path / "started", tmp_path / "bootstrap"
    script.write_text(f"#!/bin/sh\ntouch {started}\nexec sleep 3600\n")
    script.chmod(0o755)
    with aws_emulator(script) as (url, runtime_api):
        first = asyncio.create_task(asyncio.to_thread(invoke, url, "function_url", b"", "/"))
        # Before that its Runtime API takes nobody.
        await until(started.exists, "the emulator starts a runtime")
        async with runtime(SimpleNamespace(address=runtime_api), {"/": breaking, "/fine": fine}) as running:
            assert (await first).endswith(b"half an answer")
            assert (await asyncio.to_thread(invoke, url, "function_url", b"", "/fine")).endswith(b"fine")
            assert not running.lost.is_set()


def test_the_bootstrap_takes_the_interpreter_that_it_is_handed(tmp_path: Path) -> None:
    """AWS_LAMBDA_EXEC_WRAPPER: it is called with the command of Lambda's own runtime."""
    python = tmp_path / "python3.99"
    python.write_text('#!/bin/sh\necho "$PYTHONPATH" "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        [BOOTSTRAP, python, "/var/runtime/bootstrap.py"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "/layer"},
    )
    assert done.stdout == f"{BOOTSTRAP.parent}:/layer -m cw_proxy lambda\n"
