"""The small client against a service of nats-py's own: what it gives out, and what it refuses to send."""

from __future__ import annotations

from pathlib import Path

import pytest
from nats.aio.msg import Msg
from nats_peers import SUBJECT, client, nats_server

from cw_proxy.errors import NatsRefused, NatsUnavailable, ProxyError, RequestTooLarge, UpstreamTimeout
from cw_proxy.nats_settings import NatsConfig
from cw_proxy.transports.nats_out import asked


async def answers(folder: Path, body: bytes, *, streamed: bool = False) -> list[bytes]:
    """A service that answers by the request: parts, numbered or not, an error, or nothing."""
    with nats_server(folder, "max_payload: 4096") as server:
        async with client(server) as connection:

            async def reply(message: Msg) -> None:
                for part in message.data.split(b",") if message.data != b"silence" else []:
                    number, colon, numbered = part.partition(b":")
                    headers = {"Cw-Sequence": number.decode()} if colon else None
                    if part == b"no":
                        headers = {"Nats-Service-Error": "No.", "Nats-Service-Error-Code": "418"}
                    if part == b"whole":
                        headers = {"Cw-Status": "200"}
                    await connection.publish(message.reply, numbered if colon else part, headers=headers)

            await connection.subscribe(SUBJECT, cb=reply)
            await connection.flush()
            await connection.flush()
            config = NatsConfig(server=server.url, timeout=0.3)
            return [data async for data in asked(config, body, {"a": "b"}, streamed=streamed)]


async def test_a_whole_answer_is_one_message(tmp_path: Path) -> None:
    assert await answers(tmp_path, b"one,two") == [b"one"]


async def test_a_stream_ends_with_an_empty_message(tmp_path: Path) -> None:
    assert await answers(tmp_path, b"one,two,,three", streamed=True) == [b"one", b"two"]


async def test_a_body_that_is_answered_whole_has_no_stream_to_wait_for(tmp_path: Path) -> None:
    assert await answers(tmp_path, b"whole", streamed=True) == [b"whole"]


@pytest.mark.parametrize(("body", "error"), [(b"one,no", ProxyError), (b"silence", UpstreamTimeout)])
async def test_what_goes_wrong(tmp_path: Path, body: bytes, error: type[ProxyError]) -> None:
    with pytest.raises(error):
        await answers(tmp_path, body, streamed=True)


async def test_a_gap_in_a_stream_is_an_error(tmp_path: Path) -> None:
    assert await answers(tmp_path, b"1:one,2:two,3:", streamed=True) == [b"one", b"two"]
    with pytest.raises(ProxyError, match="message 3 came where 2 was to come"):
        await answers(tmp_path, b"1:one,3:three,4:", streamed=True)
    with pytest.raises(ProxyError, match="message 4 came where 3 was to come"):
        await answers(tmp_path, b"1:one,2:two,4:", streamed=True)


@pytest.mark.parametrize("denied", ["publish: { deny: openai_requests }", 'subscribe: { deny: "_INBOX.>" }'])
async def test_what_the_server_does_not_permit(tmp_path: Path, denied: str) -> None:
    users = f"authorization {{ users: [{{ user: a, password: b, permissions: {{ {denied} }} }}] }}"
    with nats_server(tmp_path, users) as server, pytest.raises(NatsRefused, match="does not permit it: permissions"):
        config = NatsConfig(server=server.url.replace("//", "//a:b@"))
        [data async for data in asked(config, b"Hello", {}, streamed=False)]


async def test_inboxes_of_ones_own(tmp_path: Path) -> None:
    allowed = 'permissions: { publish: openai_requests, subscribe: "_INBOX.ann.>" }'
    with nats_server(tmp_path, f"authorization {{ users: [{{ user: a, password: b, {allowed} }}] }}") as server:
        config = NatsConfig(server=server.url.replace("//", "//a:b@"))
        with pytest.raises(NatsUnavailable, match="Nobody listens"):
            [data async for data in asked(config, b"Hello", {}, streamed=False, inboxes="_INBOX.ann")]


async def test_a_request_too_large_is_not_sent(tmp_path: Path) -> None:
    with pytest.raises(RequestTooLarge):
        await answers(tmp_path, b"x" * 4090)


async def test_nobody_listens(tmp_path: Path) -> None:
    with nats_server(tmp_path) as server, pytest.raises(NatsUnavailable, match="Nobody listens"):
        [data async for data in asked(NatsConfig(server=server.url), b"Hello", {}, streamed=False)]
