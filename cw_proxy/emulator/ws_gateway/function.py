"""The function: events for a runtime that asks for them, as Lambda's Runtime API has it, and its answers.

In: an event. Out: the function's answer, or that it failed. A runtime that goes while it waits has taken no event.
"""

from __future__ import annotations

import asyncio
import time
from secrets import token_hex

import msgspec
from aiohttp import web

_BASE = "/2018-06-01/runtime"
_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:cw-proxy"


class FunctionFailed(Exception):
    """The function's own error; it says its type."""


class _Invocation(msgspec.Struct):
    id: str
    event: bytes
    answer: asyncio.Future[bytes]


class Function:
    """`timeout` is in seconds: what the function is told, not what it is held to. `asked` is set while a runtime waits
    for an event."""

    def __init__(self, timeout: float = 900.0) -> None:
        self._timeout = timeout
        self._waiting: asyncio.Queue[_Invocation] = asyncio.Queue()
        self._open: dict[str, _Invocation] = {}
        self._asking = 0
        self.asked = asyncio.Event()

    async def invoke(self, event: bytes) -> bytes:
        """Raises FunctionFailed."""
        one = _Invocation(token_hex(16), event, asyncio.get_running_loop().create_future())
        self._open[one.id] = one
        self._waiting.put_nowait(one)
        # Whoever waits may give up; the function goes on.
        return await asyncio.shield(one.answer)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{_BASE}/invocation/next", self._next),
            web.post(f"{_BASE}/invocation/{{id}}/response", self._response),
            web.post(f"{_BASE}/invocation/{{id}}/error", self._error),
            web.post(f"{_BASE}/init/error", self._init_error),
        ]

    async def _next(self, request: web.Request) -> web.Response:
        one = await self._awaited()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": one.id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + self._timeout) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": _ARN,
        }
        return web.Response(body=one.event, headers=headers, content_type="application/json")

    async def _awaited(self) -> _Invocation:
        self._asking += 1
        self.asked.set()
        try:
            return await self._waiting.get()
        finally:
            self._asking -= 1
            if not self._asking:
                self.asked.clear()

    async def _response(self, request: web.Request) -> web.Response:
        one = self._taken(request)
        one.answer.set_result(await request.read())
        return _accepted()

    async def _error(self, request: web.Request) -> web.Response:
        one = self._taken(request)
        one.answer.set_exception(FunctionFailed(request.headers.get("Lambda-Runtime-Function-Error-Type", "Unknown")))
        # Nobody may be waiting any more.
        one.answer.exception()
        return _accepted()

    async def _init_error(self, request: web.Request) -> web.Response:
        return _accepted()

    def _taken(self, request: web.Request) -> _Invocation:
        one = self._open.pop(request.match_info["id"], None)
        if one is None:
            raise web.HTTPForbidden(text='{"errorType": "InvalidRequestID"}', content_type="application/json")
        return one


def _accepted() -> web.Response:
    return web.json_response({"status": "OK"}, status=202)
