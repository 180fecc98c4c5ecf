"""The example of docs/deploy/nats at work: a real server runs the file that is shipped, with keys and certificates
made by the README's own commands, and a worker is started as the service starts it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats_peers import SUBJECT, Certificates, NatsServer, Nkey, chat, nats_server, request, streamed, worker
from node_packages import node_modules, run_node
from servers import PATIENCE, Program, until

from cw_proxy import nats_settings
from cw_proxy.cli import root
from cw_proxy.config import Config
from cw_proxy.emulator import Emulator

EXAMPLE = Path(__file__).parent.parent.parent / "docs/deploy/nats"
README = (EXAMPLE / "README.md").read_text()
SERVICE = (EXAMPLE / "cw-proxy-nats@.service").read_text()
CLIENT = Path(__file__).parent / "nats.mjs"
BIN = Path(sys.executable).parent


def snippet(language: str, word: str) -> str:
    """The README's only block of this language that has this word."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)
    (found,) = (block for block in blocks if word in block)
    return str(found)


def run(*command: str, folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, "PATH": path}
    )


# --- what is shipped, in a folder of its own --------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys and certificates, as the README makes them, and its settings of the workers."""
    made = tmp_path_factory.mktemp("nats")
    for word in ("keygen", "openssl"):
        done = run("bash", "-e", folder=made, text=snippet("bash", word))
        assert done.returncode == 0, done.stderr
    (made / "nats.yaml").write_text(snippet("yaml", "nats:").replace("YOUR-KEY", "a-key-of-the-tests"))
    return made


def configuration(folder: Path) -> str:
    """The shipped one with this folder's files."""
    return (EXAMPLE / "nats-server.conf").read_text().replace("/etc/nats/", f"{folder}/")


def anywhere(folder: Path) -> str:
    """The same on whatever port a test has."""
    text, times = re.subn(r"^listen: .*$", "", configuration(folder), flags=re.M)
    assert times == 1
    return text


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[NatsServer]:
    with nats_server(folder, anywhere(folder)) as running:
        yield running


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Iterator[NatsServer]:
    """A server that the test may end and change."""
    # What is included is looked for beside the file.
    (tmp_path / "keys.conf").symlink_to(folder / "keys.conf")
    with nats_server(tmp_path, anywhere(folder)) as running:
        yield running


def unit(name: str) -> str:
    """A setting of the service, continued lines joined."""
    (value,) = re.findall(rf"^{name}=(.*)$", SERVICE.replace("\\\n", ""), re.M)
    return str(value)


@pytest.fixture
def working(folder: Path, server: NatsServer, emulator: Emulator) -> Iterator[Program]:
    with started(folder, server, emulator) as running:
        yield running


def started(folder: Path, server: NatsServer, emulator: Emulator) -> Any:
    """A worker with the service's command line, which finds its credentials in this folder."""
    _, command, *arguments = shlex.split(unit("ExecStart").replace("%d", str(folder)))
    assert command == "nats"
    openai = {"CW_PROXY_OPENAI_BASE_URL": f"{emulator.url}/v1"}
    return worker(emulator.url, *arguments, "--nats_server", server.url, **openai)


class Connected:
    """A client and what the server holds against it."""

    def __init__(self, client: Client, errors: list[str]) -> None:
        self.client = client
        self.errors = errors

    async def refused(self) -> list[str]:
        """What was refused since the last time; the server answers in turn, so that nothing is still to come."""
        for _ in range(2):
            await self.client.flush(PATIENCE)
        found = self.errors[:]
        self.errors.clear()
        return found


def context(folder: Path, name: str) -> ssl.SSLContext:
    """As strict as newer Pythons are on their own."""
    made = ssl.create_default_context(cafile=folder / "ca.pem")
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_cert_chain(folder / f"{name}.pem", folder / f"{name}-key.pem")
    return made


@asynccontextmanager
async def connected(folder: Path, server: NatsServer, name: str, **options: Any) -> AsyncIterator[Connected]:
    errors: list[str] = []

    async def error(fault: Exception) -> None:
        errors.append(str(fault))

    usual = {"tls": context(folder, name), "nkeys_seed": str(folder / f"{name}.nk"), "inbox_prefix": f"_INBOX.{name}"}
    client = await nats.connect(server.url, error_cb=error, **{**usual, **options})
    try:
        yield Connected(client, errors)
    finally:
        await client.close()


