"""`cw-proxy serve`: its first line, and what keeps it from starting. How it ends is in e2e/test_processes.py."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from urllib.request import urlopen

import pytest
from servers import NOBODY, TOKEN, run, serving


def body(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:
        return answer.read()


def test_the_first_line_is_the_address() -> None:
    with serving(NOBODY) as (url, server):
        assert body(f"{url}/health") == b'{"status":"ok"}'
        server.send(signal.SIGTERM)
        assert server.wait() == 0
        assert server.out.decode() == f"{url}\n"
        assert server.err == b""


@pytest.mark.parametrize(("host", "start"), [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://")])
def test_the_address_is_one_that_answers(host: str, start: str) -> None:
    with serving(NOBODY, "--host", host) as (url, _):
        assert url.startswith(start)
        assert body(f"{url}/health/live")


def test_the_port_comes_from_the_environment_unless_a_flag_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", environment={"CW_PROXY_ACCESS_TOKEN": TOKEN, "PORT": port})
        assert f"127.0.0.1:{port}" in done.stderr
        with serving(NOBODY, PORT=port) as (url, _):
            assert url.rpartition(":")[2] != port


REFUSED: list[tuple[list[str], dict[str, str], str]] = [
    (["--port", "65536"], {}, "--port"),
    (["--port", "-1"], {}, "--port"),
    (["--port", "http"], {}, "--port"),
    ([], {"PORT": "99999"}, "port"),
    ([], {"PORT": "http"}, "port"),
    (["--host", "0.0.0.0"], {}, "--api-key"),
    (["--host", "::"], {}, "--api-key"),
    ([], {"CW_PROXY_HOST": "0.0.0.0"}, "--api-key"),
    (["--host", "no.such.host.invalid", "--api-key", "a-key"], {}, "no.such.host.invalid"),
    (["--on-licensed-code", "hide"], {}, "--on-licensed-code"),
    ([], {"CW_PROXY_ON_LICENSED_CODE": "hide"}, "on_licensed_code"),
    ([], {"CW_PROXY_STREAMING_URL": "http://service.example"}, "streaming_url"),
    (["--config", "/nonexistent/config.toml"], {}, "/nonexistent/config.toml"),
]


@pytest.mark.parametrize(("arguments", "environment", "words"), REFUSED)
def test_what_is_wrong_keeps_it_from_starting(arguments: list[str], environment: dict[str, str], words: str) -> None:
    done = run("serve", *arguments, environment={"CW_PROXY_ACCESS_TOKEN": TOKEN, **environment})
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "a-key" not in done.stderr


def test_a_port_in_use_is_said_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), environment={"CW_PROXY_ACCESS_TOKEN": TOKEN})
    assert (done.returncode, done.stdout) == (2, "")
    said = f"Cannot listen on 127.0.0.1:{port}: Address already in use. Another port: --port N, or 0 for any free one."
    assert done.stderr == f"cw-proxy: {said}\n"


def test_flags_join_the_settings_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('api_keys = ["a-key-of-the-file"]\n')
    with serving(NOBODY, "--config", str(file), "--host", "0.0.0.0") as (url, _):
        assert body(f"http://127.0.0.1:{url.rpartition(':')[2]}/health")
