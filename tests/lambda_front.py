"""A strict Lambda on loopback: the Runtime API for a runtime, and the HTTP front that invokes it for clients.

In: HTTP requests on `url`. Out: what the runtime answers, passed on piece by piece as it comes. Refuses whatever the
contract does not allow, and keeps it in `violations`; AWS's own emulator buffers and looks at little. Knows nothing of
cw_proxy: the contract stands here a second time, so that one mistake does not hide another.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qsl

import h11

PATIENCE = 30.0
PAYLOAD = 6 * 1024 * 1024
PRELUDE = 16 * 1024
STREAM = "application/vnd.awslambda.http-integration-response"
DOMAIN = "abcdefghij.lambda-url.eu-central-1.on.aws"
ADDRESS = "203.0.113.9"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0"
TRAILERS = {"lambda-runtime-function-error-type", "lambda-runtime-function-error-body"}
_ANSWER = re.compile(r"/2018-06-01/runtime/invocation/(\w+)/(response|error)")
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "trailer", "te", "upgrade", "set-cookie"}


class Violation(Exception):
    """The runtime has broken the contract."""


class Pending:
    """An invocation: the event, and what has come for the client. `pieces` ends with True (whole) or False (broken)."""

    def __init__(self, event: dict[str, Any], timeout: float) -> None:
        self.id = token_hex(16)
        self.payload = json.dumps(event).encode()
        self.timeout = timeout
        self.head: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.pieces: asyncio.Queue[bytes | bool] = asyncio.Queue()
        self.answered = False
        self.streamed = False
        self.error: dict[str, Any] | None = None
        self.trailers: dict[str, str] = {}

    def broken(self, error: dict[str, Any]) -> None:
        self.error = error
        if not self.head.done():
            # What a client of a failed function gets.
            self.head.set_result({"statusCode": 502, "headers": {"content-type": "application/json"}})
            self.pieces.put_nowait(b'{"message":"Internal Server Error"}')
            self.pieces.put_nowait(True)
        else:
            self.pieces.put_nowait(False)


class LambdaFront:
    """`kind` is whose events are made: function_url, http_api, rest_api or load_balancer; `streams` whether that front
    is set up for streamed answers; `timeout` is what the function is told; `context` goes into the events."""

    def __init__(
        self,
        kind: str = "function_url",
        *,
        streams: bool = True,
        timeout: float = PATIENCE,
        many: bool = True,
        **context: Any,
    ) -> None:
        self.kind, self.streams, self.timeout, self.many, self.context = kind, streams, timeout, many, context
        self.violations: list[str] = []
        self.finished: list[Pending] = []
        self.init_error: dict[str, Any] | None = None
        self.domain = DOMAIN if kind == "function_url" else "abcdefghij.execute-api.eu-central-1.amazonaws.com"
        self.waiting = 0  # how many loops ask for an invocation
        self.most_waiting = 0
        self._queue: asyncio.Queue[Pending] = asyncio.Queue()
        self._open: dict[str, Pending] = {}
        self._answering: set[Peer] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = self.url = ""

    async def __aenter__(self) -> LambdaFront:
        self._servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for serve in (self._runtime, self._client)]
        ports = [server.sockets[0].getsockname()[1] for server in self._servers]
        self.address, self.url = f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def invoke(self, event: dict[str, Any]) -> Pending:
        pending = Pending(event, self.timeout)
        self._open[pending.id] = pending
        self._queue.put_nowait(pending)
        return pending

    def break_answers(self) -> None:
        """Loses the connections that streamed answers come on, as for a client that has gone."""
        for connection in self._answering:
            connection.break_off()

    async def whole(self, event: dict[str, Any]) -> dict[str, Any]:
        """What the runtime answers to one event, or the error that it reports."""
        pending = self.invoke(event)
        head = await asyncio.wait_for(pending.head, PATIENCE)
        return pending.error or head

    # --- the Runtime API ----------------------------------------------------------------------------------

    async def _runtime(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._held()
        connection = Peer(reader, writer)
        try:
            await self._runtime_request(connection)
        except Violation as fault:
            self.violations.append(str(fault))
            with suppress(OSError, h11.LocalProtocolError):
                await connection.reply(400, {}, json.dumps({"errorMessage": str(fault)}).encode())
        except (h11.RemoteProtocolError, OSError, asyncio.CancelledError):
            # The other side has gone, or the test is over.
            pass
        finally:
            writer.close()

    async def _runtime_request(self, connection: Peer) -> None:
        request = await connection.request()
        headers = lower(request.headers)
        method, path = request.method.decode(), request.target.decode()
        must(headers.get("host") == self.address, "Host is not the Runtime API's")
        if (method, path) == ("GET", "/2018-06-01/runtime/invocation/next"):
            await self._next(connection)
        elif (method, path) == ("POST", "/2018-06-01/runtime/init/error"):
            self.init_error = error_of(headers, await connection.body())
            await connection.reply(202, {}, b"{}")
        elif method == "POST" and (found := _ANSWER.fullmatch(path)):
            await self._answer(connection, found[1], found[2], headers)
        else:
            raise Violation(f"{method} {path} is not in the Runtime API")

    async def _next(self, connection: Peer) -> None:
        await connection.body()
        self.waiting += 1
        self.most_waiting = max(self.waiting, self.most_waiting)
        getting, leaving = asyncio.ensure_future(self._queue.get()), asyncio.ensure_future(connection.left())
        await asyncio.wait({getting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        self.waiting -= 1
        for task in (getting, leaving):
            if not task.done():
                task.cancel()
        await asyncio.gather(getting, leaving, return_exceptions=True)
        if getting.cancelled():
            return
        pending = getting.result()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": pending.id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + pending.timeout) * 1000)),
            "Lambda-Runtime-Trace-Id": TRACE,
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:f",
            "Content-Type": "application/json",
        }
        await connection.reply(200, headers, pending.payload)

    async def _answer(self, connection: Peer, request_id: str, what: str, headers: dict[str, str]) -> None:
        pending = self._open.pop(request_id, None)
        must(pending is not None, "an answer to no invocation that is open")
        assert pending is not None
        if what == "error":
            pending.broken(error_of(headers, await connection.body()))
            await self._done(connection, pending, {})
            return
        self._answering.add(connection)
        try:
            streamed = "lambda-runtime-function-response-mode" in headers
            await (self._streamed(connection, pending, headers) if streamed else self._buffered(connection, pending))
        except (Violation, OSError, h11.RemoteProtocolError) as fault:
            pending.broken({"errorType": "Runtime.Broken", "errorMessage": str(fault)})
            raise
        finally:
            self._answering.discard(connection)

    async def _buffered(self, connection: Peer, pending: Pending) -> None:
        body = await connection.body()
        if len(body) > PAYLOAD:
            self.violations.append("a whole answer of more than 6 MB")
            pending.broken({"errorType": "Function.ResponseSizeTooLarge"})
            await connection.reply(413, {}, b"{}")
            return
        must(not (self.streams and self.kind in ("function_url", "rest_api")), "a whole answer to a front that streams")
        head = json.loads(body)
        data = base64.b64decode(head["body"]) if head["isBase64Encoded"] else head["body"].encode()
        pending.head.set_result(head)
        pending.pieces.put_nowait(data)
        pending.pieces.put_nowait(True)
        await self._done(connection, pending, {})

    async def _streamed(self, connection: Peer, pending: Pending, headers: dict[str, str]) -> None:
        must(self.streams and self.kind in ("function_url", "rest_api"), "a streamed answer to a front that cannot")
        must(headers["lambda-runtime-function-response-mode"] == "streaming", "no such response mode")
        must(headers.get("transfer-encoding") == "chunked", "a streamed answer that is not chunked")
        must(headers.get("content-type") == STREAM, "a streamed answer of another Content-Type")
        must(headers.get("connection", "").lower() == "close", "a streamed answer on a connection that is kept")
        pending.streamed = True
        begin = b""
        async for data in connection.data():
            if pending.head.done():
                pending.pieces.put_nowait(data)
                continue
            begin += data
            front, end, rest = begin.partition(b"\0" * 8)
            must(len(front) + 8 <= PRELUDE, "a prelude of more than 16 KiB")
            if end:
                pending.head.set_result(checked_prelude(front))
                if rest:
                    pending.pieces.put_nowait(rest)
        must(pending.head.done(), "a streamed answer without a prelude")
        await self._done(connection, pending, self._checked_trailers(connection.trailers, headers))

    def _checked_trailers(self, trailers: dict[str, str], headers: dict[str, str]) -> dict[str, str]:
        declared = {name.strip().lower() for name in headers.get("trailer", "").split(",")}
        must(set(trailers) <= declared, "a trailer that was not declared")
        must(set(trailers) in (set(), TRAILERS), "half an error in the trailers")
        return trailers

    async def _done(self, connection: Peer, pending: Pending, trailers: dict[str, str]) -> None:
        pending.answered, pending.trailers = True, trailers
        if trailers:
            body = json.loads(base64.b64decode(trailers["lambda-runtime-function-error-body"], validate=True))
            must(body["errorType"] == trailers["lambda-runtime-function-error-type"], "two types of one error")
            pending.broken(body)
        elif pending.error is None:
            pending.pieces.put_nowait(True)
        self.finished.append(pending)
        await connection.reply(202, {}, b'{"status":"OK"}')

    # --- the front for clients ----------------------------------------------------------------------------

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._held()
        connection = Peer(reader, writer)
        try:
            request = await connection.request()
            event = self._event(request, await connection.body())
            if len(json.dumps(event)) > PAYLOAD:
                await connection.reply(413, {}, b'{"Message":"Request Entity Too Large"}')
                return
            await self._pass_on(connection, self.invoke(event))
        except (h11.RemoteProtocolError, OSError, asyncio.CancelledError):
            # The other side has gone, or the test is over.
            pass
        finally:
            writer.close()

    async def _pass_on(self, connection: Peer, pending: Pending) -> None:
        head = await pending.head
        fields = [(name, str(value)) for name, value in head.get("headers", {}).items()]
        fields += [(name, value) for name, values in head.get("multiValueHeaders", {}).items() for value in values]
        fields += [("set-cookie", cookie) for cookie in head.get("cookies", [])]
        await connection.begin(head["statusCode"], [*fields, ("transfer-encoding", "chunked")])
        while (piece := await pending.pieces.get()) is not True:
            if piece is False:
                # Without the last chunk: the client sees that it is not the whole.
                return connection.break_off()
            await connection.send(piece)
        return await connection.end()

    def _event(self, request: h11.Request, body: bytes) -> dict[str, Any]:
        headers: dict[str, list[str]] = {}
        for name, value in request.headers:
            headers.setdefault(name.decode().lower(), []).append(value.decode())
        headers["host"] = [self.domain] if self.kind != "load_balancer" else headers["host"]
        path, _, query = request.target.decode().partition("?")
        made = event_of(self.kind, request.method.decode(), path, query, headers, body, self.many)
        made["requestContext"] = {"domainName": self.domain, **made["requestContext"], **self.context}
        if self.kind == "load_balancer":
            del made["requestContext"]["domainName"]
        return made

    def _held(self, task: asyncio.Task[None] | None = None) -> None:
        held = task or asyncio.current_task()
        assert held is not None
        self._tasks.add(held)
        held.add_done_callback(self._tasks.discard)


def event_of(
    kind: str, method: str, path: str, query: str, headers: dict[str, list[str]], body: bytes, many: bool = True
) -> dict[str, Any]:
    """As AWS documents them, with what a runtime may need."""
    text = headers.get("content-type", [""])[0].startswith(("application/json", "text/"))
    carried = {"body": body.decode() if text else base64.b64encode(body).decode(), "isBase64Encoded": not text}
    if not body:
        carried = {"body": None, "isBase64Encoded": False}
    if kind in ("function_url", "http_api"):
        cookies = [cookie for value in headers.pop("cookie", []) for cookie in value.split("; ")]
        http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": ADDRESS, "userAgent": "a-client"}
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            **({"cookies": cookies} if cookies else {}),
            "headers": {name: ",".join(values) for name, values in headers.items()},
            "requestContext": {"stage": "$default", "http": http},
            **carried,
        }
    pairs = parse_qsl(query, keep_blank_values=True)
    event: dict[str, Any] = {"httpMethod": method, "path": path, **carried}
    if many:
        event["multiValueHeaders"] = headers
        event["multiValueQueryStringParameters"] = {name: [v for n, v in pairs if n == name] for name, _ in pairs}
    if kind == "rest_api" or not many:
        event["headers"] = {name: values[-1] for name, values in headers.items()}
        event["queryStringParameters"] = dict(pairs)
    if kind == "load_balancer":
        arn = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/lambda/50dc6c495c0c9188"
        return {**event, "requestContext": {"elb": {"targetGroupArn": arn}}}
    context = {"stage": "prod", "resourcePath": "/{proxy+}", "identity": {"sourceIp": ADDRESS, "userArn": None}}
    return {**event, "resource": "/{proxy+}", "requestContext": context}


def checked_prelude(data: bytes) -> dict[str, Any]:
    head: dict[str, Any] = json.loads(data)
    must(set(head) <= {"statusCode", "headers", "multiValueHeaders", "cookies"}, "an unknown member of the prelude")
    must(isinstance(head["statusCode"], int) and 200 <= head["statusCode"] <= 599, "no status in the prelude")
    must(all(isinstance(value, str) for value in head["headers"].values()), "a header that is not a text")
    must(not {name.lower() for name in head["headers"]} & _HOP, "a header that is the front's")
    must(all(isinstance(cookie, str) for cookie in head["cookies"]), "a cookie that is not a text")
    return head


def error_of(headers: dict[str, str], body: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(body)
    must({"errorMessage", "errorType"} <= set(error), "an error without message and type")
    must("lambda-runtime-function-error-type" in headers, "an error without a type among its headers")
    return error


def must(condition: bool, what: str) -> None:
    if not condition:
        raise Violation(what)


def lower(headers: Any) -> dict[str, str]:
    return {name.decode().lower(): value.decode("latin-1") for name, value in headers}


class Peer:
    """The server's side of one HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER)
        self.trailers: dict[str, str] = {}

    async def request(self) -> h11.Request:
        event = await self._next()
        if not isinstance(event, h11.Request):
            raise h11.RemoteProtocolError("no request")
        return event

    async def data(self) -> AsyncIterator[bytes]:
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise h11.RemoteProtocolError("broken off")
            yield bytes(event.data)
        self.trailers = lower(event.headers)

    async def body(self) -> bytes:
        return b"".join([data async for data in self.data()])

    async def left(self) -> None:
        """Returns when the other side has closed."""
        with suppress(OSError):
            while await self._reader.read(65536):
                pass

    async def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        await self.begin(status, [*headers.items(), ("Content-Length", str(len(body)))])
        await self.send(body)
        await self.end()

    async def begin(self, status: int, headers: list[tuple[str, str]]) -> None:
        await self._send(h11.Response(status_code=status, headers=headers))

    async def send(self, data: bytes) -> None:
        await self._send(h11.Data(data=data))

    async def end(self) -> None:
        await self._send(h11.EndOfMessage())

    def break_off(self) -> None:
        self._writer.transport.abort()

    async def _send(self, event: Any) -> None:
        self._writer.write(self._http.send(event) or b"")
        await self._writer.drain()

    async def _next(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._reader.read(65536))
        if isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("closed")
        return event


@asynccontextmanager
async def front(kind: str = "function_url", **settings: Any) -> AsyncIterator[LambdaFront]:
    """A front that has seen nothing but the contract when the block ends."""
    async with LambdaFront(kind, **settings) as running:
        yield running
        assert running.violations == []
