"""The gateway: WebSockets for clients; and for the function's side the Runtime API, posts to connections, invocations.

The library `websockets` holds the clients: it shows frames, whose size is a limit here; aiohttp shows messages only.
"""

from __future__ import annotations

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable
from contextlib import suppress
from secrets import token_bytes
from typing import cast

from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request, Response
from websockets.protocol import Event

from cw_proxy.emulator.ws_gateway import events
from cw_proxy.emulator.ws_gateway.events import STAGE, Limits, Place
from cw_proxy.emulator.ws_gateway.function import Function, FunctionFailed

# Of an event that nobody waits for. AWS takes more by now; what fits here fits everywhere.
_ASYNCHRONOUS = 256 * 1024
_LARGEST = 6 * 1024 * 1024
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _Client(ServerConnection):
    """`last` is when anything was said, in the loop's time."""

    limits = Limits()
    place: Place
    last = 0.0

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame) and len(event.data) > self.limits.frame:
            self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "frame too large")
            self.send_data()
            return
        super().process_event(event)


class Gateway:
    """`async with`, then `url` is for clients and `api` for the function's side. Raises ValueError for a host that is
    not loopback, OSError where the port is taken."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, limits: Limits | None = None) -> None:
        if host not in _LOOPBACK:
            raise ValueError(f"{host} is not loopback, and this is a test tool")
        self._host, self._port = host, port
        self._limits = limits or Limits()
        self.function = Function()
        self._open: dict[str, _Client] = {}
        self._tasks: set[asyncio.Future[object]] = set()
        self.url = self.api = self.address = ""

    async def __aenter__(self) -> Gateway:
        self._sockets = await self._listen()
        self.url = f"ws://{_address(self._host, self._sockets)}/{STAGE}"
        app = web.Application(client_max_size=_LARGEST)
        app.add_routes([*self.function.routes(), *self._routes()])
        # A runtime that leaves must not take an event with it.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.address = f"{self._host}:{port}"
        self.api = f"http://{self.address}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sockets.close()
        await self._sockets.wait_closed()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()

    async def _listen(self) -> Server:
        class Client(_Client):
            limits = self._limits

        return await serve(
            self._serve,
            self._host,
            self._port,
            create_connection=Client,
            process_request=self._connect,
            max_size=self._limits.message,
            compression=None,
            ping_interval=None,
        )

    # --- clients ------------------------------------------------------------------------------------------

    async def _connect(self, connection: ServerConnection, request: Request) -> Response | None:
        client = cast(_Client, connection)
        host, *_ = client.remote_address
        client.place = Place(urlsafe_b64encode(token_bytes(11)).decode(), host, time.time())
        event = events.connect(client.place, _request_id(), time.time(), request.headers.raw_items())
        try:
            async with asyncio.timeout(self._limits.integration):
                status = events.status_of(await self.function.invoke(event))
        except TimeoutError:
            status = 504
        except FunctionFailed:
            status = 502
        if 200 <= status < 300:
            self._open[client.place.id] = client
            return None
        return client.respond(status, "")

    async def _serve(self, connection: ServerConnection) -> None:
        client = cast(_Client, connection)
        client.last = asyncio.get_running_loop().time()
        watching = self._start(self._watch(client))
        try:
            async for message in client:
                client.last = asyncio.get_running_loop().time()
                if isinstance(message, bytes):
                    await client.close(CloseCode.UNSUPPORTED_DATA, "binary is not supported")
                    break
                self._start(self._message(client, message))
        except ConnectionClosed:
            # Not in order, but closed.
            pass
        finally:
            watching.cancel()
            self._open.pop(client.place.id, None)
            event = events.disconnect(client.place, _request_id(), time.time(), client.close_code or 1006)
            self._start(self._quietly(event))

    async def _watch(self, client: _Client) -> None:
        """Closes what is silent for too long, or open."""
        now = asyncio.get_running_loop().time
        end = now() + self._limits.age
        while True:
            left = min(end, client.last + self._limits.idle) - now()
            if left <= 0:
                break
            await asyncio.sleep(left)
        await client.close(CloseCode.GOING_AWAY, "Going away")

    async def _message(self, client: _Client, text: str) -> None:
        request_id = _request_id()
        event = events.message(client.place, request_id, time.time(), text)
        try:
            async with asyncio.timeout(self._limits.integration):
                await self.function.invoke(event)
            return
        except TimeoutError:
            trouble = "Endpoint request timed out"
        except FunctionFailed:
            trouble = "Internal server error"
        await self._send(client, events.trouble(trouble, client.place.id, request_id))

    async def _send(self, client: _Client, text: str) -> bool:
        client.last = asyncio.get_running_loop().time()
        frames = events.in_frames(text, self._limits.frame)
        try:
            await client.send(frames if len(frames) > 1 else text)
        except ConnectionClosed:
            return False
        return True

    async def _quietly(self, event: bytes) -> None:
        # AWS says it to the function's log.
        with suppress(FunctionFailed):
            await self.function.invoke(event)

    def _start(self, work: Awaitable[object]) -> asyncio.Future[object]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- the function's side ------------------------------------------------------------------------------

    def _routes(self) -> list[web.RouteDef]:
        connections = [f"{stage}/@connections/{{id}}" for stage in ("", "/{stage}")]
        return [
            *(web.post(path, self._post) for path in connections),
            *(web.get(path, self._get, allow_head=False) for path in connections),
            *(web.delete(path, self._delete) for path in connections),
            web.post("/2015-03-31/functions/{name}/invocations", self._invoke),
        ]

    async def _post(self, request: web.Request) -> web.Response:
        client = self._client(request)
        data = await request.read()
        if len(data) > self._limits.message:
            raise _refused(413, "PayloadTooLargeException")
        if not await self._send(client, data.decode(errors="replace")):
            raise _refused(410, "GoneException")
        return web.Response()

    async def _get(self, request: web.Request) -> web.Response:
        place = self._client(request).place
        connected = {"connectedAt": place.connected, "lastActiveAt": time.time()}
        return web.json_response({**connected, "identity": {"sourceIp": place.address, "userAgent": ""}})

    async def _delete(self, request: web.Request) -> web.Response:
        await self._client(request).close(CloseCode.GOING_AWAY, "Going away")
        return web.Response(status=204)

    def _client(self, request: web.Request) -> _Client:
        _check_signed(request)
        client = self._open.get(request.match_info["id"])
        if client is None:
            raise _refused(410, "GoneException")
        return client

    async def _invoke(self, request: web.Request) -> web.Response:
        _check_signed(request)
        event = await request.read()
        if request.headers.get("X-Amz-Invocation-Type") == "Event":
            if len(event) > _ASYNCHRONOUS:
                raise _refused(413, "RequestTooLargeException")
            self._start(self._quietly(event))
            return web.Response(status=202)
        try:
            return web.Response(body=await self.function.invoke(event), content_type="application/json")
        except FunctionFailed as fault:
            return web.json_response({"errorType": str(fault)}, headers={"X-Amz-Function-Error": "Unhandled"})


def _check_signed(request: web.Request) -> None:
    """That it is signed at all: AWS refuses what is not, and a plain HTTP client is easily taken for enough."""
    if not request.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 "):
        raise _refused(403, "MissingAuthenticationTokenException")


def _refused(status: int, kind: str) -> web.HTTPException:
    classes = {403: web.HTTPForbidden, 410: web.HTTPGone}
    text, headers = json.dumps({"message": kind}), {"x-amzn-ErrorType": kind}
    if status == 413:
        return web.HTTPRequestEntityTooLarge(0, 0, text=text, headers=headers, content_type="application/json")
    return classes[status](text=text, headers=headers, content_type="application/json")


def _request_id() -> str:
    return urlsafe_b64encode(token_bytes(11)).decode()


def _address(host: str, server: Server) -> str:
    name = f"[{host}]" if ":" in host else host
    first, *_ = server.sockets
    return f"{name}:{first.getsockname()[1]}"
