"""`cw-proxy demo`: sign-in, server and answer on this machine, without an account and without touching a real login."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path
from urllib.request import urlopen

from servers import PATIENCE, program, run

COUNTED = " ".join(map(str, range(1, 21)))


def test_once_it_shows_everything_and_ends(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = run("demo", "--once", "--port", "0", environment={"CW_PROXY_HOME": str(home), "TMPDIR": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("Signing in: code ", "The proxy serves at http://127.0.0.1:", COUNTED, "curl -N", "OpenAI(base_url="):
        assert words in done.stdout
    assert not home.exists(), "the real login is neither used nor touched"
    assert list(tmp_path.iterdir()) == [], "its own is gone"


def test_a_proxy_of_the_environment_is_not_asked_about_this_machine() -> None:
    done = run("demo", "--once", "--port", "0", environment={"http_proxy": "http://127.0.0.1:9", "no_proxy": ""})
    assert (done.returncode, done.stderr) == (0, "")


def test_otherwise_it_serves_on_until_it_is_told(tmp_path: Path) -> None:
    with program("demo", "--port", "0", TMPDIR=str(tmp_path)) as demo:
        began = time.monotonic()
        while b"Ctrl-C ends the demo." not in demo.out:
            assert time.monotonic() - began < PATIENCE, demo.err
            time.sleep(0.01)
        url = demo.out.decode().split("The proxy serves at ", 1)[1].split("/v1", 1)[0]
        with urlopen(f"{url}/health", timeout=PATIENCE) as answer:
            assert answer.read() == b'{"status":"ok"}'
        demo.send(signal.SIGINT)
        assert demo.wait() == 0
    assert demo.err == b""


def test_a_port_in_use_is_said_clearly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("demo", "--once", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
