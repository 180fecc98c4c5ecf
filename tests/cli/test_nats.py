"""`cw-proxy nats` as a process: its lines, what keeps it from starting, how it ends, and that it shows no secret."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import nats.errors
import pytest
import yaml
from nats_peers import SUBJECT, Certificates, NatsServer, Nkey, Site, client, nats_server, request, worker
from servers import PATIENCE, TOKEN, program, run, until, urls

from cw_proxy.emulator import Emulator

READY = {"CW_PROXY_ACCESS_TOKEN": TOKEN, **urls("http://127.0.0.1:9")}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(tmp_path) as running:
        yield running


def written(folder: Path, text: str) -> str:
    file = folder / "config.yaml"
    file.write_text(text)
    return str(file)


REFUSED: list[tuple[str, list[str], int, str]] = [
    ("nats: [", [], 2, "is not valid YAML, line 1."),
    ("nats: {subjekt: sk-very-secret}", [], 2, "'subjekt'"),
    ("nats: {subject: a}", ["--config", "/none/config.yaml"], 2, "/none/config.yaml"),
    ("nats: {nkey_seed_file: /none/seed.nk}", [], 2, "/none/seed.nk cannot be read"),
    ("nats: {tls: {enabled: true, ca: /none/ca.pem}}", [], 2, "/none/ca.pem cannot be read"),
    ("nats: {subject: a}", ["--subject", "a.*"], 2, "subject"),
    ("nats: {server: 'nats://u:sk-very-secret@127.0.0.1:9'}", [], 6, "cannot be reached"),
]


@pytest.mark.parametrize(("text", "arguments", "code", "words"), REFUSED)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, arguments: list[str], code: int, words: str) -> None:
    done = run("nats", "--config", written(tmp_path, text), *arguments, environment=READY)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert done.stderr.startswith("cw-proxy: ")
    assert done.stderr.count("\n") == 1
    assert "sk-very-secret" not in done.stderr


async def test_the_documented_file_with_nkey_and_certificates(tmp_path: Path, emulator: Emulator) -> None:
    key, other, tls = Nkey(tmp_path), Nkey(tmp_path, "other"), Certificates(tmp_path)
    demanded = f"authorization {{ users: [{{ nkey: {key.public} }}] }}\n{tls.demanded}"
    with nats_server(tmp_path, demanded) as server:
        text = f"""
nats:
  server: "{server.url}"
  subject: "{SUBJECT}"
  nkey_seed_file: "{key.file}"
  tls:
    enabled: true
    cert: "{tls.cert}"
    key: "{tls.key}"
    ca: "{tls.ca}"
