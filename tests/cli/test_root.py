"""The root command: help for everything, cheap to start, one line and one exit code for every failure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from servers import NOBODY, TOKEN, clean_environment, run, urls

from cw_proxy import __version__, errors
from cw_proxy.cli.root import cli, exit_code


def paths(command: click.Command, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [at, *(path for name, inner in below for path in paths(inner, (*at, name)))]


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("path", paths(cli), ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], option: str) -> None:
    done = CliRunner().invoke(cli, [*path, option])
    assert done.exit_code == 0, done.output
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    for parameter in options:
        assert parameter.help, f"{' '.join(path)} {parameter.opts} says nothing"
        assert parameter.opts[-1] in done.output


def test_the_version() -> None:
    done = CliRunner().invoke(cli, ["--version"])
    assert (done.exit_code, done.output) == (0, f"cw-proxy, version {__version__}\n")


def test_help_imports_nothing_heavy() -> None:
    probe = "import sys; sys.argv = ['cw-proxy', '--help']\nfrom cw_proxy.cli import main\n"
    probe += "try: main()\nfinally: print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, env=clean_environment({}))
    assert done.returncode == 0, done.stderr
    loaded = set(re.findall(r"'(\w+)'", done.stderr))
    assert "click" in loaded
    assert loaded & {"aiohttp", "boto3", "botocore", "keyring", "rich", "msgspec", "asyncio"} == set()


EXIT_CODES: list[tuple[errors.ProxyError, int]] = [
    (errors.ProxyError("x"), 1),
    (errors.ModelNotFound("x"), 1),
    (errors.ContextLengthExceeded("x"), 1),
    (errors.ConfigError("x"), 2),
    (errors.BrokenState("x"), 3),
    (errors.LoginRequired("x"), 4),
    (errors.UpstreamAccessDenied("x"), 4),
    (errors.UpstreamTokenRefused("x"), 4),
    (errors.UpstreamUnavailable("x"), 5),
    (errors.UpstreamTls("x"), 5),
    (errors.UpstreamTruncated("x"), 5),
    (errors.EmptyUpstreamResponse("x"), 5),
    (errors.UpstreamTimeout("x"), 5),
    (errors.RateLimited("x"), 5),
    (errors.InsufficientQuota("x"), 5),
    (errors.NatsUnavailable("x"), 6),
    (errors.NatsRefused("x"), 7),
]


@pytest.mark.parametrize(("error", "code"), EXIT_CODES, ids=lambda value: type(value).__name__)
def test_the_exit_code_says_who_has_to_act(error: errors.ProxyError, code: int) -> None:
    assert exit_code(error) == code


READY = {"CW_PROXY_ACCESS_TOKEN": TOKEN, **urls(NOBODY)}
FAILURES: list[tuple[list[str], dict[str, str], int, str]] = [
    (["no-such-command"], {}, 2, "No such command"),
    (["serve", "--no-such-option"], {}, 2, "No such option"),
    (["config", "validate"], {"CW_PROXY_PROT": "1"}, 2, "CW_PROXY_PROT is not a setting"),
    (["models"], {}, 4, "cw-proxy login"),
    (["status"], {}, 4, "cw-proxy login"),
    (["models"], READY, 5, "cannot be reached"),
    (["chat", "Hello"], READY, 5, "cannot be reached"),
]


@pytest.mark.parametrize(("arguments", "environment", "code", "words"), FAILURES)
def test_a_failure_is_a_line_on_stderr(
    arguments: list[str], environment: dict[str, str], code: int, words: str, tmp_path: Path
) -> None:
    done = run(*arguments, environment={"CW_PROXY_HOME": str(tmp_path), **environment})
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["models"], ["status"], ["chat", "Hello"]], ids=" ".join)
def test_a_broken_sign_in_is_broken_state(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text("{broken")
    (tmp_path / "tokens.json").chmod(0o600)
    done = run(*arguments, environment={"CW_PROXY_HOME": str(tmp_path)})
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "tokens.json is broken" in done.stderr
    assert "Traceback" not in done.stderr
