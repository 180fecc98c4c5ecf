"""What is deployed to AWS: the templates, by AWS's tools and the Serverless Framework's, and the package, by running
it. Nothing asks AWS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from aws_tools import aws_tools
from lambda_front import front
from node_packages import FOLDER, node_modules, tool
from servers import NOBODY, TOKEN, ask, clean_environment, request, urls

ROOT = Path(__file__).parents[2]
SAM = ROOT / "deploy" / "sam" / "template.yaml"
SERVERLESS = ROOT / "deploy" / "serverless"
LAMBDA = ROOT / "deploy" / "lambda"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
SECONDS = 170.0
pytestmark = pytest.mark.xdist_group("deploy")


def environment() -> dict[str, str]:
    """Without anybody's AWS account, and with this Python before others."""
    known = {name: value for name, value in clean_environment({}).items() if not name.startswith("AWS_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), known["PATH"]])
    return {
        **known,
        "PATH": path,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "SAM_CLI_TELEMETRY": "0",
        "RUNTIME_PYTHON": VERSION,
    }


def done(*command: str | Path, cwd: Path = ROOT) -> str:
    """What it prints, when all is well."""
    run = subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


class _Template(yaml.SafeLoader):
    """CloudFormation's YAML, its functions as plain values."""


def _plain(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else loader.construct_sequence(node)


_Template.add_multi_constructor("!", _plain)


def resources() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(SAM.read_text(), _Template)["Resources"]
    return found


def sam_function() -> dict[str, Any]:
    properties: dict[str, Any] = resources()["Proxy"]["Properties"]
    return properties


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """deploy/lambda as `make lambda` leaves it."""
    folder = tmp_path_factory.mktemp("deploy")
    for name in ("lambda", "sam", "serverless"):
        shutil.copytree(ROOT / "deploy" / name, folder / name, ignore=shutil.ignore_patterns("dist", "build", ".*"))
    dist = folder / "lambda" / "dist"
    done(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", dist, ".")
    shutil.copy(ROOT / "constraints.txt", dist)
    return folder


@pytest.fixture(scope="session")
def built(wheel: Path) -> Path:
    """The folder that `sam deploy` would upload."""
    out = wheel / "out"
    cache = wheel / "cache"
    done(
        aws_tools() / "sam", "build", "-t", wheel / "sam" / "template.yaml", "-b", out, "--cache-dir", cache, cwd=wheel
    )
    return out / "Proxy"


# --- SAM --------------------------------------------------------------------------------------------------


def test_awss_linters_find_nothing() -> None:
    done(aws_tools() / "cfn-lint", SAM)
    assert "is a valid SAM Template" in done(aws_tools() / "sam", "validate", "--lint", "-t", SAM)


def test_awss_linter_would_find_a_wrong_name(tmp_path: Path) -> None:
    wrong = tmp_path / "template.yaml"
    wrong.write_text(SAM.read_text().replace("MemorySize:", "MemorySizes:"))
    run = subprocess.run([aws_tools() / "cfn-lint", wrong], capture_output=True, env=environment(), check=False)
    assert run.returncode != 0


def test_the_url_streams() -> None:
    """cfn-lint takes any text for it, and with a wrong one every client waits for the whole answer."""
    assert sam_function()["FunctionUrlConfig"]["InvokeMode"] == "RESPONSE_STREAM"


def granted(of: Any) -> set[str]:
    permissions = [resource["Properties"] for resource in of if resource["Type"] == "AWS::Lambda::Permission"]
    return {permission["Action"] for permission in permissions if permission["Principal"] == "*"}


def test_an_open_url_is_open() -> None:
    """No linter looks, and without both every call is a 403: SAM leaves them out where AuthType is a parameter."""
    assert granted(resources().values()) == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}


ROUTES = {"$connect", "$default", "$disconnect"}


def test_a_websocket_api_reaches_the_function_and_is_reached_by_it() -> None:
    sockets = {name: one for name, one in resources().items() if name.startswith("Socket")}
    assert all(one["Condition"] == "Sockets" for one in sockets.values())
    assert routes(sockets.values()) == ROUTES
    # Who is let in is decided once, when a client connects.
    assert sockets["SocketConnect"]["Properties"]["AuthorizationType"] == "AuthType"
    statements = sockets["SocketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert {statement["Action"] for statement in statements} == {
        "lambda:InvokeFunction",
        "execute-api:ManageConnections",
    }
    assert not any(statement["Resource"] == "*" for statement in statements)


def routes(of: Any) -> set[str]:
    return {one["Properties"]["RouteKey"] for one in of if one["Type"] == "AWS::ApiGatewayV2::Route"}


def test_what_was_posted_is_not_posted_again() -> None:
    """Lambda makes a failed run twice more, by itself."""
    assert sam_function()["EventInvokeConfig"]["MaximumRetryAttempts"] == 0


def test_what_is_built_is_what_runs() -> None:
    """The version that the packages are for, and the place of the bootstrap."""
    runtime = sam_function()["Runtime"].removeprefix("python")
    assert f"RUNTIME_PYTHON ?= {runtime}\n" in (LAMBDA / "Makefile").read_text()
    assert f"runtime: python{runtime}\n" in (SERVERLESS / "serverless.yml").read_text()
    architecture = sam_function()["Architectures"][0]
    assert f"ARCHITECTURE ?= {architecture}\n" in (LAMBDA / "Makefile").read_text()


def test_no_secret_stands_in_the_functions_environment() -> None:
    variables = sam_function()["Environment"]["Variables"]
    assert set(variables) == {
        "AWS_LAMBDA_EXEC_WRAPPER",
        "CW_PROXY_CONFIG",
        "CW_PROXY_STORE",
        "CW_PROXY_LAMBDA_AUTH_TYPE",
        "CW_PROXY_PROMPT_SOCKET",
        "API_GW_ENDPOINT",
    }


async def test_the_built_package_answers(built: Path, tmp_path: Path) -> None:
    """With an interpreter that knows no packages but those of the folder, as Lambda's."""
    bootstrap = built / "bootstrap"
    assert os.access(bootstrap, os.X_OK)
    assert list(built.glob("cw_proxy/__pycache__/app.*.pyc"))
    file = tmp_path / "config.toml"
    file.write_text(f'api_keys = ["a-key"]\naccess_token = "{TOKEN}"\n')
    python = Path(sys.base_prefix) / "bin" / f"python{VERSION}"
    async with front() as lambda_:
        variables = {"AWS_LAMBDA_RUNTIME_API": lambda_.address, "CW_PROXY_CONFIG": str(file), **urls(NOBODY)}
        command = [bootstrap, python, "/var/runtime/bootstrap.py"]
        running = subprocess.Popen(command, env={**environment(), **variables}, cwd=tmp_path)
        try:
            assert (await ask(lambda_.url, request("GET", "/health"))).body == b'{"status":"ok"}'
            missing = await ask(lambda_.url, request("GET", "/v1/models"))
            assert missing.error["code"] == "invalid_api_key"
        finally:
            running.terminate()
            assert running.wait(SECONDS) == 0


# --- the Serverless Framework -----------------------------------------------------------------------------


def packaged(wheel: Path, name: str, *options: str) -> tuple[dict[str, Any], Path]:
    """What the framework would deploy, its linter asked; and the folder that it has packed."""
    service = wheel / name
    shutil.copytree(ROOT / "deploy" / "serverless", service, ignore=shutil.ignore_patterns("build", ".*"))
    build = service / "build"
    build.mkdir()
    shutil.copy(LAMBDA / "bootstrap", build)
    shutil.copytree(ROOT / "cw_proxy", build / "cw_proxy", ignore=shutil.ignore_patterns("__pycache__"))
    sls = node_modules(FOLDER / "serverless") / "osls" / "bin" / "serverless.js"
    done(tool("node"), sls, "package", *options, cwd=service)
    template = json.loads((service / ".serverless" / "cloudformation-template-update-stack.json").read_text())
    compiled = service / "compiled.json"
    compiled.write_text(json.dumps(template))
    # The framework writes down an order that is there anyway.
    done(aws_tools() / "cfn-lint", compiled, "--ignore-checks", "W3005")
    found: dict[str, Any] = template["Resources"]
    return found, service


def only(of: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = (one["Properties"] for one in of.values() if one["Type"] == kind)
    return dict(found)


def test_the_serverless_framework_packages_the_same(wheel: Path) -> None:
    compiled, service = packaged(wheel, "packaged")
    (archive,) = (service / ".serverless").glob("*.zip")
    with zipfile.ZipFile(archive) as packed:
        names = packed.namelist()
        mode = packed.getinfo("build/bootstrap").external_attr >> 16
    assert mode & 0o111 == 0o111
    assert {name.partition("/")[0] for name in names} == {"build"}

    assert granted(compiled.values()) == granted(resources().values())
    assert only(compiled, "AWS::Lambda::Url")["InvokeMode"] == "RESPONSE_STREAM"
    function = only(compiled, "AWS::Lambda::Function")
    assert (function["Runtime"], function["Timeout"]) == (sam_function()["Runtime"], sam_function()["Timeout"])
    variables = function["Environment"]["Variables"]
    assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == "/var/task/build/bootstrap"
    assert variables["CW_PROXY_STORE"] == "secretsmanager:cw-proxy/login"
    assert variables["CW_PROXY_PROMPT_SOCKET"] == "false"
    assert only(compiled, "AWS::Lambda::EventInvokeConfig")["MaximumRetryAttempts"] == 0
    assert routes(compiled.values()) == set()


def test_the_serverless_framework_packages_the_websocket_api(wheel: Path) -> None:
    compiled, _ = packaged(wheel, "packaged-sockets", "--param", "promptSocket=true")
    assert routes(compiled.values()) == ROUTES
    assert only(compiled, "AWS::Lambda::Function")["Environment"]["Variables"]["CW_PROXY_PROMPT_SOCKET"] == "true"
    role = json.dumps(only(compiled, "AWS::IAM::Role"))
    assert all(action in role for action in ("execute-api:ManageConnections", "lambda:InvokeFunction"))
