"""The worker on a real NATS server, before the emulator: texts, JSON, streams, errors, sizes, shutdown, faults."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats_peers import SUBJECT, NatsServer, chat, client, code, nats_server, request, streamed
from servers import PATIENCE, settings, until, wire

from cw_proxy.app import Core
from cw_proxy.emulator import Emulator
from cw_proxy.errors import NatsRefused
from cw_proxy.front import Front
from cw_proxy.guard import Guard
from cw_proxy.nats_settings import NatsConfig
from cw_proxy.secret import Secret
from cw_proxy.transports import nats_client
from cw_proxy.transports.nats_in import NatsWorker
from cw_proxy.wire.nats_message import SEQUENCE, STATUS

HANG = [{"text": "First. "}, {"hang": True}]
ENDLESS = [{"repeat": 100_000, "steps": [{"text": "More. "}, {"delay": 0.01}]}]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as running:
        yield running


@asynccontextmanager
async def working(
    server: NatsServer, emulator: Emulator, keys: tuple[str, ...] = (), **more: Any
) -> AsyncIterator[NatsWorker]:
    drain_timeout = more.pop("drain_timeout", PATIENCE)
    async with Core(settings(emulator.url), Path("/nonexistent")) as core:
        guard = Guard.of([], [], [Secret(key) for key in keys])
        worker = NatsWorker(Front(core.exchange, guard), NatsConfig(server=server.url, **more), drain_timeout)
        await worker.start()
        try:
            yield worker
        finally:
            await worker.stop()


def _text(chunks: list[Msg]) -> str:
    return "".join(json.loads(chunk.data)["choices"][0]["delta"].get("content") or "" for chunk in chunks)


# --- questions and answers --------------------------------------------------------------------------------


async def test_text_is_answered_with_text(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        answer = await request(connection, b"Count from 1 to 3")
        assert answer.data == b"1 2 3"
        assert answer.headers == {STATUS: "200"}


async def test_json_is_answered_as_over_http(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        completion = json.loads((await request(connection, chat("Count from 1 to 3"))).data)
        assert completion["object"] == "chat.completion"
        assert completion["choices"][0]["message"]["content"] == "1 2 3"
        asked = json.dumps({"model": "auto", "input": "Count from 1 to 3"}).encode()
        response = json.loads((await request(connection, asked)).data)
        assert response["output"][-1]["content"][0]["text"] == "1 2 3"
        asked = json.dumps({"model": "auto", "prompt": "Count from 1 to 3"}).encode()
        assert json.loads((await request(connection, asked)).data)["choices"][0]["text"] == "1 2 3"


async def test_a_stream_is_a_message_a_chunk_and_an_empty_end(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        *chunks, end = await streamed(connection, chat("Count from 1 to 30", stream=True))
        assert _text(chunks) == " ".join(map(str, range(1, 31)))
        numbers = [message.headers[SEQUENCE] for message in (*chunks, end)]
        assert numbers == [str(number) for number in range(1, len(chunks) + 2)]
        assert end.headers[STATUS] == "200"
        assert code(end) is None


async def test_responses_are_streamed_as_events(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        asked = json.dumps({"model": "auto", "input": "Count from 1 to 3", "stream": True}).encode()
        *events, end = await streamed(connection, asked)
        kinds = [json.loads(event.data)["type"] for event in events]
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        assert end.headers[STATUS] == "200"


async def test_the_owner_comes_from_the_authorization_header(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        made = json.dumps({"model": "auto", "input": "Hello"}).encode()
        first = json.loads((await request(connection, made, Authorization="Bearer ann")).data)["id"]
        again = json.dumps({"model": "auto", "input": "Hello", "previous_response_id": first}).encode()
        assert code(await request(connection, again, Authorization="Bearer ann")) is None
        assert code(await request(connection, again, Authorization="Bearer bob")) in ("400", "404")


async def test_client_keys_are_demanded_where_they_are_set(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator, keys=("a-key",)), client(server) as connection:
        assert code(await request(connection, b"Hello")) == "401"
        assert code(await request(connection, b"Hello", Authorization="Bearer a-key")) is None


async def test_headers_of_the_request_do_not_come_back(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        for body in (b"Hello", b"", chat("Hello"), chat("Hello", model="none")):
            answer = await request(connection, body, Authorization="Bearer very-secret")
            assert "very-secret" not in str(answer.headers)
            assert "Authorization" not in answer.headers


async def test_what_changes_nothing_is_named(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        answer = await request(connection, chat("Hello", seed=1))
        assert answer.headers["x-cw-proxy-ignored"] == "seed"


async def test_a_request_without_reply_asks_nobody(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        await connection.publish(SUBJECT, b"Hello")
        assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
        assert emulator.stats.requests == 1


# --- errors -----------------------------------------------------------------------------------------------


async def test_errors_are_text_for_text_and_json_for_json(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        empty = await request(connection, b" ")
        assert (empty.data, code(empty)) == (b"The text is empty.", "400")
        assert empty.headers["Nats-Service-Error"] == "The text is empty."
        unknown = await request(connection, chat("Hello", model="none-such"))
        assert json.loads(unknown.data)["error"]["code"] == "model_not_found"
        assert (code(unknown), unknown.headers[STATUS]) == ("404", "404")


async def test_a_refused_stream_ends_as_streams_do(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        error, end = await streamed(connection, chat("Hello", model="none-such", stream=True))
        assert json.loads(error.data)["error"]["code"] == "model_not_found"
        assert code(error) == code(end) == "404"
        error, end = await streamed(connection, chat("Hello", stream=True, messages="none"))
        assert code(error) == code(end) == "400"


async def test_an_error_within_a_stream_is_in_its_end(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        asked = chat("Break the stream after 1 pieces by drop. Count from 1 to 30", stream=True)
        *chunks, end = await streamed(connection, asked)
        assert json.loads(chunks[-1].data)["error"]["type"] == "upstream_error"
        assert code(end) == end.headers[STATUS] == "502"


async def test_an_answer_that_takes_too_long(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["hang"] = HANG
    async with working(server, emulator, timeout=0.2), client(server) as connection:
        assert code(await request(connection, b"play the script hang")) == "504"
        *chunks, end = await streamed(connection, chat("play the script hang", stream=True))
        assert chunks
        assert code(end) == "504"
        await until(lambda: emulator.stats.in_flight == 0, "the calls are dropped")


# --- sizes ------------------------------------------------------------------------------------------------


async def test_an_answer_too_large_names_streaming(tmp_path: Path, emulator: Emulator) -> None:
    emulator.scripts["long"] = [{"text": "x" * 6000, "piece": 500}]
    with nats_server(tmp_path, "max_payload: 4096") as server:
        async with working(server, emulator) as worker, client(server) as connection:
            for body in (b"play the script long", chat("play the script long")):
                answer = await request(connection, body)
                assert code(answer) == "413"
                assert b"stream" in answer.data
            *chunks, end = await streamed(connection, chat("play the script long", stream=True))
            assert (_text(chunks), end.headers[STATUS]) == ("x" * 6000, "200")
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


# --- what is refused --------------------------------------------------------------------------------------


async def test_more_than_is_kept_waiting_is_refused(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["pause"] = [{"delay": 0.2}, {"text": "done"}]
    async with working(server, emulator, concurrency=1) as worker, client(server) as connection:
        [endpoint] = worker._service._endpoints
        endpoint._subscription._pending_bytes_limit = 100
        answers = await asyncio.gather(*(request(connection, b"play the script pause") for _ in range(12)))
        refused = [answer for answer in answers if code(answer) == "503"]
        assert {answer.data for answer in answers if answer not in refused} == {b"done"}
        assert {json.loads(answer.data)["error"]["code"] for answer in refused} == {"overloaded"}


STREAM = chat("Count from 1 to 9", stream=True)
POISON = {
    "a reply subject": b"PUB openai_requests \xff\xfe 2\r\nhi\r\n",
    "a status": b"HPUB openai_requests here 15 17\r\nNATS/1.0 \xff\xff\r\n\r\nhi\r\n",
    "no headers": b"HPUB openai_requests here 8 10\r\nNATS/1.0hi\r\n",
    "white space in a reply subject": b"PUB openai_requests a\x0bb 1\r\n \r\n",
    "white space, and much behind it": b"PUB openai_requests a\x0cb 5000\r\n" + b" " * 5000 + b"\r\n",
    "the same for everybody": b"PUB $SRV.PING a\x0bb 5000\r\n" + b" " * 5000 + b"\r\n",
    "a long reply subject": b"PUB openai_requests " + b"x" * 4000 + b" %d\r\n%s\r\n" % (len(STREAM), STREAM),
    "another worker's inbox": b"PUB openai_requests _INBOX.cw-proxy.x.y %d\r\n%s\r\n" % (len(STREAM), STREAM),
}


@pytest.mark.parametrize("case", POISON)
async def test_a_message_that_cannot_be_read_does_no_harm(server: NatsServer, emulator: Emulator, case: str) -> None:
    async with working(server, emulator) as worker, client(server) as connection, wire(server.url) as bad:
        answers = await connection.subscribe("here")
        await connection.flush()
        await connection.flush()
        await bad.until(b"INFO")
        await bad.send(b'CONNECT {"headers":true}\r\n' + POISON[case])
        if b" here " in POISON[case]:
            assert code(await answers.next_msg(PATIENCE)) == "400"
        else:
            await bad.send(b"PING\r\n")
            await bad.until(b"PONG")
        assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
        assert emulator.stats.requests == 1
        assert worker._line._breaks == 0


async def test_an_answer_to_ourselves_is_none(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        await connection.publish(SUBJECT, chat("Count from 1 to 9", stream=True), reply=SUBJECT)
        assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
        assert emulator.stats.requests == 1


async def test_a_subject_that_is_not_permitted(tmp_path: Path, emulator: Emulator) -> None:
    denied = f'permissions: {{ subscribe: {{ deny: "{SUBJECT}" }} }}'
    with nats_server(tmp_path, f"authorization {{ users: [{{ user: a, password: b, {denied} }}] }}") as server:
        server.url = server.url.replace("//", "//a:b@")
        with pytest.raises(NatsRefused, match=f"does not permit us to subscribe to '{SUBJECT}'"):
            async with working(server, emulator):
                pass


# --- many at once -----------------------------------------------------------------------------------------


async def test_a_slow_request_holds_nobody_up(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["hang"] = HANG
    async with working(server, emulator), client(server) as connection:
        slow = asyncio.create_task(request(connection, b"play the script hang"))
        await until(lambda: emulator.stats.in_flight == 1, "the slow one is under way")
        assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
        assert not slow.done()
        slow.cancel()


async def test_no_more_at_once_than_allowed(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["pause"] = [{"delay": 0.05}, {"text": "done"}]
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, emulator.stats.in_flight)
            await asyncio.sleep(0.002)

    async with working(server, emulator, concurrency=3), client(server) as connection:
        watching = asyncio.create_task(watch())
        answers = await asyncio.gather(*(request(connection, b"play the script pause") for _ in range(12)))
        watching.cancel()
    assert [answer.data for answer in answers] == [b"done"] * 12
    assert most == 3


async def test_each_request_goes_to_one_of_a_group(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), working(server, emulator), client(server) as connection:
        for _ in range(10):
            await request(connection, b"Hello")
        assert emulator.stats.requests == 10


async def test_the_service_tells_its_numbers(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["pause"] = [{"delay": 0.1}, {"text": "done"}]
    async with working(server, emulator), client(server) as connection:
        await request(connection, b"play the script pause")
        await request(connection, b"")
        told = json.loads((await connection.request("$SRV.STATS.cw-proxy", b"", timeout=PATIENCE)).data)
        [endpoint] = told["endpoints"]
        assert (endpoint["subject"], endpoint["queue_group"]) == (SUBJECT, "cw-proxy")
        assert (endpoint["num_requests"], endpoint["num_errors"]) == (2, 1)
        assert endpoint["last_error"] == "400:invalid_request"
        assert endpoint["processing_time"] >= 100_000_000
        assert endpoint["data"] == {"active": 0, "cancelled": 0}
        info = json.loads((await connection.request("$SRV.INFO.cw-proxy", b"", timeout=PATIENCE)).data)
        assert info["endpoints"][0]["subject"] == SUBJECT


# --- clients that vanish, servers that go, the end --------------------------------------------------------


@pytest.mark.parametrize("leave", ["unsubscribe", "vanish"])
async def test_a_client_that_is_gone_ends_the_call(server: NatsServer, emulator: Emulator, leave: str) -> None:
    emulator.scripts["endless"] = ENDLESS
    async with working(server, emulator) as worker, client(server) as connection, client(server) as other:
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox)
        await connection.publish(SUBJECT, chat("play the script endless", stream=True), reply=inbox)
        await subscription.next_msg(PATIENCE)
        assert emulator.stats.in_flight == 1
        if leave == "unsubscribe":
            await subscription.unsubscribe()
        else:
            connection._transport._io_writer.transport.abort()
            await connection.close()
        await until(lambda: emulator.stats.cancelled_by_client == 1, "the service sees its client leave")
        assert worker._counts.cancelled == 1
        assert (await request(other, b"Count from 1 to 2")).data == b"1 2"


async def test_one_who_does_not_read_holds_nobody_up(server: NatsServer, emulator: Emulator) -> None:
    """63 who stream, and a subscriber whose socket is full: a worker's whole room."""
    emulator.scripts["flood"] = [{"repeat": 5000, "steps": [{"text": "x" * 4000, "piece": 4000}, {"delay": 0.002}]}]
    async with working(server, emulator) as worker, client(server) as connection, wire(server.url) as slow:
        ask = chat("play the script flood", stream=True)
        await slow.until(b"INFO")
        await slow.send(b'CONNECT {"headers":true,"no_responders":true}\r\nSUB slow 1\r\n')
        await slow.send(b"PUB %s slow %d\r\n%s\r\n" % (SUBJECT.encode(), len(ask), ask))
        await until(lambda: emulator.stats.in_flight == 1, "the flood has begun")
        answers = await asyncio.gather(
            *(streamed(connection, chat("Count from 1 to 30", stream=True)) for _ in range(63))
        )
        assert {_text(chunks) for *chunks, _ in answers} == {" ".join(map(str, range(1, 31)))}
        assert {end.headers[STATUS] for *_, end in answers} == {"200"}
        slow.vanish()
        await until(lambda: worker._counts.cancelled == 1, "the flood is over")


