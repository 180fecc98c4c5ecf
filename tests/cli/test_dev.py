"""`cw-proxy dev ws-gateway` as a command. What the gateway does is in emulator/ws_gateway, with a function in e2e."""

from __future__ import annotations

import asyncio
import signal

from servers import program, run, until
from websocket_peers import client as connect

from cw_proxy.cli.dev import variables
from cw_proxy.transports.lambda_in import RuntimeApi


async def test_it_says_where_it_is_and_what_to_export() -> None:
    with program("dev", "ws-gateway") as gateway:
        url = await asyncio.to_thread(gateway.first_line)
        await until(lambda: b"End with" in gateway.out, "all is said")
        lines = [line.strip() for line in gateway.out.decode().splitlines()]
        exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        assert exported == variables(exported["AWS_LAMBDA_RUNTIME_API"])
        api = RuntimeApi(exported["AWS_LAMBDA_RUNTIME_API"])

        async def let_in() -> None:
            await api.respond(await api.next(), b'{"statusCode": 200}')

        letting = asyncio.create_task(let_in())
        async with connect(url, ""):
            await letting
        gateway.send(signal.SIGTERM)
        assert await asyncio.to_thread(gateway.wait) == 0


def test_only_loopback_is_listened_on() -> None:
    done = run("dev", "ws-gateway", "--host", "0.0.0.0")
    assert done.returncode == 2
    assert "loopback" in done.stderr
