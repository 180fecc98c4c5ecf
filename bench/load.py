"""The load generator, a process of its own: jobs come as JSON lines on stdin, results go out as JSON lines.

A job is bounded: so many streams at the same time, so many requests on each connection, so many seconds. While a job
runs, bytes are only kept; afterwards every answer is taken apart, and its text must be the whole text.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from functools import partial
from typing import cast

import msgspec

from bench import answer, whole
from bench.job import Job, Result
from cw_proxy.cli.settings import run
from cw_proxy.wire.sse import SseDecoder

_END = b"\r\n0\r\n\r\n"


class Client(asyncio.Protocol):
    """One connection: asks, keeps what comes, asks again."""

    def __init__(self, job: Job, done: asyncio.Future[None]) -> None:
        self._job = job
        self._request = _request(job)
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._asked = 0.0
        self._parts: list[bytes] = []
        self._tail = b""
        self._waiting_for_first = True
        self.answers: list[bytes] = []
        self.first_bytes: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._parts, self._tail, self._waiting_for_first = [], b"", True
        self._asked = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        if self._waiting_for_first and b"data:" in data:
            self._waiting_for_first = False
            self.first_bytes.append((time.perf_counter() - self._asked) * 1000)
            if self._job.hold:
                self._finish()
        self._tail = (self._tail + data)[-len(_END) :]
        if self._tail == _END:
            self.answers.append(b"".join(self._parts))
            if len(self.answers) < self._job.requests:
                self._ask()
            else:
                self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        # An answer that is no stream (an error) is kept too: what it says is the reason that is reported.
        if len(self.answers) < self._job.requests:
            self.answers.append(b"".join(self._parts))
        self._finish()

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _request(job: Job) -> bytes:
    asking = {"role": "user", "content": answer.prompt(job.events, job.pause, job.language)}
    body = json.dumps({"model": "auto", "stream": True, "messages": [asking]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{job.port}\r\nAuthorization: Bearer bench\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def fault_of(reply: bytes, events: int) -> str | None:
    """What is wrong with one answer, as it came over the wire; None when its text is the whole text."""
    head, _, body = reply.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        return f"not a 200: {reply[:200]!r}"
    frames = SseDecoder().feed(_dechunked(body))
    if not frames or frames[-1] != b"[DONE]":
        return f"{len(frames)} events and no [DONE]"
    deltas = [_content(frame) for frame in frames[:-1]]
    if [text for text in deltas if text] != answer.texts(events):
        return f"{len(deltas)} events, but not the text"
    return None


def _content(frame: bytes) -> str | None:
    chunk = msgspec.json.decode(frame)
    text: str | None = chunk["choices"][0]["delta"].get("content") if chunk["choices"] else None
    return text


def _dechunked(body: bytes) -> bytes:
    parts, at = [], 0
    while at < len(body):
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end], 16)
        parts.append(body[line_end + 2 : line_end + 2 + size])
        at = line_end + 2 + size + 2
    return b"".join(parts)


async def perform(job: Job) -> Result:
    loop = asyncio.get_running_loop()
    clients: list[Client] = []
    waiting: list[asyncio.Future[None]] = []
    try:
        async with asyncio.timeout(job.limit):
            for _ in range(job.streams):
                done: asyncio.Future[None] = loop.create_future()
                _, client = await loop.create_connection(partial(Client, job, done), "127.0.0.1", job.port)
                clients.append(client)
                waiting.append(done)
            await asyncio.gather(*waiting)
    except (TimeoutError, OSError) as fault:
        return Result(0, [f"{type(fault).__name__}: not all streams ended in {job.limit} s"], [])
    finally:
        if not job.hold:
            for client in clients:
                client.abort()
    if job.hold:
        return await _held(clients, loop)
    faults = [fault_of(reply, job.events) for client in clients for reply in client.answers]
    broken = [fault for fault in faults if fault is not None]
    first_bytes = [elapsed for client in clients for elapsed in client.first_bytes]
    return Result(len(faults) - len(broken), broken[:3], first_bytes)


async def _held(clients: list[Client], loop: asyncio.AbstractEventLoop) -> Result:
    print("held", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    for client in clients:
        client.abort()
    return Result(len(clients), [], [])


async def main() -> None:
    loop = asyncio.get_running_loop()
    gc.disable()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        job = msgspec.json.decode(line, type=Job)
        result = await (perform(job) if job.over == "streams" else whole.perform(job))
        print(msgspec.json.encode(result).decode(), flush=True)
        gc.collect()


if __name__ == "__main__":
    run(main())
