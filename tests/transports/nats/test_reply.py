"""Answers and errors as messages: what is too large for one, and what is said where there is hardly any room."""

from __future__ import annotations

from pathlib import Path

import pytest
from nats_peers import (
    NatsServer,
    chat,
    client,
    code,
    nats_server,
    request,
    streamed,
    text_of,
    working,
)

from cw_proxy.emulator import Emulator
from cw_proxy.wire.nats_message import STATUS


async def test_an_answer_too_large_names_streaming(tmp_path: Path, emulator: Emulator) -> None:
    emulator.scripts["long"] = [{"text": "x" * 6000, "piece": 500}]
    with nats_server(tmp_path, "max_payload: 4096") as server:
        async with working(server, emulator) as worker, client(server) as connection:
            for body in (b"play the script long", chat("play the script long")):
                answer = await request(connection, body)
                assert code(answer) == "413"
                assert b"stream" in answer.data
            *chunks, end = await streamed(connection, chat("play the script long", stream=True))
            assert (text_of(chunks), end.headers[STATUS]) == ("x" * 6000, "200")
            assert not worker.lost.is_set()


@pytest.mark.parametrize("around", range(-40, 41, 4))
async def test_headers_count_as_well(tmp_path: Path, emulator: Emulator, around: int) -> None:
    """Body and headers just below, at and above the server's limit: an answer or an error, and the connection stays."""
    emulator.scripts["long"] = [{"text": "x" * (4096 + around), "piece": 500}]
    with nats_server(tmp_path, "max_payload: 4096") as server:
        async with working(server, emulator) as worker, client(server) as connection:
            answer = await request(connection, b"play the script long")
            assert code(answer) in (None, "413")
            assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
            assert not worker.lost.is_set()


async def test_a_limit_of_our_own(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator, max_reply_bytes=300), client(server) as connection:
        assert code(await request(connection, b"Count from 1 to 200")) == "413"
        assert code(await request(connection, b"Count from 1 to 20")) is None


async def test_a_limit_that_is_lowered_meanwhile(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker, client(server) as connection:
        server.reload("max_payload: 1000")
        answer = await request(connection, b"Count from 1 to 500")
        # It is told of a new limit when it has broken the old one, if not before.
        assert code(answer) == "413"
        assert not worker.lost.is_set()


async def test_an_error_that_has_no_room(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator, max_reply_bytes=120), client(server) as connection:
        assert code(await request(connection, b" ")) == "400"
        [end] = await streamed(connection, chat("Hello", model="none-such", stream=True))
        assert code(end) == "404"
