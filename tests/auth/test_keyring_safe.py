"""The backends here are plug-ins of the keyring library, as its own tests write them; one test meets a desktop's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import KeyringLocked, PasswordDeleteError

from cw_proxy.auth.keyring_safe import CHUNK, KeyringSafe, is_refused
from cw_proxy.auth.store import Store, is_sealed
from cw_proxy.errors import BrokenState

DATA = json.dumps(
    {"startUrl": "https://x", "accessToken": "canary" * 400, "refreshToken": "canary", "clientSecret": "canary", "a": 1}
).encode()


class Memory(KeyringBackend):
    """Like Windows: an entry holds 1,280 characters."""

    priority = 1

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, username: str, password: str) -> None:
        assert len(password) <= CHUNK
        self.entries[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        if self.entries.pop((service, username), None) is None:
            raise PasswordDeleteError("no such entry")


class Forgetful(Memory):
    def get_password(self, service: str, username: str) -> str | None:
        return None


class Locked(Memory):
    def set_password(self, service: str, username: str, password: str) -> None:
        raise KeyringLocked(f"cannot store {password}")


class Dead(Memory):
    released = threading.Event()

    def set_password(self, service: str, username: str, password: str) -> None:
        self.released.wait(30)


class PlaintextKeyring(Memory):
    """By the name under which others keep passwords in a file."""


def test_secrets_go_to_the_keyring_in_pieces_and_come_back():
    backend = Memory()
    safe = KeyringSafe(backend)
    sealed = safe.seal(DATA)
    assert is_sealed(sealed)
    assert b"canary" not in sealed
    assert len(backend.entries) > 1
    whole = KeyringSafe(backend).unseal(sealed)
    assert whole is not None
    assert json.loads(whole) == json.loads(DATA)


def test_discarding_leaves_nothing_and_twice_is_fine():
    backend = Memory()
    safe = KeyringSafe(backend)
    sealed = safe.seal(DATA)
    safe.discard(sealed)
    safe.discard(sealed)
    safe.discard(b'{"cwProxyKeyring": torn')
    assert backend.entries == {}
    assert safe.unseal(sealed) is None


def test_a_new_sealing_leaves_the_old_in_force():
    safe = KeyringSafe(Memory())
    old, new = safe.seal(b'{"accessToken": "old"}'), safe.seal(b'{"accessToken": "new"}')
    safe.discard(new)
    assert safe.unseal(old) == b'{"accessToken": "old"}'


@pytest.mark.parametrize("backend", [fail.Keyring(), null.Keyring(), PlaintextKeyring()])
def test_backends_that_keep_nothing_or_no_secret_are_refused(backend: KeyringBackend):
    assert is_refused(backend)
    with pytest.raises(BrokenState, match="no keyring here"):
        KeyringSafe(backend).seal(DATA)


def test_of_several_backends_the_first_that_keeps_secrets_is_used():
    class Several(chainer.ChainerBackend):
        backends = [PlaintextKeyring(), good := Memory()]  # noqa: RUF012 - as keyring declares it

    KeyringSafe(Several()).seal(DATA)
    assert Several.good.entries
    assert not Several.backends[0].entries


@pytest.mark.parametrize(("backend", "words"), [(Forgetful(), "does not give back"), (Locked(), "KeyringLocked")])
def test_a_keyring_that_fails_is_broken_state_without_a_secret(backend: KeyringBackend, words: str):
    with pytest.raises(BrokenState, match=words) as caught:
        KeyringSafe(backend).seal(DATA)
    assert "canary" not in caught.value.message


def test_a_keyring_that_never_answers_is_not_waited_for():
    with pytest.raises(BrokenState, match="does not answer"):
        KeyringSafe(Dead(), seconds=0.05).seal(DATA)
    Dead.released.set()


def test_a_store_keeps_its_sign_in_there(tmp_path, make_login):
    backend = Memory()
    store = Store(tmp_path / "home", safe=lambda: KeyringSafe(backend))
    for number in range(3):
        login = make_login(left=number)
        with store.writing() as files:
            files.save(login, "keyring")
        assert store.load() == login
    assert b"access-0" not in (store.home / "tokens.json").read_bytes()
    assert len(backend.entries) == 1
    with store.writing() as files:
        files.remove()
    assert backend.entries == {}


REAL = """
import json, sys
import keyring
from cw_proxy.auth.keyring_safe import KeyringSafe
print(type(keyring.get_keyring()).__module__)
safe, data = KeyringSafe(seconds=30), sys.stdin.buffer.read()
sealed = safe.seal(data)
assert b"canary" not in sealed
assert json.loads(KeyringSafe().unseal(sealed)) == json.loads(data)
safe.discard(sealed)
assert safe.unseal(sealed) is None
"""
UNLOCKED = 'printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null; exec "$0" -c "$1" < "$2"'


@pytest.mark.skipif(
    "CI" not in os.environ and not (shutil.which("dbus-run-session") and shutil.which("gnome-keyring-daemon")),
    reason="needs dbus-run-session and gnome-keyring-daemon, which CI installs",
)
def test_the_real_keyring_of_a_desktop(tmp_path: Path):
    (tmp_path / "data").write_bytes(DATA)
    (tmp_path / "run").mkdir(mode=0o700)
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", UNLOCKED, sys.executable, REAL, str(tmp_path / "data")],
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "keyring.backends.SecretService\n"), done.stderr
