"""Whole answers over HTTP and over NATS, so many at the same time: the same question, the same check, as little work
as can be, since the load shares the machine with what is measured.

HTTP has a connection for each that is under way; NATS has one for all, as its clients do.
"""

from __future__ import annotations

import asyncio
import json
import time
from abc import ABC, abstractmethod
from functools import partial
from typing import cast

import msgspec

from bench import answer
from bench.job import Job, Result

SUBJECT = "openai_requests"
_HELLO = b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"lang":"bench"}\r\n'


class _Client(asyncio.Protocol, ABC):
    """Keeps the answers; they are taken apart afterwards."""

    def __init__(self, job: Job, done: asyncio.Future[None]) -> None:
        self.answers: list[tuple[bytes, bytes]] = []  # head, body
        self._job = job
        self._done = done
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self.begin()

    @abstractmethod
    def begin(self) -> None:
        """Sends what comes first."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish()

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


class HttpClient(_Client):
    """One connection: asks, keeps what comes, asks again."""

    def begin(self) -> None:
        body = _body(self._job)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{self._job.port}\r\nAuthorization: Bearer bench\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = bytes(self._received).partition(b"\r\n\r\n")
        if not separator or len(body) < length_of(head):
            return
        self._received.clear()
        self.answers.append((head, body))
        if len(self.answers) < self._job.requests:
            self.write(self._request)
        else:
            self._finish()


class NatsClient(_Client):
    """All requests over one connection, `streams` of them under way."""

    def begin(self) -> None:
        body = _body(self._job)
        self._request = f"PUB {SUBJECT} bench.{id(self)} {len(body)}\r\n".encode() + body + b"\r\n"
        self._left = self._job.streams * self._job.requests
        self.write(_HELLO + f"SUB bench.{id(self)} 1\r\n".encode())
        self._ask(self._job.streams)

    def _ask(self, number: int) -> None:
        number = min(number, self._left)
        self._left -= number
        self.write(self._request * number)

    def data_received(self, data: bytes) -> None:
        self._received += data
        before, at = len(self.answers), 0
        while (end := self._taken(at)) > at:
            at = end
        del self._received[:at]
        if answered := len(self.answers) - before:
            self._ask(answered)
            if len(self.answers) >= self._job.streams * self._job.requests:
                self._finish()

    def _taken(self, at: int) -> int:
        """Where the line or message at `at` ends; `at` where it is not whole yet."""
        line_end = self._received.find(b"\r\n", at)
        if line_end < 0:
            return at
        start, words = line_end + 2, bytes(self._received[at:line_end]).split()
        if words[:1] == [b"PING"]:
            self.write(b"PONG\r\n")
        if words[:1] not in ([b"MSG"], [b"HMSG"]):
            return start
        size = int(words[-1])
        if len(self._received) < start + size + 2:
            return at
        head = int(words[-2]) if words[0] == b"HMSG" else 0
        message = bytes(self._received[start : start + size])
        self.answers.append((message[:head], message[head:]))
        return start + size + 2


def length_of(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _body(job: Job) -> bytes:
    asking = {"role": "user", "content": answer.prompt(job.events, job.pause, job.language)}
    return json.dumps({"model": "auto", "messages": [asking]}).encode()


def fault_of(head: bytes, body: bytes, events: int) -> str | None:
    """What is wrong with one answer; None when its text is the whole text."""
    if not (head.startswith(b"HTTP/1.1 200 ") or b"\r\nCw-Status: 200\r\n" in head):
        return f"no good answer: {head[:200]!r} {body[:200]!r}"
    try:
        said = msgspec.json.decode(body)["choices"][0]["message"]["content"]
    except (msgspec.DecodeError, LookupError, TypeError):
        return f"no completion: {body[:200]!r}"
    return None if said == "".join(answer.texts(events)) else f"{len(said)} characters, but not the text"


async def perform(job: Job) -> Result:
    loop = asyncio.get_running_loop()
    make: type[_Client] = NatsClient if job.over == "nats" else HttpClient
    clients: list[_Client] = []
    waiting: list[asyncio.Future[None]] = []
    began = time.perf_counter()
    try:
        async with asyncio.timeout(job.limit):
            for _ in range(1 if job.over == "nats" else job.streams):
                waiting.append(loop.create_future())
                _, client = await loop.create_connection(partial(make, job, waiting[-1]), "127.0.0.1", job.port)
                clients.append(client)
            await asyncio.gather(*waiting)
    except (TimeoutError, OSError) as fault:
        return Result(0, [f"{type(fault).__name__}: not all answers came in {job.limit} s"], [])
    finally:
        took = time.perf_counter() - began
        for client in clients:
            client.abort()
    faults = [fault_of(*each, job.events) for client in clients for each in client.answers]
    broken = [fault for fault in faults if fault is not None]
    return Result(len(faults) - len(broken), broken[:3], [], took)
