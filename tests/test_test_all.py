"""tools/test_all.py: a run of the tests that hangs is named, and ended with all that it started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tooling import ROOT, tool

TOOL = tool("test_all")


def test_a_run_that_ends_is_what_it_printed() -> None:
    program = "import sys; print('passed'); print('warned', file=sys.stderr); sys.exit(1)"
    status, printed = TOOL.run([sys.executable, "-u", "-c", program])
    assert (status, printed) == (1, "passed\nwarned\n")


def test_a_run_that_takes_too_long_fails() -> None:
    program = "import threading; threading.Event().wait()"
    status, printed = TOOL.run([sys.executable, "-c", program], seconds=0.0)
    assert status < 0
    assert "== ended: not done after 0 s" in printed


def test_what_hangs_is_named_and_ended(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    child = "import sys; sys.stdout = open(sys.argv[1], 'w'); print(1, flush=True); input()"
    program = f"""
import faulthandler, subprocess, sys
faulthandler.enable()  # as pytest does

def hangs():
    command = [sys.executable, "-c", {child!r}, {str(alive)!r}]
    subprocess.Popen(command, stdin=subprocess.PIPE).wait()

hangs()
"""
    with (tmp_path / "printed").open("w+b") as printed:
        hung = subprocess.Popen([sys.executable, "-c", program], stderr=printed)
        with alive.open() as written:
            assert written.readline() == "1\n"
            said = TOOL.ended(hung, 5.0)
            assert written.read() == ""  # its last writer is gone
        printed.seek(0)
        assert b" in hangs\n" in printed.read()
    assert hung.returncode < 0
    assert f" {alive}\n" in said


def test_every_file_is_in_one_part() -> None:
    found = TOOL.parts([])
    files = [file for part in found for file in part]
    everything = Path(__file__).parent.rglob("test_*.py")
    assert sorted(files) == sorted(str(file.relative_to(ROOT)) for file in everything)
    assert len(found) == TOOL.PARTS
    assert all(found)


def test_what_is_asked_for_is_in_one_run() -> None:
    assert TOOL.parts(["tests/test_allow.py", "-x"]) == [["tests/test_allow.py", "-x"]]