"""
        file = written(tmp_path, text)
        with worker(emulator.url, "--config", file, "--debug", "true") as running:
            running.send(signal.SIGTERM)
            assert await asyncio.to_thread(running.wait) == 0
        assert key.seed[:12] not in running.err.decode()
        done = await asyncio.to_thread(
            run, "nats", "--config", file, "--nkey_seed_file", str(other.file), environment=READY
        )
        assert done.returncode == 7
        assert "does not accept this nkey" in done.stderr
        assert other.seed[:12] not in done.stderr


# What is changed in a file that is right; the exit code; what is said.
NOT_ACCEPTED: dict[str, tuple[dict[str, str], int, str]] = {
    "a wrong nkey": ({"nkey_seed_file": "other.nk"}, 7, "does not accept this nkey."),
    "no nkey": ({"nkey_seed_file": ""}, 7, "does not accept a client without an nkey: set nkey_seed_file."),
    "a foreign certificate": ({"cert": "foreign-cert.pem", "key": "foreign-key.pem"}, 7, "see tls.cert and tls.key."),
    "no certificate": ({"cert": "", "key": ""}, 7, "see tls.cert and tls.key."),
    "no authority": ({"ca": ""}, 7, "has a certificate that is not trusted here: see tls.ca."),
    "a missing authority": ({"ca": "none.pem"}, 2, "none.pem cannot be read: No such file or directory."),
    "a seed that cannot be read": ({"nkey_seed_file": ""}, 2, "cannot be read: Is a directory."),
    "a seed that is none": ({"nkey_seed_file": "ours-ca.pem"}, 2, "holds no user's seed (SU…)."),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def strict(site: Site) -> Iterator[NatsServer]:
    with nats_server(site.folder, site.strict) as running:
        yield running


@pytest.mark.parametrize("case", NOT_ACCEPTED)
def test_what_is_not_accepted_is_one_line(tmp_path: Path, site: Site, strict: NatsServer, case: str) -> None:
    changes, code, words = NOT_ACCEPTED[case]
    files = {"nkey_seed_file": "user.nk", "cert": "ours-cert.pem", "key": "ours-key.pem", "ca": "ours-ca.pem"} | changes
    paths = {name: str(site.folder / file) for name, file in files.items() if file}
    if case == "a seed that cannot be read":
        paths["nkey_seed_file"] = str(site.folder)
    seed = paths.pop("nkey_seed_file", None)
    text = yaml.safe_dump({"nats": {"server": strict.url, "nkey_seed_file": seed, "tls": {"enabled": True, **paths}}})
    done = run("nats", "--config", written(tmp_path, text), environment=READY)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert words in done.stderr
    assert done.stderr.startswith("cw-proxy: ")
    assert done.stderr.count("\n") == 1
    assert site.key.seed[:12] not in done.stderr
    assert site.other_key.seed[:12] not in done.stderr


async def test_it_says_when_it_listens_and_answers_until_a_signal(server: NatsServer, emulator: Emulator) -> None:
    with worker(
        emulator.url, "--nats_server", server.url, "--subject", "mine", "--engine", "claude-sonnet-4"
    ) as running:
        lines = running.err.decode().splitlines()
        assert lines[0].endswith(" Connected to NATS Server")
        assert lines[1].endswith(" Listening for requests on 'mine'")
        async with client(server) as connection:
            answer = await connection.request("mine", b"Count from 1 to 3", timeout=PATIENCE)
            assert answer.data == b"1 2 3"
        assert emulator.stats.last_body["conversationState"]["currentMessage"]["userInputMessage"]["modelId"]
        running.send(signal.SIGTERM)
        assert await asyncio.to_thread(running.wait) == 0
    assert b"Count from" not in running.err


async def test_what_it_answered_is_in_its_log_and_in_the_usage(
    tmp_path: Path, server: NatsServer, emulator: Emulator
) -> None:
    kept = {"CW_PROXY_HOME": str(tmp_path), "CW_PROXY_USAGE_HISTORY": "true", "CW_PROXY_ACCESS_LOG": "json"}
    with worker(emulator.url, "--nats_server", server.url, **kept) as running:
        async with client(server) as connection:
            await request(connection, b"Count from 1 to 3")
            await request(connection, b" ")
        running.send(signal.SIGTERM)
        assert await asyncio.to_thread(running.wait) == 0
    good, bad = [json.loads(line) for line in running.err.splitlines() if line.startswith(b"{")]
    assert (good["method"], good["route"], good["outcome"]) == ("NATS", SUBJECT, "ok")
    assert (bad["status"], bad["outcome"]) == (400, "invalid_request")
    [today] = json.loads(run("usage", "--json", environment=kept).stdout)
    assert (today["exchanges"], today["failed"], today["output_tokens"]) == (1, 0, good["output_tokens"])


async def test_a_key_means_openai_and_is_warned_of(server: NatsServer, emulator: Emulator) -> None:
    options = ("--nats-server", server.url, "--openai-api-key", "sk-very-secret", "--engine", "gpt-4o", "--debug")
    with worker(emulator.url, *options, CW_PROXY_OPENAI_BASE_URL=f"{emulator.url}/v1") as running:
        async with client(server) as connection:
            assert (await request(connection, b"Count from 1 to 3")).data == b"1 2 3"
        assert emulator.stats.last_body["model"] == "gpt-4o"
    assert "A key on the command line can be seen" in running.err.decode()
    assert b"sk-very-secret" not in running.err


async def test_a_key_in_the_file_is_not_warned_of(server: NatsServer, emulator: Emulator, tmp_path: Path) -> None:
    file = written(tmp_path, f"nats: {{server: '{server.url}', openai_api_key: sk-very-secret, engine: gpt-5}}")
    with worker(emulator.url, "--config", file, CW_PROXY_OPENAI_BASE_URL=f"{emulator.url}/v1") as running:
        async with client(server) as connection:
            assert (await request(connection, b"Count from 1 to 3")).data == b"1 2 3"
        assert emulator.stats.last_body["model"] == "gpt-5"
    assert b"command line" not in running.err
    assert b"sk-very-secret" not in running.err


async def test_a_connection_lost_for_good_ends_the_process(emulator: Emulator) -> None:
    """A server of ours: the end of somebody's time takes an operator and JWTs on a real one."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576,"headers":true}\r\n')
        telling = asyncio.create_task(tell(writer))
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        telling.cancel()

    async def tell(writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.write(b"-ERR 'User Authentication Expired'\r\n")

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        starting = worker(emulator.url, "--nats_server", url)
        running = await asyncio.to_thread(starting.__enter__)
        over.set()
        assert await asyncio.to_thread(running.wait) == 6, running.err.decode()
        await asyncio.to_thread(starting.__exit__, None, None, None)
    assert running.err.decode().splitlines()[-1] == "cw-proxy: The NATS server closed the connection for good."


async def test_tls_is_not_left_to_the_server(tmp_path: Path, server: NatsServer, site: Site) -> None:
    tls = {"enabled": True, "ca": str(site.ours.ca)}
    for settings in ({"server": server.url, "tls": tls}, {"server": server.url.replace("nats:", "tls:")}):
        file = written(tmp_path, yaml.safe_dump({"nats": settings}))
        done = await asyncio.to_thread(run, "nats", "--config", file, environment=READY)
        assert (done.returncode, done.stdout) == (7, "")
        assert "do not agree about TLS" in done.stderr
        assert done.stderr.count("\n") == 1


async def test_a_signal_while_it_starts_loses_nothing(server: NatsServer, emulator: Emulator) -> None:
    """As soon as it says that it is connected: it may have taken requests already."""
    async with client(server) as connection:
        with program(
            "nats", "--nats_server", server.url, **{"CW_PROXY_ACCESS_TOKEN": TOKEN, **urls(emulator.url)}
        ) as running:
            await until(lambda: b"Connected to NATS Server" in running.err, "it is connected")
            running.send(signal.SIGTERM)
            assert await asyncio.to_thread(running.wait) == 0, running.err.decode()
        with pytest.raises(nats.errors.NoRespondersError):
            await request(connection, b"Hello")


async def test_a_permission_that_is_taken_away_ends_the_process(tmp_path: Path, emulator: Emulator) -> None:
    def users(permissions: str) -> str:
        return f"authorization {{ users: [{{ user: a, password: b, permissions: {{ {permissions} }} }}] }}"

    with (
        nats_server(tmp_path, users('subscribe: { allow: ">" }')) as server,
        worker(emulator.url, "--nats_server", server.url.replace("//", "//a:b@")) as running,
    ):
        server.reload(users(f'subscribe: {{ allow: ">", deny: "{SUBJECT}" }}'))
        assert await asyncio.to_thread(running.wait) == 7, running.err.decode()
    last = running.err.decode().splitlines()[-1]
    assert last == f"cw-proxy: The NATS server does not permit us to subscribe to '{SUBJECT}'."


async def test_openai_without_a_model_is_warned_of(server: NatsServer, emulator: Emulator) -> None:
    options = {"CW_PROXY_BACKEND": "openai", "CW_PROXY_OPENAI_BASE_URL": f"{emulator.url}/v1"}
    with worker(emulator.url, "--nats_server", server.url, **options) as running:
        assert "No engine is set" in running.err.decode()


async def test_a_second_signal_does_not_wait(server: NatsServer, emulator: Emulator) -> None:
    emulator.scripts["hang"] = [{"hang": True}]
    with worker(emulator.url, "--nats_server", server.url) as running:
        async with client(server) as connection:
            asked = asyncio.create_task(connection.request(SUBJECT, b"play the script hang", timeout=PATIENCE))
            await until(lambda: emulator.stats.in_flight == 1, "it is under way")
            running.send(signal.SIGTERM)
            running.send(signal.SIGINT)
            assert await asyncio.to_thread(running.wait) == 0
            asked.cancel()


# --- keys -------------------------------------------------------------------------------------------------


async def test_keygen_makes_a_key_that_works(tmp_path: Path, emulator: Emulator) -> None:
    file = tmp_path / "new.nk"
    done = run("nats", "keygen", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("U")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    demanded = f"authorization {{ users: [{{ nkey: {done.stdout.strip()} }}] }}"
    with (
        nats_server(tmp_path, demanded) as server,
        worker(emulator.url, "--nats_server", server.url, "--nkey_seed_file", str(file)),
    ):
        pass


def test_keygen_overwrites_nothing(tmp_path: Path) -> None:
    file = tmp_path / "old.nk"
    file.write_text("mine")
    done = run("nats", "keygen", str(file))
    assert (done.returncode, file.read_text()) == (2, "mine")
    assert done.stderr == f"cw-proxy: The file {file} cannot be written: File exists.\n"
