"""The command: its first line, its end, what it refuses."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from click.testing import CliRunner

from cw_proxy.cli.root import cli

RUN = "from cw_proxy.cli.emulator import emulator; emulator()"


@asynccontextmanager
async def running(*options: str) -> AsyncIterator[tuple[Process, str]]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", RUN, *options, stdout=PIPE, stderr=PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_line_is_the_url_and_signals_end_it_well(number: signal.Signals) -> None:
    async with running() as (process, url):
        assert url.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession() as session, session.get(url + "/_emulator/stats") as response:
            assert response.status == 200
        process.send_signal(number)
        out, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
        for name in ("STREAMING", "RUNTIME", "OIDC"):
            assert f"export CW_PROXY_{name}_URL={url}" in out.decode()


async def test_it_ends_with_a_stream_open() -> None:
    async with running() as (process, url), aiohttp.ClientSession(headers={"Authorization": "Bearer x"}) as session:
        message = {"userInputMessage": {"content": "play the script hang"}}
        body = {"conversationState": {"chatTriggerType": "MANUAL", "currentMessage": message}}
        response = await session.post(url + "/generateAssistantResponse", json=body)
        await response.content.readany()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        response.close()


async def test_options_become_settings() -> None:
    async with (
        running("--auto-approve", "--strict-tokens", "--token-lifetime", "60") as (_, url),
        aiohttp.ClientSession() as session,
        session.get(url + "/_emulator/settings") as response,
    ):
        settings = json.loads(await response.read())
    assert (settings["auto_approve"], settings["strict_tokens"], settings["token_lifetime"]) == (True, True, 60)


def test_loopback_only() -> None:
    refused = CliRunner().invoke(cli, ["emulator", "--host", "0.0.0.0"])
    assert refused.exit_code == 2
    assert "loopback" in refused.output


def test_the_help_names_the_language() -> None:
    shown = CliRunner().invoke(cli, ["emulator", "--help"]).output
    for word in ("flip_crc", "fragments", "/_emulator/stats", "count from 1 to 20"):
        assert word in shown


async def test_a_port_that_is_taken() -> None:
    async with running() as (_, url):
        refused = await asyncio.to_thread(CliRunner().invoke, cli, ["emulator", "--port", url.rpartition(":")[2]])
    assert refused.exit_code == 1
    assert "cannot listen" in refused.output
