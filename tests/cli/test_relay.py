"""`cw-proxy relay` as a process: its first line, what keeps it from starting, how it ends, and that it shows no key."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from pathlib import Path

import pytest
from servers import program, run
from websocket_peers import client, closed, create, received, responses, upstream

from cw_proxy.cli.relay import relay

KEY = {"OPENAI_API_KEY": "sk-very-secret"}


REFUSED: list[tuple[list[str], dict[str, str], str]] = [
    ([], {}, "OPENAI_API_KEY, which is not set"),
    ([], {"OPENAI_API_KEY": ""}, "OPENAI_API_KEY, which is not set"),
    (["--auth-value", "Bearer ${NO_SUCH_KEY}"], KEY, "NO_SUCH_KEY"),
    (["--listen-addr", "0.0.0.0:0"], KEY, "--api-key"),
    (["--listen-addr", "3000"], KEY, "listen_addr"),
    (["--upstream-url", "https://api.openai.com"], KEY, "wss://"),
    (["--shutdown-timeout", "5"], KEY, "shutdown_timeout"),
    (["--otel-endpoint", "collector"], KEY, "otel_endpoint"),
    (["--config", "/nonexistent/relay.json"], KEY, "/nonexistent/relay.json"),
    (["--max-sessions", "0"], KEY, "--max-sessions"),
    ([], {**KEY, "CW_RELAY_LISTEN_ADRR": "x"}, "listen_addr"),
]


@pytest.mark.parametrize(("arguments", "environment", "words"), REFUSED)
def test_what_is_wrong_keeps_it_from_starting(arguments: list[str], environment: dict[str, str], words: str) -> None:
    blank = {"OPENAI_API_KEY": ""}
    done = run("relay", *arguments, environment={**blank, **environment})
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert words in done.stderr
    assert "sk-very-secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_variable_that_is_not_set_is_one_line() -> None:
    done = run("relay", environment={"OPENAI_API_KEY": ""})
    assert done.stderr == "cw-proxy: 'auth_value' needs the variable OPENAI_API_KEY, which is not set.\n"


def test_a_port_in_use_is_said_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("relay", "--listen-addr", address, environment=KEY)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"cw-proxy: Cannot listen on {address}: Address already in use.\n"


def test_every_setting_has_its_option() -> None:
    from cw_proxy.relay_settings import RelaySettings

    assert {parameter.name for parameter in relay.params} == {*RelaySettings.__struct_fields__, "debug", "config_file"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_relays_with_the_settings_of_a_file_until_a_signal(number: int, tmp_path: Path) -> None:

    file = tmp_path / "relay.json"
    async with upstream(responses) as peer:
        file.write_text(json.dumps({"upstream_url": peer.url, "auth_header": "x-key", "auth_value": "${PROVIDER}"}))
        with program("relay", "--config", str(file), "--debug", PROVIDER="sk-very-secret") as running:
            url = await asyncio.to_thread(running.first_line)
            assert url.startswith("http://127.0.0.1:")
            async with client(url) as connection:
                await connection.send(create("what-is-said"))
                while "response.completed" not in await received(connection):
                    pass
                running.send(number)
                assert await closed(connection) == (1001, "The relay is shutting down.")
            assert await asyncio.to_thread(running.wait) == 0
    assert peer.requests[0].headers["x-key"] == "sk-very-secret"
    assert running.out.decode() == f"{url}\n"
    assert b"gpt-5" in running.err
    assert b"sk-very-secret" not in running.err
    assert b"what-is-said" not in running.err


async def test_a_second_signal_does_not_wait() -> None:

    async with upstream(lambda peer: peer.wait_closed()) as peer:
        options = ("--upstream-url", peer.url, "--shutdown-timeout", "10m")
        with program("relay", *options, "--debug", **KEY) as running:
            url = await asyncio.to_thread(running.first_line)
            async with client(url) as connection:
                await connection.send(create("Hello"))
                # Frames pass in order: what comes back was sent after the question was seen.
                await asyncio.wait_for(await connection.ping(), 30)
                running.send(signal.SIGTERM)
                running.send(signal.SIGINT)
                assert (await closed(connection))[0] == 1012
            assert await asyncio.to_thread(running.wait) == 0
