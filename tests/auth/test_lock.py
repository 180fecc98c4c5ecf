from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cw_proxy.auth.lock import FileLock, LockTaken
from cw_proxy.errors import BrokenState

HOLDER = """
import sys
from pathlib import Path
from cw_proxy.auth.lock import FileLock
with FileLock(Path(sys.argv[1])).hold(10):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_keeps_us_out_until_it_is_killed(tmp_path: Path):
    lock = FileLock(tmp_path / "lock")
    with hold_elsewhere(tmp_path / "lock") as holder:
        with pytest.raises(LockTaken, match="another cw-proxy process"), lock.hold(0.05):
            pass
        holder.kill()
        with lock.hold(10):
            pass


def test_threads_exclude_each_other(tmp_path: Path):
    count, seen = 0, []

    def work() -> None:
        nonlocal count
        for _ in range(20):
            with FileLock(tmp_path / "lock").hold(30):
                count += 1
                seen.append(count)
                count -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 80


def test_it_is_released_when_its_holder_fails(tmp_path: Path):
    lock = FileLock(tmp_path / "lock")
    with pytest.raises(RuntimeError), lock.hold(0):
        raise RuntimeError
    with lock.hold(0):
        pass
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_lock_that_cannot_be_made_names_its_file(tmp_path: Path):
    (tmp_path / "lock").symlink_to("elsewhere")
    for path in (tmp_path / "lock", tmp_path / "missing" / "lock"):
        with pytest.raises(BrokenState, match=str(path)), FileLock(path).hold(0):
            pass