# --- the server's configuration ---------------------------------------------------------------------------


def test_the_server_finds_nothing_wrong_with_the_file(folder: Path) -> None:
    (folder / "nats-server.conf").write_text(configuration(folder))
    done = run("nats-server", "-t", "-c", "nats-server.conf", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "is valid" in done.stderr


def test_secrets_are_made_for_their_owner_alone(folder: Path) -> None:
    secrets = [*folder.glob("*.nk"), *folder.glob("*-key.pem")]
    assert len(secrets) == 4 + 6
    assert {file.stat().st_mode & 0o077 for file in secrets} == {0}


def test_certificates_have_what_strict_clients_ask_for(folder: Path) -> None:
    for name in ("server", "worker", "ann", "bob", "monitor"):
        done = run("openssl", "verify", "-x509_strict", "-CAfile", "ca.pem", f"{name}.pem", folder=folder)
        assert done.returncode == 0, done.stderr


async def test_a_client_is_answered(folder: Path, server: NatsServer, working: Program) -> None:
    async with connected(folder, server, "ann") as ann:
        assert (await request(ann.client, b"Count from 1 to 3")).data == b"1 2 3"
        *chunks, end = await streamed(ann.client, chat("Count from 1 to 30", stream=True))
        assert (end.headers or {})["Cw-Status"] == "200"
        assert len(chunks) > 3
        assert await ann.refused() == []
    assert b"violation" not in working.err


@pytest.mark.node
async def test_the_official_javascript_client_is_answered(folder: Path, server: NatsServer, working: Program) -> None:
    async def play(name: str, *calls: tuple[str, Any]) -> list[Any]:
        tls = {"caFile": "ca.pem", "certFile": f"{name}.pem", "keyFile": f"{name}-key.pem"}
        place = {
            "servers": server.url,
            "seedFile": str(folder / f"{name}.nk"),
            "inboxPrefix": f"_INBOX.{name}",
            "tls": {option: str(folder / file) for option, file in tls.items()},
        }
        told = (str(node_modules()), json.dumps(place), json.dumps(calls))
        done = await asyncio.to_thread(run_node, CLIENT, *told)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    streamed = chat("Count from 1 to 3", stream=True).decode()
    answer, messages = await play("ann", ("request", "Count from 1 to 3"), ("stream", streamed))
    assert answer["data"] == "1 2 3"
    assert (messages[-1]["data"], messages[-1]["status"]) == ("", "200")
    ping, stats = await play("monitor", ("ping", None), ("stats", None))
    assert ping["name"] == "cw-proxy"
    assert stats["num_requests"] == 2


FORBIDDEN = {
    "ann": (
        ["_INBOX.bob.>", "_INBOX.bob.1", "_INBOX.*.1", "_INBOX.>", ">", SUBJECT, f"{SUBJECT} cw-proxy", "$SRV.PING"],
        ["_INBOX.bob.1", "_INBOX.ann.1", "_INBOX.cw-proxy.1", "$SRV.PING", "other"],
    ),
    "monitor": (["_INBOX.ann.>", SUBJECT, "$SRV.STATS"], [SUBJECT, "_INBOX.ann.1"]),
    "worker": (
        [SUBJECT, f"{SUBJECT} other", "_INBOX.ann.>", "_INBOX.>", "other cw-proxy"],
        [SUBJECT, "_INBOX.cw-proxy.1", "$SRV.PING"],
    ),
}
ALLOWED = {
    "ann": (["_INBOX.ann.1", "_INBOX.ann.>"], [SUBJECT]),
    "monitor": (["_INBOX.monitor.1.*"], ["$SRV.PING", "$SRV.STATS.cw-proxy"]),
    "worker": ([f"{SUBJECT} cw-proxy", "$SRV.INFO.cw-proxy", "_INBOX.cw-proxy.1.*"], ["_INBOX.ann.1", "_INBOX.bob.1"]),
}


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_nobody_may_do_more_than_needed(folder: Path, server: NatsServer, name: str) -> None:
    async with connected(folder, server, name) as someone:
        for subjects, refused in ((FORBIDDEN[name], 1), (ALLOWED[name], 0)):
            for subject in subjects[0]:
                subject, _, queue = subject.partition(" ")
                await someone.client.subscribe(subject, queue=queue)
                assert len(await someone.refused()) == refused, f"subscription to {subject}"
            for subject in subjects[1]:
                await someone.client.publish(subject, b"Hello")
                assert len(await someone.refused()) == refused, f"publish to {subject}"


async def test_no_client_sees_what_another_is_answered(folder: Path, server: NatsServer, working: Program) -> None:
    seen: list[Msg] = []

    async def see(message: Msg) -> None:
        seen.append(message)

    async with connected(folder, server, "ann") as ann, connected(folder, server, "bob") as bob:
        for subject in (">", "_INBOX.>", "_INBOX.ann.>", SUBJECT):
            await bob.client.subscribe(subject, cb=see)
        assert all("permissions violation for subscription" in refused for refused in await bob.refused())
        assert (await request(ann.client, b"Count from 1 to 3")).data == b"1 2 3"
        assert (await request(bob.client, b"Count from 1 to 2")).data == b"1 2"
        await bob.refused()
    assert seen == []


async def test_an_answer_goes_to_inboxes_only(folder: Path, server: NatsServer, working: Program) -> None:
    """A client may name any subject for its answer; the worker is stopped, and goes on."""
    async with connected(folder, server, "ann") as ann:
        await ann.client.publish(SUBJECT, b"Count from 1 to 2", reply="elsewhere")
        await until(lambda: b'publish to "elsewhere"' in working.err, "the worker is told")
        assert (await request(ann.client, b"Count from 1 to 3")).data == b"1 2 3"


async def test_a_client_that_leaves_ends_the_call(
    folder: Path, server: NatsServer, emulator: Emulator, working: Program
) -> None:
    """The server tells the worker, in the worker's own inbox."""
    emulator.scripts["endless"] = [{"repeat": 60_000, "steps": [{"text": "x"}, {"delay": 0.01}]}]
    async with connected(folder, server, "ann") as ann:
        inbox = await ann.client.subscribe(ann.client.new_inbox())
        await ann.client.publish(SUBJECT, chat("Play the script endless", stream=True), reply=inbox.subject)
        assert (await inbox.next_msg(PATIENCE)).data
        await inbox.unsubscribe()
        await until(lambda: emulator.stats.in_flight == 0, "the call ends")
    assert b"violation" not in working.err


async def test_answers_are_held_over_a_restart_of_the_server(folder: Path, own: NatsServer, emulator: Emulator) -> None:
    """The new server does not know that anybody asked."""
    emulator.scripts["held"] = [{"delay": 1.0}, {"text": "held"}]
    with started(folder, own, emulator):
        async with connected(folder, own, "ann", reconnect_time_wait=0.1) as ann:
            asked = asyncio.create_task(request(ann.client, b"Play the script held"))
            await until(lambda: emulator.stats.in_flight == 1, "it is under way")
            own.kill()
            own.start()
            assert (await asked).data == b"held"


async def test_the_command_of_the_page_asks(folder: Path, server: NatsServer, working: Program) -> None:
    command = snippet("bash", "cw-proxy ask").replace("tls://nats.example.org:4222", server.url)
    assert "--inbox-prefix _INBOX.ann" in command
    done = await asyncio.to_thread(run, "bash", "-e", folder=folder, text=command)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
    for wrong in ("", "--inbox-prefix _INBOX.bob"):
        other = command.replace("--inbox-prefix _INBOX.ann", wrong)
        done = await asyncio.to_thread(run, "bash", "-e", folder=folder, text=other)
        assert (done.returncode, done.stdout) == (root.EXIT_NATS_REFUSED, "")
        assert "permissions violation" in done.stderr


async def test_a_new_client_interrupts_nobody(
    folder: Path, own: NatsServer, emulator: Emulator, tmp_path: Path
) -> None:
    carla = Nkey(tmp_path, "carla")
    user = f'{{nkey: {carla.public}, permissions: {{publish: "{SUBJECT}", subscribe: "_INBOX.carla.>"}}}}'
    shown = {"nkeys_seed": str(carla.file), "inbox_prefix": "_INBOX.carla", "allow_reconnect": False}
    with started(folder, own, emulator) as running:
        assert not await accepted(folder, own, **shown)
        own.reload(anywhere(folder).replace("users: [", f"users: [{user}"))
        async with asyncio.timeout(PATIENCE):
            while not await accepted(folder, own, **shown):
                await asyncio.sleep(0.01)
        async with connected(folder, own, "ann", **shown) as client:
            assert (await request(client.client, b"Count from 1 to 3")).data == b"1 2 3"
        assert b"broke" not in running.err


async def accepted(folder: Path, server: NatsServer, **shown: Any) -> bool:
    try:
        async with connected(folder, server, "ann", **shown):
            return True
    except nats.errors.Error as fault:
        assert "authorization violation" in str(fault).lower()
        return False
    except ConnectionError:
        # A TLS connection may be reset before its last words are read.
        return False


async def test_without_a_key_or_a_certificate_nobody_comes_in(folder: Path, server: NatsServer, tmp_path: Path) -> None:
    foreign, stranger = Certificates(tmp_path), Nkey(tmp_path)
    bare = ssl.create_default_context(cafile=folder / "ca.pem")
    other = ssl.create_default_context(cafile=folder / "ca.pem")
    other.load_cert_chain(foreign.cert, foreign.key)
    assert not await accepted(folder, server, nkeys_seed=None, allow_reconnect=False)
    assert not await accepted(folder, server, nkeys_seed=str(stranger.file), allow_reconnect=False)
    for without in (bare, other):
        # The server says why, or has closed before we read it.
        with pytest.raises((ssl.SSLError, OSError, nats.errors.Error)):
            async with connected(folder, server, "ann", tls=without, allow_reconnect=False):
                pass
    async with connected(folder, server, "ann", allow_reconnect=False):
        pass


async def test_new_workers_for_old_one_by_one_lose_nothing(
    folder: Path, server: NatsServer, emulator: Emulator
) -> None:
    answered, going = 0, True

    async def keep_asking(ann: Client) -> None:
        nonlocal answered
        while going:
            assert (await request(ann, b"Count from 1 to 3")).data == b"1 2 3"
            answered += 1

    with ExitStack() as stack:
        workers = [stack.enter_context(started(folder, server, emulator)) for _ in range(2)]
        async with connected(folder, server, "ann") as ann, asyncio.TaskGroup() as asking:
            for _ in range(10):
                asking.create_task(keep_asking(ann.client))
            for old in workers:
                await until(lambda goal=answered + 20: answered >= goal, "requests are answered")
                old.send(signal.SIGTERM)
                assert await asyncio.to_thread(old.wait) == 0
                await asyncio.to_thread(stack.enter_context, started(folder, server, emulator))
            going = False
    assert answered >= 40


# --- the service ------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The template with a program that exists."""
    program = unit("ExecStart").split()[0]
    file = tmp_path / "cw-proxy-nats@.service"
    file.write_text(SERVICE.replace(program, str(BIN / Path(program).name)))
    return file


def test_systemd_finds_nothing_wrong_with_the_service(installed: Path) -> None:
    done = run("systemd-analyze", "verify", str(installed), folder=installed.parent)
    # An unknown setting is only a line, not an error.
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_is_kept_apart(installed: Path) -> None:
    # Tenths: what is left is that it may use the network.
    options = ("--offline=true", "--no-pager", "--threshold=15")
    instance = installed.rename(installed.parent / "cw-proxy-nats@1.service")
    done = run("systemd-analyze", "security", *options, str(instance), folder=installed.parent)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


def test_the_service_knows_the_worker(folder: Path) -> None:
    final = {int(code) for code in unit("RestartPreventExitStatus").split()}
    assert final == {root.EXIT_USAGE, root.EXIT_NATS_REFUSED}
    assert float(unit("TimeoutStopSec")) > Config().drain_timeout
    credentials = dict(line.split(":") for line in re.findall(r"^LoadCredential=(.*)$", SERVICE, re.M))
    assert set(re.findall(r"%d/(\S+)", unit("ExecStart"))) == set(credentials)
    assert all((folder / name).exists() for name in credentials)


# --- the page ---------------------------------------------------------------------------------------------


def test_the_settings_of_the_workers_are_settings(folder: Path) -> None:
    assert nats_settings.load(path=folder / "nats.yaml").server == "tls://nats.example.org:4222"


@pytest.mark.parametrize("language", ["bash", "javascript"])
def test_snippets_parse(language: str, tmp_path: Path) -> None:
    for text in re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S):
        (tmp_path / "snippet.mjs").write_text(text)
        command = {"bash": ("bash", "-n"), "javascript": ("node", "--check", "snippet.mjs")}[language]
        done = run(*command, folder=tmp_path, text=text)
        assert done.returncode == 0, done.stderr
