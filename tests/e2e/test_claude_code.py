"""Claude Code, unmodified: only its base URL is ours. It answers, and does what it is asked with its own tools."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from node_packages import FOLDER, node_modules, tool
from servers import Service

pytestmark = pytest.mark.node
CLIENT = FOLDER / "claude-code"


class Claude:
    """One folder of work, one home that is not the developer's."""

    def __init__(self, home: Path, work: Path, url: str) -> None:
        self.work = work
        self._program = node_modules(CLIENT) / "@anthropic-ai" / "claude-code" / "cli-wrapper.cjs"
        self._environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "CLAUDE_CONFIG_DIR": str(home / "claude"),
            "ANTHROPIC_BASE_URL": url,
            "ANTHROPIC_API_KEY": "any",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }

    def ask(self, prompt: str, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tool("node"), str(self._program), "--print", prompt, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
            cwd=self.work,
            env=self._environment,
        )


@pytest.fixture
def claude(service: Service, tmp_path: Path) -> Claude:
    for name in ("home", "work"):
        (tmp_path / name).mkdir()
    return Claude(tmp_path / "home", tmp_path / "work", service.proxy)


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.strip()


# The first run unpacks a program of several hundred megabytes.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", [None, "opus", "claude-haiku-4-5"])
def test_it_answers(claude: Claude, model: str | None) -> None:
    options = ["--model", model] if model else []
    assert said(claude.ask("Reply with the reversed token Q-80c05865f3", *options)) == "3f56850c08-Q"


@pytest.mark.timeout(900)
def test_it_works_with_its_own_tools(claude: Claude) -> None:
    """Two turns of tools: a file is written, and read in the turn after that."""
    file = claude.work / "hello.txt"
    prompt = f"create file {file} with content C-1234 THEN read file {file} and repeat its content"
    answer = said(claude.ask(prompt, "--permission-mode", "acceptEdits"))
    assert file.read_text() == "C-1234"
    assert answer.startswith("done: ")
    assert "C-1234" in answer


@pytest.mark.timeout(900)
def test_a_refusal_ends_it_with_the_services_words(fresh: Service, tmp_path: Path) -> None:
    claude = Claude(tmp_path, tmp_path, fresh.proxy)
    done = claude.ask("Play the script feature-not-supported")
    assert done.returncode != 0
    assert "This feature is not available for your account." in done.stdout
