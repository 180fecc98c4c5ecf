"""Seeds and certificates: what is read from their files, and what is said of files that are wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from nats_peers import Site

from cw_proxy.errors import ConfigError
from cw_proxy.nats_settings import NatsConfig, Tls
from cw_proxy.transports.nats_link.credentials import context_of, seed_of


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


def test_files_that_are_right(site: Site) -> None:
    assert seed_of(site.config()) == site.key.seed
    assert context_of(site.config().tls) is not None


def test_nothing_is_named() -> None:
    assert seed_of(NatsConfig()) is None
    assert context_of(Tls()) is None


@pytest.mark.parametrize(
    "path",
    ["SU" + "A" * 56, "/tmp/SU" + "A" * 56, "-----BEGIN PRIVATE KEY-----\nx\n", "very-secret", "a\0b", "x" * 300],
)
def test_what_should_stand_in_a_file_is_not_repeated(path: str) -> None:
    for config in (NatsConfig(nkey_seed_file=path), NatsConfig(tls=Tls(True, ca=path))):
        with pytest.raises(ConfigError) as raised:
            seed_of(config)
            context_of(config.tls)
        assert path not in raised.value.message
        assert "cannot be read" in raised.value.message


BROKEN: dict[str, tuple[Callable[[Site], NatsConfig], str]] = {
    "a missing seed": (lambda site: site.config(nkey_seed_file="/none/seed.nk"), "/none/seed.nk cannot be read"),
    "a folder as a seed": (lambda site: site.config(nkey_seed_file=str(site.folder)), "cannot be read"),
    "no seed at all": (lambda site: site.config(nkey_seed_file=str(site.ours.ca)), "holds no user's seed"),
    "half a seed": (lambda site: site.config(nkey_seed_file=_half(site)), "holds no user's seed"),
    "a missing authority": (lambda site: site.config(tls=site.tls(ca="/none/ca.pem")), "'tls.ca' /none/ca.pem"),
    "a missing certificate": (lambda site: site.config(tls=site.tls(cert="/none/c.pem")), "'tls.cert' /none/c.pem"),
    "a missing key": (lambda site: site.config(tls=site.tls(key="/none/k.pem")), "'tls.key' /none/k.pem"),
    "no authority in it": (lambda site: site.config(tls=site.tls(ca=site.key.file)), "'tls.ca'"),
    "no certificate in it": (lambda site: site.config(tls=site.tls(cert=site.key.file)), "'tls.cert'"),
    "another's key": (lambda site: site.config(tls=site.tls(key=site.foreign.key)), "'tls.key'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_wrong_is_one_clear_line(site: Site, case: str) -> None:
    make, words = BROKEN[case]
    config = make(site)
    with pytest.raises(ConfigError) as raised:
        seed_of(config)
        context_of(config.tls)
    said = raised.value.message
    assert words in said
    assert "\n" not in said
    assert site.key.seed[:12] not in said


def _half(site: Site) -> str:
    file = site.folder / "half.nk"
    file.write_text(site.key.seed[:20])
    return str(file)
