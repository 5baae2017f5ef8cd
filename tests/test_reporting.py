"""When a decorated function reports, in a process of its own; and TXPROF=0."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import txprof


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments, program] if arguments else [sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=60,
    )


PROGRAM = """
import txprof

@txprof.profile{options}
def work(n):
    return sum(range(n))

if __name__ == "__main__":
    work(1000)
    work(10)
    print("done", work is not None)
"""


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(options=getattr(request, "param", "")))
    return str(path)


def test_a_decorated_function_reports_once_when_the_process_ends(program: str) -> None:
    result = run(program)
    assert result.stdout == "done True\n"
    assert result.stderr.count("txprof ── work ── 2 calls") == 1
    assert result.returncode == 0


@pytest.mark.parametrize("program", ['(report="call")'], indirect=True)
def test_report_call_prints_after_every_call(program: str) -> None:
    assert run(program).stderr.count("txprof ── work ── 1 call ·") == 2


@pytest.mark.parametrize("program", ["(report=None)"], indirect=True)
def test_report_none_prints_nothing(program: str) -> None:
    assert run(program).stderr == ""


def test_txprof_0_switches_everything_off(program: str) -> None:
    assert run(program, TXPROF="0").stderr == ""


class Worker:
    def method(self) -> int:
        return 1


def test_under_txprof_0_decorators_return_the_function_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TXPROF", "0")

    def work() -> int:
        return 1

    assert txprof.profile(work) is work
    assert txprof.profile(report=None)(work) is work
    assert txprof.profile(Worker) is Worker
    with txprof.profile(work) as prof:  # type: ignore[attr-defined]
        work()
    assert prof.functions == []
    assert prof.findings == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_report_its_parents_calls_again(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(
        "import os, sys, txprof\n\n@txprof.profile\ndef work():\n    return 1\n\nwork()\n"
        "child = os.fork()\nif child == 0:\n    sys.exit(0)\nos.waitpid(child, 0)\n"
    )
    assert run(str(path)).stderr.count("txprof ── work ── 1 call") == 1
