"""The Runtime API of Lambda, version 2018-06-01, as its client: the next invocation, and what became of it.

In: whole answers, or pieces of one. Out: invocations. Refuses to know what is in them. A connection is closed after
the answer it carried, as the contract of streamed answers has it; the error of an answer that has begun travels in
trailers, which are declared before it (transports.md §3).
"""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import msgspec

from cw_proxy import __version__
from cw_proxy.transports.lambda_in.connection import Broken, Connection, to
from cw_proxy.wire.lambda_event import INTEGRATION, failure

_BASE = "/2018-06-01/runtime"
_ERROR_TYPE, _ERROR_BODY = "Lambda-Runtime-Function-Error-Type", "Lambda-Runtime-Function-Error-Body"


class RuntimeApiError(Exception):
    """The Runtime API cannot be reached, or refuses us: the process ends, and Lambda starts another."""


class Invocation(msgspec.Struct, frozen=True):
    """`deadline` is epoch seconds; `trace` is X-Ray's header."""

    id: str
    event: bytes
    deadline: float
    trace: str | None = None


class RuntimeApi:
    """`address` is what AWS_LAMBDA_RUNTIME_API holds: HOST:PORT. Everything raises RuntimeApiError."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise RuntimeApiError("AWS_LAMBDA_RUNTIME_API is not HOST:PORT: this command is for Lambda.")
        self._host, self._port, self._address = host, int(port), address

    async def next(self) -> Invocation:
        """Waits for as long as it takes."""
        async with self._exchange("GET", f"{_BASE}/invocation/next", {}, b"") as connection:
            status, headers, body = await _reply(connection)
        if status != 200 or "lambda-runtime-aws-request-id" not in headers:
            raise RuntimeApiError(f"The Runtime API answered `next` with status {status}.")
        deadline = headers.get("lambda-runtime-deadline-ms", "")
        return Invocation(
            id=headers["lambda-runtime-aws-request-id"],
            event=body,
            deadline=int(deadline) / 1000 if deadline.isdecimal() else time.time() + 900,
            trace=headers.get("lambda-runtime-trace-id"),
        )

    async def respond(self, invocation: Invocation, answer: bytes) -> None:
        """The whole answer."""
        await self._post(f"{_BASE}/invocation/{invocation.id}/response", {}, answer)

    async def fail(self, invocation: Invocation, kind: str, message: str) -> None:
        """Only while nothing of an answer is out."""
        await self._post(f"{_BASE}/invocation/{invocation.id}/error", {_ERROR_TYPE: kind}, failure(kind, message))

    async def fail_start(self, kind: str, message: str) -> None:
        await self._post(f"{_BASE}/init/error", {_ERROR_TYPE: kind}, failure(kind, message))

    @asynccontextmanager
    async def answer(self, invocation: Invocation) -> AsyncIterator[Answer]:
        """A streamed answer; a block that is left without `end` or `fail` breaks it off."""
        headers = {
            "Content-Type": INTEGRATION,
            "Lambda-Runtime-Function-Response-Mode": "streaming",
            "Transfer-Encoding": "chunked",
            "Trailer": f"{_ERROR_TYPE}, {_ERROR_BODY}",
        }
        path = f"{_BASE}/invocation/{invocation.id}/response"
        async with self._exchange("POST", path, headers, None) as connection:
            yield Answer(connection)

    async def _post(self, path: str, headers: Mapping[str, str], body: bytes) -> None:
        content_type = {"Content-Type": "application/json"}
        async with self._exchange("POST", path, {**content_type, **headers}, body) as connection:
            await _accepted(connection)

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[Connection]:
        usual = {"Host": self._address, "User-Agent": f"cw-proxy/{__version__}", "Connection": "close"}
        with _ours():
            async with to(self._host, self._port) as connection:
                await connection.request(method, path, {**usual, **headers}.items(), body)
                yield connection


class Answer:
    """A streamed answer under way."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, data: bytes) -> None:
        with _ours():
            await self._connection.send(data)

    async def end(self) -> None:
        with _ours():
            await self._connection.end()
            await _accepted(self._connection)

    async def fail(self, kind: str, message: str) -> None:
        """Lambda's front breaks the client's connection off: what has come does not look like the whole."""
        body = base64.b64encode(failure(kind, message)).decode()
        with _ours():
            await self._connection.end([(_ERROR_TYPE, kind), (_ERROR_BODY, body)])
            await _accepted(self._connection)


@contextmanager
def _ours() -> Iterator[None]:
    """A break of this connection is told from one of the server's."""
    try:
        yield
    except Broken as fault:
        raise RuntimeApiError(f"The connection to the Runtime API broke: {fault}.") from None


async def _accepted(connection: Connection) -> None:
    status, _, _ = await _reply(connection)
    if status >= 300:
        raise RuntimeApiError(f"The Runtime API refused an answer with status {status}.")


async def _reply(connection: Connection) -> tuple[int, dict[str, str], bytes]:
    response = await connection.response()
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in response.headers}
    return response.status_code, headers, await connection.body()
