"""The documentation: generated parts are up to date, all is documented, links lead somewhere, snippets run.

docs/deploy is not looked at: what it holds is no documentation of the program itself.
"""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click
import pytest
from node_packages import FOLDER, node_modules
from servers import clean_environment, program, serving

import cw_proxy
from cw_proxy import config, nats_settings
from cw_proxy.borrowed import BORROWED
from cw_proxy.cli import root
from cw_proxy.emulator import Settings, directives
from cw_proxy.errors import ProxyError
from cw_proxy.events import ORDER
from cw_proxy.interfaces import Options, Subject
from cw_proxy.protocols import protocols

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [page for page in PAGES if DOCS / "deploy" not in page.parents]
GENERATED = [page for page in PAGES if "[[[cog" in page.read_text()]
_FENCE = re.compile(r"^```(\S*)\n(.*?)^```$", re.M | re.S)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_NODE = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


class Snippet(NamedTuple):
    page: str
    language: str
    text: str


def snippets(*languages: str) -> list[Any]:
    """Fenced blocks, as parameters whose names say where they stand."""
    found = []
    for page in PAGES:
        for at, (language, text) in enumerate(_FENCE.findall(page.read_text())):
            if not languages or language in languages:
                found.append(pytest.param(Snippet(name_of(page), language, text), id=f"{name_of(page)}-{at}"))
    return found


@pytest.fixture(scope="module")
def generate() -> Iterator[ModuleType]:
    """docs/generate.py, as cog imports it."""
    sys.path.insert(0, str(ROOT))
    yield importlib.import_module("docs.generate")
    sys.path.remove(str(ROOT))


def reference(page: str) -> str:
    return (DOCS / "reference" / f"{page}.md").read_text()


# --- what is generated ------------------------------------------------------------------------------------


def test_the_generated_parts_are_up_to_date() -> None:
    command = [sys.executable, "-m", "cogapp", "--check", "--diff", *map(str, GENERATED)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=clean_environment({}))
    assert done.returncode == 0, f"run `make fix`\n{done.stdout}{done.stderr}"
    assert len(GENERATED) >= 7


def test_the_words_beside_the_code_have_no_leftovers(generate: ModuleType) -> None:
    texts = generate.texts
    exit_codes = {value for name, value in vars(root).items() if name.startswith("EXIT_")}
    names = {error.__name__ for error in generate.error_classes()}
    assert set(texts.EXIT_CODES) == exit_codes | {0}
    assert set(texts.ENDPOINTS) == {path for _, path in generate.routes()}
    assert set(texts.ERRORS) == names - texts.NEVER_SENT
    assert names >= texts.NEVER_SENT
    assert set(texts.PARAMETERS) <= {name for name, _ in generate.parameters()}
    assert set(texts.EVENTS) == {event.__name__ for following in ORDER.values() for event in following}
    assert set(texts.SWITCHES) == set(Settings.__struct_fields__)
    assert set(texts.SENTENCES) == set(directives._PATTERNS)


def test_every_text_of_ours_in_a_prompt_is_told(generate: ModuleType) -> None:
    assert set(generate.our_texts()) == set(generate.texts.ADDED_TEXTS)


# --- what must be documented ------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", config.documentation(), ids=lambda setting: setting.name)
def test_each_setting_is_documented(setting: config.SettingDoc) -> None:
    page = reference("configuration")
    assert f"| `{setting.name}` | `{setting.variable}` |" in page
    assert setting.doc in page


def test_each_command_is_documented(generate: ModuleType) -> None:
    page = reference("cli")
    for name, context in generate.commands():
        assert f"## `{name}`\n" in page
        for option in context.command.params:
            assert all(spelling in page for spelling in option.opts if spelling.startswith("-"))


