"""`cw-proxy lambda`: what keeps it from starting, and who is told. How it serves is in e2e/test_lambda.py."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from lambda_front import LambdaFront, front
from secrets_manager import client, fresh_name, secrets_manager
from servers import TOKEN, ask, program, request, run


def settings_file(folder: Path, text: str) -> str:
    path = folder / "config.toml"
    path.write_text(text)
    return str(path)


async def refused(text: str, folder: Path, **environment: str) -> tuple[int, str, dict[str, object] | None]:
    """Exit code, stderr, and what Lambda was told."""
    async with LambdaFront() as lambda_:
        variables = {"AWS_LAMBDA_RUNTIME_API": lambda_.address, **environment}
        command = ("lambda", "--config", settings_file(folder, text))
        done = await asyncio.to_thread(run, *command, environment=variables)
        assert lambda_.violations == []
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr, lambda_.init_error


REFUSED: list[tuple[str, dict[str, str], str]] = [
    ("", {}, "api_keys"),
    ('api_key = "a"', {}, "api_key"),
    ('lambda_auth_type = "none"', {}, "lambda_auth_type"),
    ('api_keys = ["a-key"]', {"CW_PROXY_ACCESS_TOKEN": TOKEN}, "CW_PROXY_ACCESS_TOKEN"),
    ('api_keys = ["a-key"]', {"CW_PROXY_LAMBDA_RESPONSE_MODE": "fast"}, "lambda_response_mode"),
]


@pytest.mark.parametrize(("text", "environment", "words"), REFUSED)
async def test_what_is_wrong_is_told_to_lambda_too(
    text: str, environment: dict[str, str], words: str, tmp_path: Path
) -> None:
    code, said, told = await refused(text, tmp_path, **environment)
    assert code == 2
    assert words in said
    assert told is not None
    assert told["errorType"] == "Runtime.ConfigError"
    assert words in str(told["errorMessage"])
    assert TOKEN not in said + str(told)


async def test_the_settings_can_be_a_secret(tmp_path: Path) -> None:
    name = fresh_name()
    with secrets_manager() as machine:
        variables = {**machine, "CW_PROXY_CONFIG": f"secretsmanager:{name}"}

        async def told() -> str:
            async with LambdaFront() as lambda_:
                here = {**variables, "AWS_LAMBDA_RUNTIME_API": lambda_.address}
                done = await asyncio.to_thread(run, "lambda", environment=here)
                assert (done.returncode, "Traceback" in done.stderr) == (2, False)
                assert lambda_.init_error is not None
                return str(lambda_.init_error["errorMessage"])

        assert name in await told()
        secret = client(machine)
        secret.create_secret(Name=name, SecretString="api_key = ['canary']")
        assert "Did you mean 'api_keys'?" in await told()
        secret.update_secret(SecretId=name, SecretString="api_keys = [canary")
        assert "TOML" in await told()
        secret.update_secret(SecretId=name, SecretString="api_keys = ['a-key-of-the-secret']")
        async with front() as lambda_:
            here = {**variables, "AWS_LAMBDA_RUNTIME_API": lambda_.address, "CW_PROXY_STORE": "files"}
            with program("lambda", **here):
                answer = await ask(lambda_.url, request("GET", "/v1/models"))
                assert answer.error["code"] == "invalid_api_key"


@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_elsewhere_than_on_lambda_it_says_so(address: str) -> None:
    done = run("lambda", environment={"AWS_LAMBDA_RUNTIME_API": address})
    assert (done.returncode, done.stdout) == (2, "")
    assert "AWS_LAMBDA_RUNTIME_API" in done.stderr


def test_a_runtime_api_that_nobody_answers_at_ends_it(tmp_path: Path) -> None:
    file = settings_file(tmp_path, 'api_keys = ["a-key"]\naccess_token = "a-token-of-the-tests"\n')
    done = run("lambda", "--config", file, environment={"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9"})
    assert done.returncode == 1
    assert "Runtime API" in done.stderr
    assert "Traceback" not in done.stderr


def test_how_long_a_cold_start_imports(capsys: pytest.CaptureFixture[str]) -> None:
    """A figure to look at, not a limit; what must not be loaded is in test_layout.py."""
    imports = "import cw_proxy.cli, cw_proxy.app, cw_proxy.transports.lambda_in.invocation"
    probe = f"import time; began = time.perf_counter(); {imports}; print(time.perf_counter() - began)"
    taken = min(float(subprocess.check_output([sys.executable, "-c", probe])) for _ in range(3))
    assert taken > 0
    with capsys.disabled():
        print(f"\nA cold start on Lambda imports for {taken * 1000:.0f} ms.")
