"""Connections to a real NATS server: keys and certificates that fit, and those that do not. And the small client
against a service of nats-py's own: what it gives out, and what it refuses to send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from nats_peers import SUBJECT, Site, client, nats_server
from servers import until

from cw_proxy.errors import NatsRefused, NatsUnavailable, ProxyError, RequestTooLarge, UpstreamTimeout
from cw_proxy.nats_settings import NatsConfig, Tls
from cw_proxy.transports.nats_out import Watch, asked, connect


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


async def test_an_nkey_and_certificates_are_accepted(site: Site) -> None:
    with nats_server(site.folder, site.strict) as server:
        for scheme in ("nats", "tls"):
            connection = await connect(site.config(server=f"{scheme}://127.0.0.1:{server.port}"))
            await connection.flush()
            await connection.close()


async def test_a_seed_with_a_frame_around_it(site: Site) -> None:
    framed = site.folder / "framed.nk"
    framed.write_text(f"-----BEGIN USER NKEY SEED-----\n{site.key.seed}\n------END USER NKEY SEED------\n")
    with nats_server(site.folder, site.strict) as server:
        connection = await connect(site.config(server=server.url, nkey_seed_file=str(framed)))
        await connection.close()


REFUSED: dict[str, tuple[Callable[[Site], NatsConfig], str]] = {
    "a wrong nkey": (lambda site: site.config(nkey_seed_file=str(site.other_key.file)), "does not accept this nkey"),
    "no nkey": (lambda site: site.config(nkey_seed_file=None), "set nkey_seed_file"),
    "a foreign certificate": (
        lambda site: site.config(tls=site.tls(cert=site.foreign.cert, key=site.foreign.key)),
        "see tls.cert and tls.key",
    ),
    "no certificate": (lambda site: site.config(tls=site.tls(cert=None, key=None)), "see tls.cert and tls.key"),
    "no authority": (lambda site: site.config(tls=site.tls(ca=None)), "see tls.ca"),
    "a foreign authority": (lambda site: site.config(tls=site.tls(ca=site.foreign.ca)), "see tls.ca"),
    "no tls": (lambda site: site.config(tls=Tls()), "see tls"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_not_accepted_is_one_clear_line(site: Site, case: str) -> None:
    make, words = REFUSED[case]
    with nats_server(site.folder, site.strict) as server:
        config = make(site)
        error = await _failure(NatsConfig(**{**_members(config), "server": server.url}), NatsRefused)
    assert words in error.message
    assert f"127.0.0.1:{server.port}" in error.message
    _one_line(site, error)


async def test_nobody_there() -> None:
    error = await _failure(NatsConfig(server="nats://user:very-secret@127.0.0.1:9"), NatsUnavailable)
    assert error.message.startswith("The NATS server at 127.0.0.1:9 cannot be reached: ")
    assert "very-secret" not in error.message


async def test_one_that_breaks_off_once_is_tried_again(site: Site) -> None:
    """As a server that is just going down: code 7 would keep a supervisor from starting the worker again."""
    times = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal times
        times += 1
        writer.transport.abort()
        listening.close()

    listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    error = await _failure(site.config(server=f"nats://127.0.0.1:{port}"), NatsUnavailable)
    assert not isinstance(error, NatsRefused)
    assert times == 1


async def test_the_watch_is_told(tmp_path: Path) -> None:
    seen: list[str] = []

    class Told(Watch):
        async def disconnected(self) -> None:
            seen.append("disconnected")

        async def reconnected(self) -> None:
            seen.append("reconnected")

        async def closed(self) -> None:
            seen.append("closed")

    with nats_server(tmp_path) as server:
        connection = await connect(NatsConfig(server=server.url), Told())
        server.kill()
        await until(lambda: seen == ["disconnected"], "it breaks")
        server.start()
        await until(lambda: seen[-1] == "reconnected", "it stands again")
        await connection.close()
        await until(lambda: seen[-1] == "closed", "it is closed")


def _members(config: NatsConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__struct_fields__}


async def _failure(config: NatsConfig, kind: type[ProxyError]) -> ProxyError:
    with pytest.raises(kind) as raised:
        await connect(config)
    return raised.value


def _one_line(site: Site, error: ProxyError) -> None:
    assert "\n" not in error.message
    assert not any(key.seed[:12] in error.message for key in (site.key, site.other_key))


# --- asking ---------------------------------------------------------------------------------------------


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
