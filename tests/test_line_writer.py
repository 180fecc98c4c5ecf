"""Lines to a stderr that nobody reads, that is closed, and that is no file at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cw_proxy.line_writer import LineWriter

PATIENCE = 30
# Writes more than a pipe holds, says on stdout that it went on, and ends by itself.
FLOOD = """
import sys
from cw_proxy.line_writer import LineWriter
lines = LineWriter(100)
for number in range(5000):
    lines.write("x" * 100 + str(number))
print(lines.lost > 0, flush=True)
lines.close(0.1)
print("closed", flush=True)
"""


def test_lines_in_their_order(capfd: pytest.CaptureFixture[str]) -> None:
    lines = LineWriter()
    for number in range(1000):
        lines.write(f"line {number} \udcff")
    lines.close()
    assert capfd.readouterr().err.splitlines() == [f"line {number} \\udcff" for number in range(1000)]
    assert lines.lost == 0


def test_what_stands_in_for_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    lines = LineWriter()
    lines.write("a line")
    lines.close()
    assert capsys.readouterr().err == "a line\n"


def test_nothing_to_write() -> None:
    LineWriter().close()


def test_a_pipe_that_nobody_reads_holds_nobody_up() -> None:
    read, write = os.pipe()
    try:
        running = subprocess.Popen([sys.executable, "-c", FLOOD], stdout=subprocess.PIPE, stderr=write, text=True)
        out, _ = running.communicate(timeout=PATIENCE)
    finally:
        os.close(read)
        os.close(write)
    assert (out, running.returncode) == ("True\nclosed\n", 0)


def test_a_pipe_that_is_closed() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", FLOOD], stdout=subprocess.PIPE, stderr=write, text=True, timeout=PATIENCE, check=False
    )
    os.close(write)
    assert done.stdout.endswith("closed\n")
    assert done.returncode == 0
