"""The settings of `cw-proxy nats`: the documented file, what flags change, what is refused, and no value is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cw_proxy.errors import ConfigError
from cw_proxy.nats_settings import NatsConfig, Tls, address, inboxes_of, key_of, load
from cw_proxy.secret import Secret

DOCUMENTED = """
nats:
  server: "nats://localhost:4222"
  subject: "openai_requests"
  nkey_seed_file: "path/to/nkey_seed_file"
  tls:
    enabled: true
    cert: "path/to/cert.pem"
    key: "path/to/key.pem"
    ca: "path/to/ca.pem" # Optional
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def test_the_documented_file(tmp_path: Path) -> None:
    assert load(path=written(tmp_path, DOCUMENTED)) == NatsConfig(
        server="nats://localhost:4222",
        subject="openai_requests",
        nkey_seed_file="path/to/nkey_seed_file",
        tls=Tls(True, "path/to/cert.pem", "path/to/key.pem", "path/to/ca.pem"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "nats: {nkey_seed_file: seed.nk, openai_api_key: sk-1, engine: gpt}",
        "nats: {nkey: {seed_file: seed.nk}}\nopenai: {api_key: sk-1, engine: gpt}",
        "nats: {nkey_seed_file: seed.nk}\nopenai_api_key: sk-1\nengine: gpt",
    ],
)
def test_flat_and_nested(tmp_path: Path, text: str) -> None:
    expected = NatsConfig(nkey_seed_file="seed.nk", openai_api_key=Secret("sk-1"), engine="gpt")
    assert load(path=written(tmp_path, text)) == expected


def test_our_own_settings(tmp_path: Path) -> None:
    text = "nats: {queue_group: blue, concurrency: 3, timeout: 2.5, max_reply_bytes: 1000}"
    expected = NatsConfig(queue_group="blue", concurrency=3, timeout=2.5, max_reply_bytes=1000)
    assert load(path=written(tmp_path, text)) == expected


def test_flags_outrank_the_file(tmp_path: Path) -> None:
    flags = {"nats_server": "tls://b:1", "subject": "s", "nkey_seed_file": "n", "tls_ca": "mine", "engine": None}
    config = load({**flags, "openai_api_key": "sk-2"}, path=written(tmp_path, DOCUMENTED))
    assert (config.server, config.subject, config.nkey_seed_file, config.engine) == ("tls://b:1", "s", "n", None)
    assert config.tls == Tls(True, "path/to/cert.pem", "path/to/key.pem", "mine")
    assert config.openai_api_key == Secret("sk-2")


def test_a_certificate_on_the_command_line_means_tls() -> None:
    assert load({"tls_ca": "ca.pem"}).tls == Tls(True, ca="ca.pem")


def test_without_a_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load() == NatsConfig()
    written(tmp_path, "nats: {subject: found}")
    assert load().subject == "found"


REFUSED = [
    ("nats: [", "is not valid YAML, line 1."),
    ("nats:\n  openai_api_key: 'sk-very-secret\n", "is not valid YAML, line"),
    ("- a", "holds no settings"),
    ("nats: {subjekt: a}", "'subjekt'"),
    ("nats: {subjekt: a}", "Did you mean 'subject'?"),
    ("nats: {tls: {sert: a}}", "'tls.sert'"),
    ("nats: {nkey: {seed: a}}", "'nkey.seed'"),
    ("nat: {}", "Did you mean 'nats'?"),
    ("nats: sk-very-secret", "'nats'"),
    ("nats: {nkey_seed_file: a, nkey: {seed_file: b}}", "there twice"),
    ("nats: {engine: a}\nengine: b", "there twice"),
    ("nats: {concurrency: 0}", "concurrency"),
    ("nats: {timeout: soon}", "timeout"),
    ("nats: {subject: 'a.*'}", "subject"),
    ("nats: {subject: 'a b'}", "subject"),
    ("nats: {subject: '$SRV.PING'}", "subject"),
    ("nats: {openai_api_key: 'sk-very-secret ä'}", "openai_api_key"),
    ("nats: {openai_api_key: 12345678}", "openai_api_key"),
    ("nats: {server: 'http://a'}", "'server'"),
    ("nats: {server: 'nats://u:sk-very-secret@a:x'}", "'server'"),
    ("nats: {tls: {enabled: true, cert: a}}", "'tls.key'"),
    ("nats: {tls: yes}", "'tls'"),
]


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_what_is_wrong_is_one_line_without_values(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(path=written(tmp_path, text))
    message = raised.value.message
    assert words in message
    assert "\n" not in message
    assert "sk-very-secret" not in message
    assert "12345678" not in message


@pytest.mark.parametrize("content", [None, b"\xff"])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "named.yaml"
    if content:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"named\.yaml"):
        load(path=file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path=tmp_path)


@pytest.mark.parametrize(
    ("server", "place"),
    [("nats://a", "a:4222"), ("tls://u:p@b:1", "b:1"), ("nats://[::1]:5", "[::1]:5")],
)
def test_a_place_has_no_password(server: str, place: str) -> None:
    assert address(server) == place


def test_the_key_is_not_shown() -> None:
    settings: dict[str, Any] = {"openai_api_key": "sk-very-secret"}
    assert "sk-very-secret" not in repr(load(settings))


def test_inboxes() -> None:
    assert inboxes_of(None) == "_INBOX"
    assert inboxes_of("_INBOX.ann") == "_INBOX.ann"


@pytest.mark.parametrize("prefix", ["", "a.>", "a b", "a..b", "*", ".a", "a\n", "a\udcff"])
def test_a_prefix_that_is_none(prefix: str) -> None:
    with pytest.raises(ConfigError):
        inboxes_of(prefix)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nats: {subject: a, subject: b}", "is not valid YAML, line 1."),
        ("nats:\n  subject: a\nnats:\n  subject: b", "is not valid YAML, line 3."),
        ('nats: {"very-secret-0123456789-0123456789": 1}', "A name in"),
        ("nats: {SUADVERYSECRET: 1}", "A name in"),
        ("nats: {subjekt: 1}", "'subjekt'"),
    ],
)
def test_what_is_there_twice_or_is_no_name(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(path=written(tmp_path, text))
    assert words in raised.value.message
    assert "ecret" not in raised.value.message.lower()


def test_a_merge_of_yaml_is_no_double(tmp_path: Path) -> None:
    text = "nats:\n  <<: &a {subject: a}\n  tls: {<<: {enabled: true}, <<: {ca: b}}"
    assert load(path=written(tmp_path, text)).subject == "a"


def test_a_file_about_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "database: {host: a}")
    assert load(ours=False) == NatsConfig()
    with pytest.raises(ConfigError):
        load()
    with pytest.raises(ConfigError):
        load(path=Path("config.yaml"), ours=False)


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "\udcff", "a\r\nb"])
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(ConfigError):
        key_of(key)