# --- servers that go --------------------------------------------------------------------------------------

DOWN = [{"delay": 0.3}, {"text": "done"}]


async def _asked(connection: Client, emulator: Emulator, number: int) -> list[asyncio.Task[Msg]]:
    """So many requests that are with the service, and their askers."""
    emulator.scripts["down"] = DOWN
    asking = [asyncio.create_task(request(connection, b"play the script down")) for _ in range(number)]
    await until(lambda: emulator.stats.in_flight == number, "all are under way")
    return asking


@pytest.mark.parametrize("patience", [0.1, 2.5])
async def test_what_is_in_hand_when_the_server_dies_is_answered(
    server: NatsServer, emulator: Emulator, patience: float
) -> None:
    """Askers that are back before the worker, and those that are back later, get their answer without asking again."""
    async with working(server, emulator) as worker, client(server, reconnect_time_wait=patience) as connection:
        asking = await _asked(connection, emulator, 30)
        server.kill()
        await until(lambda: emulator.stats.in_flight == 0, "the answers are there")
        server.start()
        assert [answer.data for answer in await asyncio.gather(*asking)] == [b"done"] * 30
        assert emulator.stats.requests == 30
        assert not worker.lost.is_set()


async def test_an_answer_that_the_server_did_not_take_is_sent_again(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker, client(server) as connection:
        asking = await _asked(connection, emulator, 5)
        # It stops reading: what is sent now dies with it.
        server.signal(signal.SIGSTOP)
        await until(lambda: len(worker._line._unconfirmed) == 5, "all answers are sent")
        server.kill()
        server.start()
        assert [answer.data for answer in await asyncio.gather(*asking)] == [b"done"] * 5
        await until(lambda: not worker._line._unconfirmed, "the new server has taken them")


async def test_a_stream_in_a_pause_survives_the_server(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["pause"] = [{"text": "before "}, {"delay": 0.5}, {"text": "after"}]
    async with working(server, emulator) as worker, client(server) as connection:
        asking = asyncio.create_task(streamed(connection, chat("play the script pause", stream=True)))
        await until(lambda: worker._line._unconfirmed, "the first part is sent")
        await until(lambda: not worker._line._unconfirmed, "the server has taken it")
        server.kill()
        server.start()
        *chunks, end = await asking
        assert _text(chunks) == "before after"
        assert [message.headers[SEQUENCE] for message in (*chunks, end)] == list(map(str, range(1, len(chunks) + 2)))
        assert end.headers[STATUS] == "200"


async def test_a_stream_that_may_have_lost_a_part_says_so(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["endless"] = ENDLESS
    async with working(server, emulator) as worker, client(server) as connection:
        asking = asyncio.create_task(streamed(connection, chat("play the script endless", stream=True)))
        await until(lambda: worker._line._unconfirmed, "parts are sent")
        server.signal(signal.SIGSTOP)
        sent = len(worker._line._unconfirmed)
        await until(lambda: len(worker._line._unconfirmed) > sent + 3, "the server does not take them")
        server.kill()
        server.start()
        *chunks, end = await asking
        assert code(end) == end.headers[STATUS] == "503"
        assert json.loads(chunks[-1].data)["error"]["code"] == "nats_unavailable"
        await until(lambda: emulator.stats.in_flight == 0, "the call is dropped")


async def test_the_end_of_a_stream_is_not_lost(server: NatsServer, emulator: Emulator) -> None:
    """Its text and its end died with the server: there is an end all the same, and it does not look like a good one."""
    emulator.scripts["down"] = DOWN
    async with working(server, emulator) as worker, client(server) as connection:
        asking = asyncio.create_task(streamed(connection, chat("play the script down", stream=True)))
        await until(lambda: emulator.stats.in_flight == 1, "it is under way")
        server.signal(signal.SIGSTOP)
        await until(lambda: any(not parcel.body for parcel in worker._line._unconfirmed), "its end is sent")
        server.kill()
        server.start()
        [end] = await asking
        assert code(end) == "503"


async def test_an_asker_that_never_comes_back_is_given_up(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker:
        async with client(server) as connection:
            asking = await _asked(connection, emulator, 1)
            server.kill()
        server.start()
        await until(lambda: worker._line._returned > 0, "the server is back")
        assert worker._counts.active == 0  # it waits by itself
        worker._line._returned = 0.0  # long ago
        await until(lambda: not worker._line._repeating, "the answer is dropped")
        asking[0].cancel()
        async with client(server) as connection:
            assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"


async def test_a_connection_closed_for_good_is_lost(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker:
        await worker._line.client._process_err("'user authentication expired'")
        async with asyncio.timeout(PATIENCE):
            await worker.lost.wait()


async def test_what_a_new_connection_mends(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker, client(server) as connection:
        # More than the server takes: it says so, and ends the connection.
        await worker._line.client.publish(SUBJECT, b"x" * 1_048_576, headers={"a": "b"})
        await until(lambda: worker._line._returned > 0, "it is back")
        assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
        assert not worker.lost.is_set()


async def test_a_server_that_stalls(server: NatsServer, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """For longer than a flush waits: its late answer is no reason to go deaf."""
    monkeypatch.setattr(nats_client, "_FLUSH", 0.1)
    async with working(server, emulator) as worker, client(server) as connection:
        asking = await _asked(connection, emulator, 5)
        server.signal(signal.SIGSTOP)
        await until(lambda: len(worker._line._unconfirmed) == 5, "the answers are sent")
        late = len(worker._line.client._pongs)
        await until(lambda: len(worker._line.client._pongs) > late + 2, "flushes are given up")
        server.signal(signal.SIGCONT)
        assert [answer.data for answer in await asyncio.gather(*asking)] == [b"done"] * 5
        assert (await request(connection, b"Count from 1 to 2")).data == b"1 2"
        await until(lambda: not worker._line._unconfirmed, "the server has taken them")
        assert worker._line._breaks == 0


async def test_a_server_that_comes_back_with_a_smaller_limit(tmp_path: Path, emulator: Emulator) -> None:
    emulator.scripts["long"] = [{"delay": 0.3}, {"text": "x" * 5000, "piece": 5000}]
    with nats_server(tmp_path) as server:
        async with working(server, emulator) as worker, client(server) as connection:
            made = asyncio.create_task(request(connection, b"play the script long"))
            await until(lambda: emulator.stats.in_flight == 1, "it is under way")
            server.kill()
            server.configure("max_payload: 1000")
            server.start()
            assert code(await made) == "413"
            # What was sent already, and may be lost, is measured again as well.
            server.kill()
            server.configure("max_payload: 8000")
            server.start()
            await until(lambda: worker._line._breaks == 2 and worker._line._standing.is_set(), "the worker is back")
            await until(lambda: connection.is_connected, "the asker is back")
            sent = asyncio.create_task(request(connection, b"play the script long"))
            await until(lambda: emulator.stats.in_flight == 1, "it is under way")
            server.signal(signal.SIGSTOP)
            await until(lambda: worker._line._unconfirmed, "it is sent")
            server.kill()
            server.configure("max_payload: 1000")
            server.start()
            assert code(await sent) == "413"
            assert not worker.lost.is_set()


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


async def test_an_answer_waits_for_the_server_longer_than_it_may_take(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator, timeout=1.0), client(server) as connection:
        asking = await _asked(connection, emulator, 1)
        server.kill()
        await until(lambda: emulator.stats.in_flight == 0, "it is there")
        await asyncio.sleep(1)
        server.start()
        assert (await asking[0]).data == b"done"


async def test_a_stream_whose_time_runs_out_while_the_server_is_away(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["endless"] = ENDLESS
    async with working(server, emulator, timeout=1.0) as worker, client(server) as connection:
        asking = asyncio.create_task(streamed(connection, chat("play the script endless", stream=True)))
        await until(lambda: worker._line._unconfirmed, "parts are sent")
        server.signal(signal.SIGSTOP)
        await until(lambda: worker._line._unconfirmed, "the server does not take them")
        server.kill()
        await until(lambda: emulator.stats.in_flight == 0, "its time is over")
        server.start()
        assert code((await asking)[-1]) in ("503", "504")


async def test_draining_answers_what_was_delivered(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["pause"] = [{"delay": 0.2}, {"text": "done"}]
    async with working(server, emulator, concurrency=5) as worker, client(server) as connection:
        asked = [asyncio.create_task(request(connection, b"play the script pause")) for _ in range(20)]
        await until(lambda: emulator.stats.in_flight == 5, "some are under way")
        assert await worker.drain()
        assert [answer.data for answer in await asyncio.gather(*asked)] == [b"done"] * 20
        assert not worker.lost.is_set()


async def test_draining_throws_nothing_away(server: NatsServer, emulator: Emulator) -> None:
    """Requests keep coming while one worker after the other leaves."""
    emulator.scripts["pause"] = [{"delay": 0.01}, {"text": "done"}]
    answered, going = 0, True

    async def keep_asking(connection: Client) -> None:
        nonlocal answered
        while going:
            assert (await request(connection, b"play the script pause")).data == b"done"
            answered += 1

    async with client(server) as connection, working(server, emulator):
        asking = [asyncio.create_task(keep_asking(connection)) for _ in range(20)]
        for _ in range(20):
            async with working(server, emulator) as leaving:
                goal = answered + 10
                await until(lambda: answered > goal, "requests are answered")  # noqa: B023
                assert await leaving.drain()
        going = False
        await asyncio.gather(*asking)


async def test_draining_waits_for_a_server_that_is_away(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker, client(server) as connection:
        asking = await _asked(connection, emulator, 5)
        server.kill()
        await until(lambda: not worker._line.client.is_connected, "the worker has noticed")
        draining = asyncio.create_task(worker.drain())
        await until(lambda: emulator.stats.in_flight == 0, "the answers are there")
        server.start()
        assert [answer.data for answer in await asyncio.gather(*asking)] == [b"done"] * 5
        assert await draining
        assert not worker.lost.is_set()


async def test_draining_has_an_end(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["hang"] = HANG
    async with working(server, emulator, drain_timeout=0.2) as worker, client(server) as connection:
        asked = asyncio.create_task(request(connection, b"play the script hang"))
        await until(lambda: emulator.stats.in_flight == 1, "it is under way")
        assert not await worker.drain()
        await worker.stop()
        await until(lambda: emulator.stats.in_flight == 0, "the call is dropped")
        asked.cancel()
