"""Connections to a real NATS server: keys and certificates that fit, and those that do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nats_peers import Site, nats_server
from servers import until

from cw_proxy.errors import NatsRefused, NatsUnavailable, ProxyError
from cw_proxy.nats_settings import NatsConfig, Tls
from cw_proxy.transports.nats_link.connection import Watch, connect


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
