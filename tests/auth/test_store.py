from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from cw_proxy.auth.flow import SCOPES
from cw_proxy.auth.records import Registration
from cw_proxy.auth.store import Store, is_sealed
from cw_proxy.errors import BrokenState
from cw_proxy.secret import Secret

REGISTRATION = Registration(
    client_id="client",
    client_secret=Secret("canary-client"),
    expires_at=1_800_000_000,
    scopes=SCOPES,
    start_url="https://view.awsapps.com/start",
    region="us-east-1",
)


def test_nothing_is_there_at_first_and_looking_makes_nothing(store: Store):
    assert store.load() is None
    assert store.load_registration() is None
    assert store.stamp() is None
    store.sweep()
    assert not store.home.exists()


def test_what_is_saved_is_loaded_by_another(store: Store, make_login):
    login = make_login(profile_arn="arn:aws:codewhisperer:eu-central-1:1:profile/X")
    with store.writing() as files:
        files.save(login)
        files.save_registration(REGISTRATION)
    other = Store(store.home)
    assert other.load() == login
    assert other.load_registration() == REGISTRATION
    assert {path.name: path.stat().st_mode & 0o777 for path in store.home.iterdir()} == {
        "lock": 0o600,
        "tokens.json": 0o600,
        "registration.json": 0o600,
    }
    assert store.home.stat().st_mode & 0o777 == 0o700


def test_the_stamp_changes_with_every_save_and_removal(store: Store, make_login):
    stamps = [store.stamp()]
    for number in range(3):
        with store.writing() as files:
            files.save(make_login(access_token=Secret(f"access-{number}")))
        stamps.append(store.stamp())
    with store.writing() as files:
        files.remove()
    assert len(set(stamps)) == 4
    assert store.stamp() is None


def test_unknown_fields_survive_a_refresh(store: Store, make_login):
    with store.writing() as files:
        files.save(make_login())
    path = store.home / "tokens.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "theirs": [1]}))
    login = store.load()
    assert login is not None
    with store.writing() as files:
        files.save(msgspec.structs.replace(login, access_token=Secret("new")))
    assert json.loads(path.read_text())["theirs"] == [1]


def test_a_broken_file_is_named_with_what_to_do_and_left_alone(store: Store):
    store.home.mkdir(mode=0o700)
    path = store.home / "tokens.json"
    path.write_bytes(b'{"accessToken": "canary')
    path.chmod(0o600)
    with pytest.raises(BrokenState) as caught:
        store.load()
    assert str(path) in caught.value.message
    assert "cw-proxy logout" in caught.value.message
    assert "canary" not in caught.value.message
    assert path.read_bytes() == b'{"accessToken": "canary'


def test_logging_out_removes_also_what_cannot_be_read(store: Store):
    with store.writing() as files:
        (store.home / "tokens.json").write_text("{")
        files.remove()
        files.remove()
    assert [path.name for path in store.home.iterdir()] == ["lock"]


def test_stale_temporary_files_are_swept_but_not_a_live_writers(store: Store):
    with store.writing():
        temporary = store.home / ".tokens.json.0123.tmp"
        temporary.touch()
        Store(store.home).sweep()
        assert temporary.exists()
    store.sweep()
    assert not temporary.exists()


class MemorySafe:
    """Keeps what it seals in a dict that outlives it."""

    def __init__(self, entries: dict[str, bytes]) -> None:
        self.entries = entries

    def seal(self, data: bytes) -> bytes:
        name = str(len(self.entries))
        self.entries[name] = data
        return json.dumps({"cwProxyKeyring": [name]}).encode()

    def unseal(self, data: bytes) -> bytes | None:
        return self.entries.get(json.loads(data)["cwProxyKeyring"][0])

    def discard(self, data: bytes) -> None:
        self.entries[json.loads(data)["cwProxyKeyring"][0]] = b""


def test_sealed_files_hold_no_secret_and_stay_sealed(tmp_path: Path, make_login):
    entries: dict[str, bytes] = {}
    store = Store(tmp_path, safe=lambda: MemorySafe(entries))
    with store.writing() as files:
        files.save(make_login(), "keyring")
    assert store.kept() == "keyring"
    login = make_login(access_token=Secret("canary-new"))
    with store.writing() as files:
        files.save(login)
    data = (tmp_path / "tokens.json").read_bytes()
    assert is_sealed(data)
    assert b"canary" not in data
    assert store.load() == login
    assert entries["0"] == b"", "the secrets of before are forgotten once the file names the new ones"


def test_going_back_to_files_empties_the_safe(tmp_path: Path, make_login):
    entries: dict[str, bytes] = {}
    store = Store(tmp_path, safe=lambda: MemorySafe(entries))
    for keep in ("keyring", "files"):
        with store.writing() as files:
            files.save(make_login(), keep)
    assert store.kept() == "files"
    assert set(entries.values()) == {b""}


def test_secrets_the_safe_has_lost_are_broken_state(tmp_path: Path, make_login):
    entries: dict[str, bytes] = {}
    store = Store(tmp_path, safe=lambda: MemorySafe(entries))
    with store.writing() as files:
        files.save(make_login(), "keyring")
    entries.clear()
    with pytest.raises(BrokenState, match="keyring has lost"):
        store.load()
