"""The relay's settings: sources and their order, what is refused, and that no message shows a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cw_proxy.errors import ConfigError
from cw_proxy.relay_settings import RelayConfig, RelaySettings, expand, load, seconds

KEY = {"OPENAI_API_KEY": "sk-very-secret"}


def written(path: Path, **settings: Any) -> Path:
    file = path / "relay.json"
    file.write_text(json.dumps(settings))
    return file


def refused(**settings: Any) -> str:
    with pytest.raises(ConfigError) as raised:
        load(settings, environment=KEY)
    assert "\n" not in raised.value.message
    return raised.value.message


def test_the_defaults_are_the_documented_ones() -> None:
    assert list(RelaySettings.__struct_fields__)[:7] == [
        "upstream_url", "auth_header", "auth_value", "shutdown_timeout", "listen_addr", "otel_endpoint",
        "otel_export_interval",
    ]  # fmt: skip
    config = load(environment=KEY)
    assert config == RelayConfig(
        upstream_url="wss://api.openai.com",
        auth_header="authorization",
        auth_value=config.auth_value,
        host="127.0.0.1",
        port=0,
        shutdown_timeout=5.0,
        otel_export_interval=1.0,
    )
    assert config.auth_value.reveal() == "Bearer sk-very-secret"
    assert "sk-very-secret" not in repr(config)


def test_flags_outrank_the_environment_which_outranks_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, auth_header="x-file", shutdown_timeout="1m", otel_endpoint="127.0.0.1:1")
    environment = {**KEY, "CW_RELAY_AUTH_HEADER": "x-variable", "CW_RELAY_SHUTDOWN_TIMEOUT": "2m"}
    config = load({"auth_header": "x-flag", "otel_endpoint": None}, path=file, environment=environment)
    assert (config.auth_header, config.shutdown_timeout, config.otel_endpoint) == ("x-flag", 120.0, "127.0.0.1:1")


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    file = written(tmp_path, upstream_url="ws://127.0.0.1:3000/")
    assert load(environment={**KEY, "CW_RELAY_CONFIG": str(file)}).upstream_url == "ws://127.0.0.1:3000"


def test_variables_become_lists_and_numbers() -> None:
    variables = {"CW_RELAY_API_KEYS": "one, two", "CW_RELAY_MAX_SESSIONS": "7", "CW_RELAY_ALLOWED_HOSTS": "a.example"}
    config = load(environment={**KEY, **variables})
    assert [key.reveal() for key in config.api_keys] == ["one", "two"]
    assert (config.max_sessions, config.allowed_hosts) == (7, ["a.example"])


@pytest.mark.parametrize(
    ("text", "total"),
    [("5s", 5.0), ("500ms", 0.5), ("1m30s", 90.0), ("1.5h", 5400.0), ("24h", 86400.0), ("1h1m1s1ms", 3661.001)],
)
def test_durations_are_written_as_go_writes_them(text: str, total: float) -> None:
    assert seconds("x", text) == pytest.approx(total)


@pytest.mark.parametrize("text", ["", "5", "5 s", "-5s", "0s", "s", "five", "1d", "25h", "5s!", "1e3s", "5S"])
def test_other_durations_are_refused(text: str) -> None:
    assert "shutdown_timeout" in refused(shutdown_timeout=text)


# --- the upstream's key -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Bearer ${A}", "Bearer first"),
        ("${A}", "first"),
        ("${A}-${B}", "first-second"),
        ("literal", "literal"),
        ("${C}", "${A}"),
    ],
)
def test_variables_are_put_into_the_value(text: str, value: str) -> None:
    assert expand(text, {"A": "first\n", "B": " second", "C": "${A}"}).reveal() == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Bearer ${NOT_SET}", "NOT_SET"),
        ("Bearer ${EMPTY}", "EMPTY"),
        ("Bearer ${BLANK}", "BLANK"),
        ("Bearer $SECRET", "$ that is not"),
        ("Bearer ${SECRET", "$ that is not"),
        ("Bearer ${1}", "$ that is not"),
        ("", "empty"),
        ("Bearer ${SECRET}\r\nx: y", "printable"),
        ("Bearer ${ACCENT}", "printable"),
    ],
)
def test_half_a_key_is_an_error_that_does_not_show_it(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        expand(text, {"SECRET": "sk-secret", "EMPTY": "", "BLANK": "  ", "ACCENT": "sk-sécret"})
    assert words in raised.value.message
    assert "sk-s" not in raised.value.message
    assert "\n" not in raised.value.message


# --- addresses and the rest -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:0", "127.0.0.1", 0), ("localhost:80", "localhost", 80), ("[::1]:9000", "::1", 9000)],
)
def test_loopback_needs_no_client_key(text: str, host: str, port: int) -> None:
    config = load({"listen_addr": text}, environment=KEY)
    assert (config.host, config.port) == (host, port)


@pytest.mark.parametrize("text", ["0.0.0.0:80", ":80", "[::]:80", "192.0.2.1:80", "relay.example:80"])
def test_any_other_address_does(text: str) -> None:
    assert "--api-key" in refused(listen_addr=text)
    assert load({"listen_addr": text, "api_keys": ["key"]}, environment=KEY).port == 80


REFUSED: list[tuple[str, Any]] = [
    ("listen_addr", "127.0.0.1"),
    ("listen_addr", "127.0.0.1:http"),
    ("listen_addr", "127.0.0.1:65536"),
    ("listen_addr", "::1:80"),
    ("listen_addr", "[::1:80"),
    ("listen_addr", 80),
    ("upstream_url", "https://api.openai.com"),
    ("upstream_url", "api.openai.com"),
    ("upstream_url", "ws://api.openai.com"),
    ("upstream_url", "wss://user:password@api.openai.com"),
    ("upstream_url", "wss://api.openai.com?key=1"),
    ("upstream_url", "wss://[api"),
    ("upstream_url", "wss://api.openai.com:0"),
    ("upstream_url", "wss://"),
    ("auth_header", ""),
    ("auth_header", "x y"),
    ("auth_header", "x:\r\n"),
    ("otel_endpoint", "collector"),
    ("otel_endpoint", "unix:///socket:1"),
    ("otel_endpoint", "http://"),
    ("otel_endpoint", "[::1"),
    ("otel_export_interval", "1"),
    ("api_keys", [""]),
    ("api_keys", ["two words"]),
    ("api_keys", "not a list"),
    ("max_sessions", 0),
    ("max_message_bytes", "many"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_what_is_wrong_is_named(name: str, value: Any) -> None:
    message = refused(**{name: value})
    assert name in message
    assert "password" not in message


def test_unknown_settings_are_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="upstream_url"):
        load(path=written(tmp_path, upstreamurl="x"), environment=KEY)
    with pytest.raises(ConfigError, match="auth_value"):
        load(environment={**KEY, "CW_RELAY_AUTH_VALU": "x"})


@pytest.mark.parametrize("content", [b"", b"[]", b'{"upstream_url": ', b"upstream_url: x", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_json_object_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "relay.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="not a JSON object"):
        load(path=file, environment=KEY)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"/nonexistent/relay\.json"):
        load(path=Path("/nonexistent/relay.json"), environment=KEY)


PAGE = (Path(__file__).parent.parent / "docs/how-to/relay.md").read_text()


@pytest.mark.parametrize("name", RelaySettings.__struct_fields__)
def test_each_setting_is_documented_with_its_default(name: str) -> None:
    default = getattr(RelaySettings(), name)
    shown = f"`{default}`" if default else "none"
    assert f"| `{name}` | `CW_RELAY_{name.upper()}` | {shown} | " in PAGE
