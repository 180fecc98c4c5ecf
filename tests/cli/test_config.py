"""`cw-proxy config`: what is in force, where it came from, whether it is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from cw_proxy.cli.root import cli
from cw_proxy.errors import ConfigError

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tmp_path: Path) -> Invoke:
    """`cw-proxy config ...` with this home and these variables; our errors come out as they are."""

    def run(*arguments: str, **environment: str) -> Result:
        variables = {"CW_PROXY_HOME": str(tmp_path), "CW_PROXY_CONFIG": None, "PORT": None, **environment}
        return CliRunner().invoke(cli, ["config", *arguments], env=variables)

    return run


def shown(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_everything_has_a_default(invoke: Invoke) -> None:
    values = shown(invoke("show", "--json"))
    assert (values["host"], values["port"], values["api_keys"]) == ("127.0.0.1", 3000, [])


def test_the_environment_outranks_the_file_and_the_named_file_the_usual_one(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("port = 1111\nmax_streams = 11\nping_interval = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("port = 2222\nmax_streams = 22\n")
    named = ["show", "--json", "--config", str(other)]
    cases: list[tuple[Result, tuple[object, ...]]] = [
        (invoke("show", "--json"), (1111, 11, 1.0)),
        (invoke("show", "--json", PORT="3333"), (3333, 11, 1.0)),
        (invoke("show", "--json", CW_PROXY_CONFIG=str(other)), (2222, 22, 10.0)),
        (invoke(*named), (2222, 22, 10.0)),
        (invoke(*named, CW_PROXY_MAX_STREAMS="33"), (2222, 33, 10.0)),
    ]
    for result, expected in cases:
        values = shown(result)
        assert (values["port"], values["max_streams"], values["ping_interval"]) == expected


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_secrets_are_masked(invoke: Invoke, options: list[str]) -> None:
    secrets = {"CW_PROXY_ACCESS_TOKEN": "canary-token", "CW_PROXY_API_KEYS": "canary-one,canary-two"}
    result = invoke("show", *options, **secrets)
    assert result.exit_code == 0
    assert "canary" not in result.output
    assert result.output.count("***") == 3


def test_the_paths(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("path").output == f"{tmp_path / 'config.toml'}\n"
    assert shown(invoke("path", "--json")) == {"config": str(tmp_path / "config.toml"), "home": str(tmp_path)}
    assert shown(invoke("path", "--json", CW_PROXY_CONFIG="/etc/x.toml"))["config"] == "/etc/x.toml"


def test_what_is_right_is_said_to_be(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[aliases]\nmine = "claude-sonnet-4.5"\n')
    result = invoke("validate")
    assert (result.exit_code, result.output) == (0, "The settings are valid.\n")


WRONG = [
    ("prot = 1", {}, "'prot' in .*config.toml is not a setting. Did you mean 'port'"),
    ("port = 65536", {}, "in .*config.toml is wrong.*port"),
    ('port = "x"', {}, "in .*config.toml is wrong.*port"),
    ("port = ", {}, "not valid TOML"),
    ("", {"CW_PROXY_MAX_STREAM": "1"}, "CW_PROXY_MAX_STREAM is not a setting. Did you mean 'CW_PROXY_MAX_STREAMS'"),
    ("", {"CW_PROXY_MAX_STREAMS": "0"}, "in the environment is wrong.*max_streams"),
    ("", {"CW_PROXY_DEBUG": "maybe"}, "in the environment is wrong.*debug"),
    ("", {"CW_PROXY_OIDC_URL": "http://example.com"}, "'oidc_url' must be https"),
    ("", {"CW_PROXY_RUNTIME_URL": "https://user@example.com"}, "'runtime_url' must be"),
    ("api_keys = [7]", {}, "in .*config.toml is wrong.*api_keys"),
    ('host = "0.0.0.0"', {}, "--api-key"),
]


@pytest.mark.parametrize(("file", "environment", "words"), WRONG)
def test_what_is_wrong_is_named(
    invoke: Invoke, tmp_path: Path, file: str, environment: dict[str, str], words: str
) -> None:
    (tmp_path / "config.toml").write_text(file)
    with pytest.raises(ConfigError, match=words):
        raise invoke("validate", **environment).exception or click.ClickException("nothing was found wrong")
