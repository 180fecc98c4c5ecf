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


# --- what a front costs: NATS as the example ---

# The front itself, what carries messages for it and for `cw-proxy ask`, its settings and its commands.
NATS_FRONT = "transports/nats_in.py"
NATS = {NATS_FRONT, "transports/nats_out.py", "nats_settings.py", "cli/nats.py", "cli/ask.py"}
NATS_FOLDERS = ("transports/nats_link/", "wire/nats_")
# Where it is a line in a list: the commands, their exit codes, the errors, the libraries that say too much.
LISTS = {"cli/__init__.py", "cli/root.py", "errors.py", "auth/quiet.py"}


def imported(path: Path) -> set[str]:
    """Modules of ours, also those that are imported when they are needed."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return {f"{node.module}.{name.name}" for node in nodes for name in node.names} | {
        str(node.module) for node in nodes
    }


def those_that_know_nats() -> dict[str, Path]:
    """Whoever knows of it has the word in their text: a name, a setting, an import."""
    return {path.relative_to(PACKAGE).as_posix(): path for path in SOURCES if "nats" in path.read_text().lower()}


def test_nobody_else_knows_that_there_is_nats() -> None:
    beyond = {name for name in those_that_know_nats().keys() - NATS if not name.startswith(NATS_FOLDERS)}
    assert beyond == LISTS


def test_the_front_over_nats_is_one_file() -> None:
    """One module knows both NATS and what stands behind fronts."""
    behind = {"cw_proxy.front", "cw_proxy.exchange", "cw_proxy.interfaces", "cw_proxy.protocols", "cw_proxy.subjects"}
    found = {name for name, path in those_that_know_nats().items() if imported(path) & behind}
    assert found == {NATS_FRONT}
