"""Codex, unmodified, with the settings that its how-to page shows: it answers, and works with its own tool."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from node_packages import FOLDER, node_modules, tool
from servers import Service, stats

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]  # the first run unpacks a program of 400 MB
CLIENT = FOLDER / "codex"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "codex.md"
WAYS = ("http", "websocket")


class Codex:
    """One folder of work, one home that is not the developer's."""

    def __init__(self, home: Path, work: Path, url: str, way: str) -> None:
        self.work = work
        self._program = node_modules(CLIENT) / "@openai" / "codex" / "bin" / "codex.js"
        settings = _settings().replace("http://127.0.0.1:3000", url)
        assert url in settings
        if way == "http":
            settings = settings.replace("supports_websockets = true\n", "")
        (home / "config.toml").write_text(settings)
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "CODEX_HOME": str(home),
            "PROXY_KEY": "any",
        }

    def ask(self, prompt: str) -> subprocess.CompletedProcess[str]:
        options = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
        return subprocess.run(
            [tool("node"), str(self._program), *options, "--", prompt],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            cwd=self.work,
            env=self._environment,
        )


def _settings() -> str:
    found = re.search(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert found
    return found[1]


@pytest.fixture(params=WAYS)
def codex(request: pytest.FixtureRequest, service: Service, tmp_path: Path) -> Codex:
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    return Codex(tmp_path / "home", tmp_path / "work", service.proxy, request.param)


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.strip()


def test_it_answers(codex: Codex) -> None:
    assert said(codex.ask("Reply with the reversed token Q-25d2e0c8ef")).splitlines()[-1] == "fe8c0e2d52-Q"


def test_it_works_with_its_own_tool(codex: Codex) -> None:
    """Two turns of tools: a file is written, and read in the turn after that."""
    file = codex.work / "hello.txt"
    prompt = f"create file {file} with content C-1234 THEN read file {file} and repeat its content"
    answer = said(codex.ask(prompt))
    assert file.read_text() == "C-1234"
    assert "done: " in answer
    assert "C-1234" in answer


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_ends_it_with_the_service_s_words(fresh: Service, tmp_path: Path, way: str) -> None:
    codex = Codex(tmp_path, tmp_path, fresh.proxy, way)
    before = stats(fresh.emulator)["requests"]
    done = codex.ask("Play the script feature-not-supported")
    assert done.returncode != 0
    assert "This feature is not available for your account." in done.stdout + done.stderr
    # However often it repeats itself: the service hears it once.
    assert stats(fresh.emulator)["requests"] - before <= 2
