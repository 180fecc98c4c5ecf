"""The worker on a real NATS server, before the emulator: texts, JSON, streams, errors, many at once, and its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats_peers import (
    SUBJECT,
    NatsServer,
    chat,
    client,
    code,
    nats_server,
    request,
    streamed,
    text_of,
    under_way,
    working,
)
from servers import PATIENCE, until, wire

from cw_proxy.emulator import Emulator
from cw_proxy.errors import NatsRefused
from cw_proxy.record import Entry, Recorder
from cw_proxy.wire.nats_message import SEQUENCE, STATUS


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as running:
        yield running


HANG = [{"text": "First. "}, {"hang": True}]
BROKEN = "Break the stream after 1 pieces by drop. Count from 1 to 30"
ENDLESS = [{"repeat": 100_000, "steps": [{"text": "More. "}, {"delay": 0.01}]}]


# --- questions and answers --------------------------------------------------------------------------------


async def test_text_is_answered_withtext_of(server: NatsServer, emulator: Emulator) -> None:
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
        assert text_of(chunks) == " ".join(map(str, range(1, 31)))
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
        assert [message.headers[SEQUENCE] for message in (error, end)] == ["1", "2"]
        error, end = await streamed(connection, chat("Hello", stream=True, messages="none"))
        assert code(error) == code(end) == "400"


async def test_an_error_within_a_stream_is_in_its_end(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator), client(server) as connection:
        *chunks, end = await streamed(connection, chat(BROKEN, stream=True))
        assert json.loads(chunks[-1].data)["error"]["type"] == "upstream_error"
        assert code(end) == end.headers[STATUS] == "502"


async def test_an_answer_that_takes_too_long(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["hang"] = HANG
    async with working(server, emulator, timeout=0.2), client(server) as connection:
        assert code(await request(connection, b"play the script hang")) == "504"
        *chunks, end = await streamed(connection, chat("play the script hang", stream=True))
        assert json.loads(chunks[-1].data)["error"]["code"] == "upstream_timeout"
        assert code(end) == "504"
        await until(lambda: emulator.stats.in_flight == 0, "the calls are dropped")


# --- what has no room -------------------------------------------------------------------------------------


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
        assert worker._outbox._breaks == 0


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


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"Count from 1 to 3", {"status": 200, "outcome": "ok", "stream": False, "finish": "stop"}),
        (chat("Count from 1 to 3", stream=True), {"status": 200, "outcome": "ok", "stream": True, "finish": "stop"}),
        (chat("Hello", model="none-such"), {"status": 404, "outcome": "model_not_found", "model_asked": "none-such"}),
        (b" ", {"status": 400, "outcome": "invalid_request", "model_asked": None}),
        (chat(BROKEN, stream=True), {"status": 502, "stream": True, "finish": None}),
    ],
)
async def test_each_request_is_recorded(
    server: NatsServer, emulator: Emulator, body: bytes, expected: dict[str, object]
) -> None:
    entries: list[Entry] = []
    async with working(server, emulator, recorder=Recorder([entries.append])), client(server) as connection:
        await (streamed(connection, body) if b'"stream"' in body else request(connection, body))
        await until(lambda: entries, "it is over")
    [entry] = map(msgspec.structs.asdict, entries)
    assert entry.items() >= {"method": "NATS", "route": SUBJECT, **expected}.items()
    assert (entry["tokens_source"] is not None) == (entry["status"] in (200, 502))


async def test_who_asked_is_recorded_and_that_they_left(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["endless"] = ENDLESS
    entries: list[Entry] = []
    async with working(server, emulator, recorder=Recorder([entries.append])), client(server) as connection:
        await request(connection, b"Hello", Authorization="Bearer ann", **{"User-Agent": "a-tool/1"})
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox)
        await connection.publish(SUBJECT, chat("play the script endless", stream=True), reply=inbox)
        await subscription.next_msg(PATIENCE)
        await subscription.unsubscribe()
        await until(lambda: len(entries) == 2, "both are over")
    known, gone = entries
    assert (known.agent, len(known.key or "")) == ("a-tool/1", 8)
    assert (gone.outcome, gone.status, gone.key) == ("client_gone", 499, None)


# --- clients that vanish --------------------------------------------------------


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
        assert {text_of(chunks) for *chunks, _ in answers} == {" ".join(map(str, range(1, 31)))}
        assert {end.headers[STATUS] for *_, end in answers} == {"200"}
        slow.vanish()
        await until(lambda: worker._counts.cancelled == 1, "the flood is over")


# --- the end -----------------------------------------------------------------------------------------------


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
                await until(lambda goal=answered + 10: answered > goal, "requests are answered")
                assert await leaving.drain()
        going = False
        await asyncio.gather(*asking)


async def test_draining_waits_for_a_server_that_is_away(server: NatsServer, emulator: Emulator) -> None:
    async with working(server, emulator) as worker, client(server) as connection:
        asking = await under_way(connection, emulator, 5)
        server.kill()
        await until(lambda: not worker._outbox.client.is_connected, "the worker has noticed")
        draining = asyncio.create_task(worker.drain())
        await until(lambda: emulator.stats.in_flight == 0, "the answers are there")
        server.start()
        assert [answer.data for answer in await asyncio.gather(*asking)] == [b"done"] * 5
        assert await draining
        assert not worker.lost.is_set()


async def test_draining_has_an_end(server: NatsServer, emulator: Emulator) -> None:
    """Askers are told: those whose answer is broken off, within it or before it, and those who still waited."""
    emulator.scripts["hang"] = HANG
    hanging = chat("play the script hang", stream=True)
    async with working(server, emulator, concurrency=2, drain_timeout=0.2) as worker, client(server) as connection:
        whole = asyncio.create_task(request(connection, b"play the script hang"))
        within = asyncio.create_task(streamed(connection, hanging))
        await until(lambda: emulator.stats.in_flight == 2, "they are under way")
        waiting = [asyncio.create_task(streamed(connection, hanging)) for _ in range(3)]
        await until(lambda: worker._service._endpoints[0]._subscription._pending_queue.qsize() == 2, "more wait")
        assert not await worker.drain()
        await worker.stop()
        await until(lambda: emulator.stats.in_flight == 0, "the calls are dropped")
        answers = [[await whole], await within, *[await each for each in waiting]]
        assert [code(messages[-1]) for messages in answers] == ["503"] * 5
        assert b"shutting_down" in answers[-1][0].data
        assert emulator.stats.requests == 2
