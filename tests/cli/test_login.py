"""The real command in a process of its own, against the emulator."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from cw_proxy.cli.login import in_words
from cw_proxy.emulator import Emulator, Settings

MAIN = [sys.executable, "-c", "import sys; sys.argv[0] = 'cw-proxy'; from cw_proxy.cli import main; main()"]


class Command:
    """cw-proxy with a home of its own and no display."""

    def __init__(self, home: Path, url: str = "") -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        self.environment = {**kept, "CW_PROXY_HOME": str(home), "CW_PROXY_OIDC_URL": url}
        self.environment.pop("BROWSER", None)
        self.environment.pop("CW_PROXY_ACCESS_TOKEN", None)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*MAIN, *arguments, stdout=pipe, stderr=pipe, env=self.environment)

    async def __call__(self, *arguments: str) -> tuple[int | None, str, str]:
        process = await self.start(*arguments)
        out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    def files(self) -> list[str]:
        return sorted(path.name for path in self.home.iterdir()) if self.home.exists() else []


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


async def shown_code(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while line := (await process.stderr.readline()).decode():
            if found := re.search(r"code:\s+(\S+)", line):
                return found[1]
    raise AssertionError("no code was shown")


async def decide(url: str, code: str, action: str) -> None:
    async with aiohttp.ClientSession() as browser:
        async with browser.get(f"{url}/device", params={"user_code": code}) as page:
            assert "cw-proxy" in await page.text()
        async with browser.post(f"{url}/device", data={"user_code": code, "action": action}) as page:
            assert page.status == 200


async def test_login_status_and_logout(home: Path):
    async with Emulator(settings=Settings(auto_approve=True)) as emulator:
        command = Command(home, emulator.url)
        code, out, err = await command("login")
        assert (code, out.startswith("Signed in to AWS Builder ID")) == (0, True), err
        assert f"{emulator.url}/device?user_code=" in err
        assert command.files() == ["lock", "registration.json", "tokens.json"]
        tokens = json.loads((home / "tokens.json").read_text())

        code, words, _ = await command("status")
        assert (code, "expires in 59 minutes, renewed when needed" in words) == (0, True)
        code, data, _ = await command("status", "--json")
        facts = json.loads(data)
        assert facts["signed_in"] is True
        assert (facts["store"], facts["region"], facts["expires_at"]) == ("files", "us-east-1", tokens["expiresAt"])

        assert (await command("login"))[0] == 0
        assert emulator.stats.registrations == 1, "a registration is used again"
        assert json.loads((home / "tokens.json").read_text())["accessToken"] != tokens["accessToken"]

        assert await command("logout") == (0, "Signed out.\n", "")
        assert command.files() == ["lock"]
        assert (await command("logout"))[0] == 0
        code, out, err = await command("status", "--json")
        assert (code, json.loads(out)) == (4, {"signed_in": False})
        assert err == "cw-proxy: Not signed in. Run `cw-proxy login`.\n"
        for secret in ("accessToken", "refreshToken", "clientSecret"):
            assert tokens[secret] not in words + data + out + err


async def test_the_person_approves_in_the_browser(home: Path):
    async with Emulator() as emulator:
        process = await Command(home, emulator.url).start("login", "--start-url", "https://example.awsapps.com/start")
        await decide(emulator.url, await shown_code(process), "approve")
        out, err = await process.communicate()
        assert process.returncode == 0, err
        assert "IAM Identity Center (https://example.awsapps.com/start, us-east-1)" in out.decode()


async def test_the_person_denies(home: Path):
    async with Emulator() as emulator:
        command = Command(home, emulator.url)
        process = await command.start("login")
        await decide(emulator.url, await shown_code(process), "deny")
        _, err = await process.communicate()
        assert process.returncode == 4
        assert b"denied in the browser" in err
        assert command.files() == ["lock"]


async def test_ctrl_c_leaves_the_sign_in_of_before(home: Path):
    async with Emulator(settings=Settings(auto_approve=True)) as emulator:
        command = Command(home, emulator.url)
        await command("login")
        before = (home / "tokens.json").read_bytes()
        emulator.settings.auto_approve = False
        process = await command.start("login")
        await shown_code(process)
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 1
        assert b"Traceback" not in err
        assert command.files() == ["lock", "registration.json", "tokens.json"]
        assert (home / "tokens.json").read_bytes() == before


@pytest.mark.parametrize(("switches", "opened"), [([], True), (["--no-browser"], False)])
async def test_the_browser_is_opened_unless_told_not_to(home: Path, tmp_path: Path, switches, opened):
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    async with Emulator(settings=Settings(auto_approve=True)) as emulator:
        command = Command(home, emulator.url)
        command.environment["BROWSER"] = f"{browser} %s"
        code, _, err = await command("login", *switches)
        assert code == 0, err
        assert (tmp_path / "opened").exists() is opened
        if opened:
            assert (tmp_path / "opened").read_text().startswith(f"{emulator.url}/device?user_code=")


async def test_a_sign_in_that_has_ended_names_the_command_that_renews_it(home: Path):
    home.mkdir(mode=0o700)
    start_url = "https://example.awsapps.com/start"
    (home / "tokens.json").write_text(json.dumps({"startUrl": start_url, "region": "eu-west-1"}))
    (home / "tokens.json").chmod(0o600)
    code, _, err = await Command(home)("status")
    assert code == 4
    assert f"`cw-proxy login --start-url {start_url} --region eu-west-1`" in err


async def test_broken_state_is_exit_code_3_and_the_file_stays_until_logout(home: Path):
    home.mkdir(mode=0o700)
    (home / "tokens.json").write_text("{canary")
    (home / "tokens.json").chmod(0o600)
    command = Command(home)
    for name in ("status", "login"):
        code, _, err = await command(name)
        assert code == 3
        assert str(home / "tokens.json") in err
        assert "canary" not in err
    assert (await command("logout"))[0] == 0
    assert command.files() == ["lock"]


@pytest.mark.parametrize(
    ("url", "switches", "code"),
    [
        ("http://oidc.example.com", [], 2),
        ("", ["--region", "eu-west-1"], 2),
        ("", ["--start-url", "http://example.awsapps.com/start"], 2),
        ("", ["--start-url", "https://example.awsapps.com/start", "--region", "no/region"], 2),
        ("http://127.0.0.1:1", [], 5),
    ],
)
async def test_what_cannot_work_ends_with_its_exit_code(home: Path, url: str, switches: list[str], code: int):
    returned, out, err = await Command(home, url)("login", *switches)
    assert (returned, out) == (code, "")
    assert "Traceback" not in err


async def test_a_keyring_that_keeps_nothing_is_refused_before_the_browser(home: Path):
    async with Emulator(settings=Settings(auto_approve=True)) as emulator:
        command = Command(home, emulator.url)
        command.environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
        code, _, err = await command("login", "--store", "keyring")
        assert code == 3
        assert "--store files" in err
        assert emulator.stats.device_authorizations == 0


async def test_a_token_from_the_environment_is_said(home: Path):
    command = Command(home)
    command.environment["CW_PROXY_ACCESS_TOKEN"] = "canary"
    code, out, _ = await command("status")
    assert code == 0
    assert "CW_PROXY_ACCESS_TOKEN" in out
    assert "canary" not in out
    assert json.loads((await command("status", "--json"))[1]) == {"signed_in": True, "store": "settings"}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "expired"),
        (1, "expires in less than a minute"),
        (61, "expires in 1 minute"),
        (3599, "expires in 59 minutes"),
        (7200, "expires in 2 hours"),
        (86400, "expires in 1 day"),
    ],
)
def test_expiry_in_words(seconds: float, words: str):
    assert in_words(seconds) == words


def test_help_loads_nothing_heavy():
    probe = "import sys, cw_proxy.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert not {"boto3", "botocore", "keyring", "rich", "aiohttp", "asyncio"} & set(done.stdout.split())
