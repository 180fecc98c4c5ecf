"""Peers that are not built on aiohttp: a scripted upstream of the relay and a client, both of the websockets library.

In: a script, which is a coroutine that gets each connection. Out: an upstream on a free port that remembers who came.
Refuses to know pytest and the relay's insides.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from servers import PATIENCE
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from cw_proxy.relay_settings import RelayConfig
from cw_proxy.secret import Secret
from cw_proxy.transports.relay import Relay

KEY = "Bearer the-key-of-the-upstream"
Script = Callable[[ServerConnection], Awaitable[None]]


UPGRADE = {
    "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}  # fmt: skip


class Counts:
    """Where metrics go, instead of a collector."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []
        self.milliseconds: list[float] = []
        self.closed = False

    def session_ended(self, model: str, result: str, milliseconds: float) -> None:
        self.ended.append((model, result))
        self.milliseconds.append(milliseconds)

    async def close(self) -> None:
        self.closed = True


class Upstream:
    def __init__(self, url: str, requests: list[Request], sockets: list[ServerConnection]) -> None:
        self.url = url
        self.requests = requests
        self.sockets = sockets


@asynccontextmanager
async def upstream(script: Script, refusal: Response | None = None, **settings: Any) -> AsyncIterator[Upstream]:
    requests: list[Request] = []
    sockets: list[ServerConnection] = []

    def arrived(connection: ServerConnection, request: Request) -> Response | None:
        requests.append(request)
        return refusal

    async def opened(connection: ServerConnection) -> None:
        sockets.append(connection)
        await script(connection)

    usual: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None, "process_request": arrived}
    async with serve(opened, "127.0.0.1", 0, **{**usual, **settings}) as server:
        port = server.sockets[0].getsockname()[1]
        yield Upstream(f"ws://127.0.0.1:{port}", requests, sockets)


def config(upstream_url: str, **changes: Any) -> RelayConfig:
    usual = {"auth_header": "authorization", "auth_value": Secret(KEY), "host": "127.0.0.1", "port": 0}
    return RelayConfig(**{"upstream_url": upstream_url, **usual, **changes})


@asynccontextmanager
async def relay(settings: RelayConfig, **more: Any) -> AsyncIterator[Relay]:
    running = Relay(settings, **more)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


@asynccontextmanager
async def client(running: Relay | str, path: str = "/v1/responses", **settings: Any) -> AsyncIterator[ClientConnection]:
    url = running if isinstance(running, str) else running.url
    usual: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None, "proxy": None}
    async with connect(url.replace("http://", "ws://") + path, **{**usual, **settings}) as socket:
        yield socket


async def received(socket: ClientConnection | ServerConnection) -> Any:
    return await asyncio.wait_for(socket.recv(), PATIENCE)


async def closed(socket: ClientConnection | ServerConnection) -> tuple[int | None, str | None]:
    await asyncio.wait_for(socket.wait_closed(), PATIENCE)
    return socket.close_code, socket.close_reason


# --- a client of the prompt socket ------------------------------------------------------------------------


async def ask(socket: ClientConnection, text: str, answer: str = "full", template: str | None = None) -> None:
    question = {"messages": [{"role": "user", "content": text}], "response_type": answer, "prompt_template": template}
    await socket.send(json.dumps(question))


async def received_text(socket: ClientConnection) -> str:
    frame = await received(socket)
    assert isinstance(frame, str)
    return frame


async def turn(socket: ClientConnection, text: str, answer: str = "full", template: str | None = None) -> str:
    await ask(socket, text, answer, template)
    return await received_text(socket)


async def stream(socket: ClientConnection) -> list[str]:
    """The pieces; an error or the end is the last."""
    pieces = [await received_text(socket)]
    while pieces[-1] != "<END>" and not pieces[-1].startswith('{"error"'):
        pieces.append(await received_text(socket))
    return pieces


# --- scripts ----------------------------------------------------------------------------------------------


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def silence(socket: ServerConnection) -> None:
    await socket.wait_closed()


def create(text: str, model: str = "gpt-5", **more: Any) -> str:
    return json.dumps({"type": "response.create", "model": model, "input": text, **more})


async def responses(socket: ServerConnection) -> None:
    """A Responses WebSocket that says what it was told; `fail` fails. Lanes are answered side by side."""
    turns = set()
    count = 0
    async for message in socket:
        asked = json.loads(message)
        count += 1
        turns.add(asyncio.ensure_future(_turn(socket, asked, f"resp_{id(socket)}_{count}")))
    await asyncio.gather(*turns, return_exceptions=True)


async def _turn(socket: ServerConnection, asked: dict[str, Any], response_id: str) -> None:
    for number, event in enumerate(events(asked, response_id)):
        lane = {"stream_id": asked["stream_id"]} if "stream_id" in asked else {}
        await socket.send(json.dumps({**event, "sequence_number": number, **lane}))
        await asyncio.sleep(0)


def events(asked: dict[str, Any], response_id: str) -> list[dict[str, Any]]:
    words = str(asked["input"]).split()
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    text = {"type": "output_text", "text": " ".join(words), "annotations": []}
    blank = {
        "id": response_id, "object": "response", "created_at": 0, "model": asked["model"], "output": [],
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "in_progress",
    }  # fmt: skip
    usage = {
        "input_tokens": len(words), "output_tokens": 2 * len(words), "total_tokens": 3 * len(words),
        "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
    }  # fmt: skip
    end = {"status": "failed"} if words == ["fail"] else {"status": "completed", "usage": usage}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    deltas = [{"type": "response.output_text.delta", **where, "delta": word, "logprobs": []} for word in words]
    final = {**blank, **end, "output": [{**item, "content": [text]}]}
    return [
        {"type": "response.created", "response": blank},
        *deltas,
        {"type": f"response.{end['status']}", "response": final},
    ]
