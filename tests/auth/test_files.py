from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cw_proxy.auth.files import make_private_folder, read_private, remove, sweep, write_private
from cw_proxy.errors import BrokenState

KILLS = 100

# One process that forks writers and kills them: forking is cheap, and safe in a process with one thread.
KILLER = """
import os, signal, sys
from pathlib import Path
from cw_proxy.auth.files import read_private, write_private

def content(number):
    return b"%08d" % number + b"x" * 200_000 + b"%08d" % number

def write_for_ever(path, ready):
    for number in range(10**8):
        write_private(path, content(number))
        os.write(ready, b".")

path = Path(sys.argv[1])
write_private(path, content(0))
for kill in range(int(sys.argv[2])):
    reader, ready = os.pipe()
    child = os.fork()
    if child == 0:
        write_for_ever(path, ready)
    for _ in range(1 + kill % 3):
        os.read(reader, 1)
    for _ in range(kill * 300):
        pass  # a different moment of the next write each time
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reader), os.close(ready)
    data = read_private(path)
    assert data == content(int(data[:8])), "torn"
print(sum(name.endswith(".tmp") for name in os.listdir(path.parent)))
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_a_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path, umask: int):
    old = os.umask(umask)
    try:
        write_private(tmp_path / "f", b"one")
    finally:
        os.umask(old)
    assert mode(tmp_path / "f") == 0o600
    assert read_private(tmp_path / "f") == b"one"


def test_nothing_is_left_beside_it(tmp_path: Path):
    for content in (b"one", b"two", b""):
        write_private(tmp_path / "f", content)
        assert read_private(tmp_path / "f") == content
    assert names(tmp_path) == ["f"]


def test_a_failed_write_leaves_the_old_and_no_temporary(tmp_path: Path):
    (tmp_path / "f" / "full").mkdir(parents=True)
    with pytest.raises(BrokenState, match="f cannot be written"):
        write_private(tmp_path / "f", b"new")
    assert names(tmp_path) == ["f"]


def test_no_file_is_none(tmp_path: Path):
    assert read_private(tmp_path / "f") is None


def test_an_open_file_is_tightened_with_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "f").write_bytes(b"one")
    (tmp_path / "f").chmod(0o644)
    assert read_private(tmp_path / "f") == b"one"
    assert mode(tmp_path / "f") == 0o600
    assert "could be read by other users" in caplog.text


def test_an_open_folder_is_tightened_with_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "home").mkdir(mode=0o755)
    make_private_folder(tmp_path / "home")
    make_private_folder(tmp_path / "new" / "deep")
    assert mode(tmp_path / "home") == mode(tmp_path / "new" / "deep") == 0o700
    assert caplog.text.count("could be read by other users") == 1


def test_another_users_file_folder_and_link_are_refused(tmp_path: Path):
    other = os.geteuid() + 1
    write_private(tmp_path / "f", b"one")
    (tmp_path / "link").symlink_to(tmp_path / "f")
    for path in (tmp_path / "f", tmp_path / "link"):
        with pytest.raises(BrokenState, match="belongs to another user"):
            read_private(path, uid=other)
    with pytest.raises(BrokenState, match="belongs to another user"):
        make_private_folder(tmp_path, uid=other)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_our_link_to_another_users_file_and_theirs_to_ours_are_refused(tmp_path: Path):
    for name in ("theirs", "ours"):
        write_private(tmp_path / name, b"one")
        (tmp_path / f"to-{name}").symlink_to(tmp_path / name)
    os.chown(tmp_path / "theirs", 12345, -1)
    os.chown(tmp_path / "to-ours", 12345, -1, follow_symlinks=False)
    for name in ("to-theirs", "to-ours"):
        with pytest.raises(BrokenState, match="12345"):
            read_private(tmp_path / name)


def test_our_own_link_is_followed(tmp_path: Path):
    write_private(tmp_path / "f", b"one")
    (tmp_path / "link").symlink_to("f")
    assert read_private(tmp_path / "link") == b"one"


def test_what_is_not_a_file_is_refused(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(BrokenState, match=name):
            read_private(tmp_path / name)


def test_sweeping_takes_only_temporary_files_of_these_names(tmp_path: Path):
    for name in (".f.0123.tmp", ".f.4567.tmp", ".g.0123.tmp", "f", "f.tmp"):
        (tmp_path / name).touch()
    sweep(tmp_path, ("f",))
    assert names(tmp_path) == [".g.0123.tmp", "f", "f.tmp"]


def test_removing_twice_is_fine(tmp_path: Path):
    write_private(tmp_path / "f", b"one")
    remove(tmp_path / "f")
    remove(tmp_path / "f")
    assert names(tmp_path) == []


def test_a_hundred_kills_in_the_middle_of_writing_never_tear_the_file(tmp_path: Path):
    path = tmp_path / "f"
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(path), str(KILLS)], capture_output=True, text=True, check=True, timeout=120
    )
    print("stale temporary files:", done.stdout)
    sweep(tmp_path, ("f",))
    assert names(tmp_path) == ["f"]
