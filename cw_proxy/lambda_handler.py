"""A handler for AWS's own runtime for Python: `cw_proxy.lambda_handler.handler`.

For the prompt socket it does as well as `cw-proxy lambda`, since answers are posted; HTTP gets whole answers, because
that runtime cannot stream. Emulators that want a handler, such as serverless-offline, take it.

The server lives in a thread with an event loop of its own, from the first event to the end of the process.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from functools import cache
from typing import Any

from cw_proxy.cli.lambda_runtime import make_app
from cw_proxy.transports.lambda_in import RuntimeApi
from cw_proxy.transports.lambda_in.runtime_api import Invocation
from cw_proxy.wire.lambda_event import failure


class Failed(Exception):
    """The event is nobody's: AWS's runtime tells it as the function's error."""


class _Answers(RuntimeApi):
    """Keeps answers in this process, instead of sending them to a Runtime API."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:9")
        self.answers: dict[str, bytes] = {}

    async def respond(self, invocation: Invocation, answer: bytes) -> None:
        self.answers[invocation.id] = answer

    async def fail(self, invocation: Invocation, kind: str, message: str) -> None:
        raise Failed(failure(kind, message).decode())


class _Server:
    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="cw-proxy", daemon=True).start()
        self._api = _Answers()
        self._app = asyncio.run_coroutine_threadsafe(self._made(), self._loop).result()

    async def _made(self) -> Any:
        return make_app(None, self._api, buffered=True)

    def answer(self, invocation: Invocation) -> Any:
        asyncio.run_coroutine_threadsafe(self._answered(invocation), self._loop).result()
        return json.loads(self._api.answers.pop(invocation.id))

    async def _answered(self, invocation: Invocation) -> None:
        try:
            await self._app.invocations.answer(invocation)
        finally:
            # The machine is frozen between two events: what would break by that ends before.
            await self._app.settled()


_server = cache(_Server)


def handler(event: Any, context: Any) -> Any:
    """Raises ConfigError at the first event, Failed for an event of a kind that is not answered."""
    deadline = time.time() + context.get_remaining_time_in_millis() / 1000
    return _server().answer(Invocation(context.aws_request_id, json.dumps(event).encode(), deadline))
