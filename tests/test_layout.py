"""The house rules that a linter does not know: mirrored tests, sizes, purity, a light `--help`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "cw_proxy"
TESTS = ROOT / "tests"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 600
MAX_FUNCTION_LINES = 80
HEAVY = {"aiohttp", "boto3", "botocore", "keyring", "rich", "msgspec", "asyncio"}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def has_code(path: Path) -> bool:
    """Whether a module defines something: a package's list of exports needs no test file."""
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in ast.parse(path.read_text()).body)


def expected_test(path: Path) -> Path:
    inside = path.relative_to(PACKAGE)
    name = f"test_{inside.parent.name}.py" if inside.name == "__init__.py" else f"test_{inside.name}"
    return TESTS / inside.parent / name


@pytest.mark.parametrize("path", [path for path in SOURCES if has_code(path)], ids=relative)
def test_each_source_has_its_test_file(path: Path) -> None:
    expected = expected_test(path)
    assert expected.exists(), f"{relative(path)} wants {relative(expected)}"
    assert "def test_" in expected.read_text()


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_files_and_functions_keep_their_size(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{relative(path)}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_each_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def loaded_by(statement: str) -> set[str]:
    probe = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_help_loads_nothing_heavy() -> None:
    assert not loaded_by("import cw_proxy.cli") & HEAVY


def test_the_pure_core_loads_no_sockets() -> None:
    core = "import cw_proxy.protocols, cw_proxy.backends.codewhisperer, cw_proxy.conversations, cw_proxy.guard"
    assert not loaded_by(core) & {"aiohttp", "asyncio", "socket", "ssl", "boto3", "botocore", "keyring", "click"}


def test_the_server_loads_no_boto() -> None:
    assert not loaded_by("import cw_proxy.app") & {"boto3", "botocore", "keyring", "rich", "click"}


def test_a_function_on_lambda_starts_without_what_it_need_not_have() -> None:
    """A cold start is paid by whoever asks first: with a ready token nothing of this is used."""
    started = "import cw_proxy.cli, cw_proxy.app, cw_proxy.transports.lambda_in.invocation"
    unused = {"boto3", "botocore", "keyring", "rich", "jsonschema", "nats", "opentelemetry", "grpc", "cryptography"}
    assert not loaded_by(started) & unused
