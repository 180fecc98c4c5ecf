"""Connections to a real NATS server: keys and certificates that fit, those that do not, and what counts as size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nats_peers import Certificates, Nkey, client, nats_server
from servers import PATIENCE, until

from cw_proxy.errors import ConfigError, NatsRefused, NatsUnavailable, ProxyError
from cw_proxy.nats_settings import NatsConfig, Tls
from cw_proxy.transports.nats_link import Watch, connect, size


class Site:
    """A folder of keys and certificates, and the configuration of a server that demands both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key, self.other_key = Nkey(folder), Nkey(folder, "other")
        self.ours, self.foreign = Certificates(folder), Certificates(folder, "foreign")
        self.strict = f"authorization {{ users: [{{ nkey: {self.key.public} }}] }}\n{self.ours.demanded}"

    def tls(self, **changes: Any) -> Tls:
        paths = {"ca": self.ours.ca, "cert": self.ours.cert, "key": self.ours.key, **changes}
        return Tls(True, **{name: str(path) for name, path in paths.items() if path is not None})

    def config(self, **changes: Any) -> NatsConfig:
        return NatsConfig(**{"nkey_seed_file": str(self.key.file), "tls": self.tls(), **changes})


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


BROKEN: dict[str, tuple[Callable[[Site], NatsConfig], str]] = {
    "a missing seed": (lambda site: site.config(nkey_seed_file="/none/seed.nk"), "/none/seed.nk cannot be read"),
    "a folder as a seed": (lambda site: site.config(nkey_seed_file=str(site.folder)), "cannot be read"),
    "no seed at all": (lambda site: site.config(nkey_seed_file=str(site.ours.ca)), "holds no user's seed"),
    "half a seed": (lambda site: site.config(nkey_seed_file=_half(site)), "holds no user's seed"),
    "a missing authority": (lambda site: site.config(tls=site.tls(ca="/none/ca.pem")), "'tls.ca', /none/ca.pem"),
    "a missing certificate": (lambda site: site.config(tls=site.tls(cert="/none/c.pem")), "'tls.cert', /none/c.pem"),
    "a missing key": (lambda site: site.config(tls=site.tls(key="/none/k.pem")), "'tls.key', /none/k.pem"),
    "no authority in it": (lambda site: site.config(tls=site.tls(ca=site.key.file)), "'tls.ca'"),
    "no certificate in it": (lambda site: site.config(tls=site.tls(cert=site.key.file)), "'tls.cert'"),
    "another's key": (lambda site: site.config(tls=site.tls(key=site.foreign.key)), "'tls.key'"),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_a_file_that_is_wrong_is_one_clear_line(site: Site, case: str) -> None:
    make, words = BROKEN[case]
    error = await _failure(make(site), ConfigError)
    assert words in error.message
    _one_line(site, error)


async def test_nobody_there() -> None:
    error = await _failure(NatsConfig(server="nats://user:very-secret@127.0.0.1:9"), NatsUnavailable)
    assert error.message.startswith("The NATS server at 127.0.0.1:9 cannot be reached: ")
    assert "very-secret" not in error.message


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


@pytest.mark.parametrize("headers", [None, {"a": "b"}, {"Cw-Sequence": "1", "Cw-Status": "200"}])
async def test_the_size_is_what_the_server_counts(tmp_path: Path, headers: dict[str, str] | None) -> None:
    limit = 4096
    body = b"x" * (limit - size(b"", headers))
    with nats_server(tmp_path, f"max_payload: {limit}") as server:
        async with client(server) as connection:
            subscription = await connection.subscribe("here")
            await connection.publish("here", body, headers=headers)
            assert (await subscription.next_msg(PATIENCE)).data == body
            if headers:
                await connection.publish("here", body + b"x", headers=headers)
                await until(lambda: connection.is_closed, "the server ends the connection")
    await asyncio.sleep(0)


def _members(config: NatsConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__struct_fields__}


def _half(site: Site) -> str:
    file = site.folder / "half.nk"
    file.write_text(site.key.seed[:20])
    return str(file)


async def _failure(config: NatsConfig, kind: type[ProxyError]) -> ProxyError:
    with pytest.raises(kind) as raised:
        await connect(config)
    return raised.value


def _one_line(site: Site, error: ProxyError) -> None:
    assert "\n" not in error.message
    assert not any(key.seed[:12] in error.message for key in (site.key, site.other_key))