def test_each_error_is_documented(generate: ModuleType) -> None:
    for module in pkgutil.walk_packages(cw_proxy.__path__, "cw_proxy."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    page = reference("errors")
    for error in _family(ProxyError):
        if error.__module__.startswith("cw_proxy.") and error.__name__ not in generate.texts.NEVER_SENT:
            assert f"| {error.status} | `{error.type}` | `{error.default_code}` |" in page, error


def _family(parent: type[ProxyError]) -> list[type[ProxyError]]:
    return [parent, *(member for child in parent.__subclasses__() for member in _family(child))]


def test_each_route_is_documented(generate: ModuleType) -> None:
    page = reference("endpoints")
    for methods, path in generate.routes():
        assert f"| {methods} | `{path}` |" in page
    for protocol in protocols(Options(prompt_socket=True, simple_api=True)):
        for path in (binding.path for binding in protocol.bindings if not isinstance(binding, Subject)):
            assert f"`{path.replace('*', '{id}')}`" in page


def test_each_variable_of_others_is_documented() -> None:
    page = reference("configuration")
    for one in BORROWED:
        assert f"| `{one.variable}` | `{one.setting}` | {one.when} |" in page


def test_each_parameter_has_one_treatment(generate: ModuleType) -> None:
    page = reference("chat-completions")
    assert {treatment for _, treatment in generate.parameters()} == {"used", "ignored", "refused"}
    for name, _ in generate.parameters():
        assert f"`{name}`" in page


# --- what is written by hand ------------------------------------------------------------------------------


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        if anchor:
            assert anchor in _anchors(target.read_text()), f"{link}: there is no such heading"


def _anchors(text: str) -> set[str]:
    """Headings as GitHub names them."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent != ROOT], ids=name_of)
def test_each_page_is_in_the_index(page: Path) -> None:
    index = DOCS / "README.md"
    assert page == index or f"({page.relative_to(DOCS).as_posix()})" in index.read_text()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_named_in_the_text_exist(page: Path) -> None:
    for path in re.findall(r"`((?:cw_proxy|docs|tests|bench)/[\w./-]*)`", page.read_text()):
        assert (ROOT / path).exists(), f"{path} does not exist"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_variables_named_in_the_text_exist(page: Path) -> None:
    known = {doc.variable for doc in config.documentation()} | {"CW_PROXY_HOME", "CW_PROXY_CONFIG", "CW_PROXY_PORT"}
    assert set(re.findall(r"CW_PROXY_[A-Z_]*[A-Z]", page.read_text())) <= known


# --- snippets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snippet", snippets())
def test_snippets_parse(snippet: Snippet, tmp_path: Path) -> None:
    match snippet.language:
        case "python":
            ast.parse(snippet.text)
        case "json":
            json.loads(snippet.text)
        case "toml":
            assert tomllib.loads(snippet.text)
            # The one of a client is tried by tests/e2e/test_codex.py.
            if snippet.page != "docs/how-to/codex.md":
                (tmp_path / "config.toml").write_text(snippet.text)
                config.load(path=tmp_path / "config.toml", environment={})
        case "yaml":
            (tmp_path / "config.yaml").write_text(snippet.text)
            nats_settings.load(path=tmp_path / "config.yaml")
        case "bash":
            _accepted(["bash", "-n"], snippet.text)
        case "javascript":
            (tmp_path / "snippet.mjs").write_text(snippet.text)
            _accepted([str(_NODE), "--check", str(tmp_path / "snippet.mjs")], "")
        case "mermaid":
            assert snippet.text.startswith("stateDiagram-v2\n")
        case _:
            assert snippet.language in ("", "text")


def _accepted(command: list[str], text: str) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("snippet", snippets("bash"))
def test_commands_in_snippets_exist(snippet: Snippet) -> None:
    """Every `cw-proxy …` in a shell snippet has options that its command knows, and asks for no unknown command."""
    for line in re.findall(r"^.*\bcw-proxy .*$", snippet.text, re.M):
        for command in re.split(r" && | > | &$", line):
            words = shlex.split(command, comments=True)
            if "cw-proxy" in words:
                _parse(root.cli, words[words.index("cw-proxy") + 1 :])


def _parse(command: click.Command, words: list[str]) -> None:
    # A command keeps the help option of the first context that asks for it.
    context = click.Context(command, info_name="cw-proxy", **root.cli.context_settings)
    _, words, _ = command.make_parser(context).parse_args(words)
    if not isinstance(command, click.Group) or (command.invoke_without_command and not words):
        return
    name, member, rest = command.resolve_command(context, words)
    assert member is not None, name
    _parse(member, rest)


# --- snippets at work -------------------------------------------------------------------------------------


# One worker, one pair of servers.
together = pytest.mark.xdist_group("documentation")


class Running(NamedTuple):
    emulator: str
    proxy: str

    def here(self, text: str) -> str:
        """A snippet with the addresses that are free on this machine."""
        text = text.replace("ws://127.0.0.1:3000", self.proxy.replace("http", "ws", 1))
        return text.replace("http://127.0.0.1:3000", self.proxy).replace("http://127.0.0.1:3210", self.emulator)


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with program("emulator", "--port", "0") as emulator:
        upstream = emulator.first_line()
        with serving(upstream, "--prompt-socket", "--simple-api") as (url, _):
            yield Running(upstream, url)


@together
@pytest.mark.parametrize("snippet", snippets("python"))
def test_python_snippets_run(snippet: Snippet, running: Running) -> None:
    # Here, not in processes of their own: importing openai takes longer than all the rest.
    exec(compile(running.here(snippet.text), snippet.page, "exec"), {"__name__": "__main__"})


# Those that only ask this machine; others start servers or name hosts that do not exist.
CURL = [case for case in snippets("bash") if re.match(r"curl (-\w )?http://127\.0\.0\.1:", case.values[0].text)]


@together
@pytest.mark.parametrize("snippet", CURL)
def test_curl_snippets_run(snippet: Snippet, running: Running) -> None:
    done = _run(["bash", "-e"], running.here(snippet.text).replace("curl ", "curl --silent --fail "))
    assert done.returncode == 0, done.stderr
    assert done.stdout


@together
@pytest.mark.node
@pytest.mark.parametrize("snippet", snippets("javascript"))
def test_javascript_snippets_run(snippet: Snippet, running: Running) -> None:
    node_modules()
    # Read from stdin, a module finds its packages from the folder it runs in.
    done = _run([str(_NODE), "--input-type=module", "-"], running.here(snippet.text), cwd=FOLDER)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def _run(command: list[str], text: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = clean_environment({})
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=False, cwd=cwd, env=environment
    )
