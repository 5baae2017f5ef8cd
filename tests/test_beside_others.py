"""Coverage, debuggers and other profilers go on working beside txprof, and it beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import asyncio
import contextlib
import json
import txprof

def work(number):
    total = 0
    for i in range(number):
        if i % 2:
            total += i
    return total

def steps(number):
    for i in range(number):
        yield i

async def job(number):
    await asyncio.sleep(0)
    return work(number)

def never(number):
    return number

@contextlib.contextmanager
def opened():
    try:
        yield work(1)
    except KeyError:
        pass

def caught(number):
    try:
        return {}[number]
    except KeyError:
        return None

async def main():
    return await asyncio.gather(*(job(4) for _ in range(3)))

def run():
    with txprof.profile(work, steps, job, caught) as prof:
        assert work(4) == 4
        assert list(steps(3)) == [0, 1, 2]
        assert asyncio.run(main()) == [4, 4, 4]
        assert caught(1) is None
        with opened():
            raise KeyError
    hits = {
        function.site.function: {
            number - function.site.line: line.hits for number, line in function.lines.items()
        }
        for function in prof.functions
    }
    return hits

if __name__ == "__main__":
    print(json.dumps(run()))
"""

EXPECTED = {
    "work": {"1": 5, "2": 22, "3": 17, "4": 8, "5": 5},
    "steps": {"1": 4, "2": 3},
    "job": {"1": 3, "2": 3},
    "caught": {"1": 1, "2": 1, "3": 1, "4": 1},
}
MONITORING = sys.version_info >= (3, 12)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python program, as a user would start it."""
    path = os.pathsep.join(part for part in sys.path if part)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "default", **environment},
    )


def hits_in(output: str) -> dict[str, Any]:
    """The line that the program printed."""
    (line,) = [line for line in output.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(line)
    return found


def test_the_program_alone(program: Path) -> None:
    ran = run(str(program), folder=program.parent)
    assert ran.returncode == 0, ran.stderr
    assert hits_in(ran.stdout) == EXPECTED
    assert ran.stderr == ""


# Coverage

CORES = ["ctrace", "pytrace", *(["sysmon"] if MONITORING else [])]


def covered(program: Path, core: str, **environment: str) -> tuple[list[int], str, str]:
    """The lines that coverage saw, and what the program said."""
    data = program.parent / "coverage.data"
    options = (f"--data-file={data}", "--include", program.name)
    ran = run(
        "-m",
        "coverage",
        "run",
        *options,
        program.name,
        folder=program.parent,
        COVERAGE_CORE=core,
        **environment,
    )
    assert ran.returncode == 0, ran.stderr
    report = run("-m", "coverage", "json", f"--data-file={data}", "-o", "-", folder=program.parent)
    lines = json.loads(report.stdout.splitlines()[-1])["files"][program.name]["executed_lines"]
    return lines, ran.stdout, ran.stderr


@pytest.mark.parametrize("core", CORES)
def test_coverage_sees_the_same_lines_and_so_do_we(program: Path, core: str) -> None:
    without, _, _ = covered(program, core, TXPROF="0")
    lines, output, errors = covered(program, core)
    assert lines == without
    expected = dict(EXPECTED)
    if not MONITORING:
        # There is one tracer, and coverage has it. line_profiler goes through it; we give way.
        expected |= {"steps": {}, "job": {}}
        assert "txprof shows no line times of coroutines, generators and greenlets" in errors
        assert len(errors.splitlines()) == 1
    assert hits_in(output) == expected


def test_pytest_cov_reports_the_same(program: Path) -> None:
    (program.parent / "test_program.py").write_text(
        "import program\n\ndef test_it():\n"
        "    hits = program.run()\n    assert not hits or hits['work']\n"
    )
    reports = []
    for switch in ("0", "1"):
        ran = run(
            *(
                "-m",
                "pytest",
                "-q",
                "--cov=program",
                "--cov-report=term-missing",
                "-p",
                "no:cacheprovider",
            ),
            folder=program.parent,
            TXPROF=switch,
        )
        assert ran.returncode == 0, ran.stdout
        reports.append([line for line in ran.stdout.splitlines() if line.startswith("program.py")])
    assert reports[0] == reports[1] != []


# Debuggers


def test_a_debugger_stops_where_it_was_told_to(program: Path) -> None:
    line = PROGRAM.splitlines().index("            total += i") + 1
    commands = [f"break {program}:{line}", "continue", "p ('stopped', i, total)", "clear 1"]
    options = [part for command in [*commands, "continue", "quit"] for part in ("-c", command)]
    ran = run("-m", "pdb", *options, str(program), folder=program.parent)
    assert "('stopped', 1, 0)" in ran.stdout
    expected = dict(EXPECTED)
    if not MONITORING:
        del expected["steps"], expected["job"]
    said = hits_in(ran.stdout)
    assert {name: said[name] for name in expected} == expected


# Profilers

CPROFILE = """
import cProfile, io, json, pstats, program
profiler = cProfile.Profile()
hits = profiler.runcall(program.run)
print(json.dumps(hits))
stats = pstats.Stats(profiler).stats
counts = {name: row[1] for (file, _, name), row in stats.items() if file == program.__file__}
print("counts", counts["work"], counts["caught"])
"""

PYINSTRUMENT = """
import json, program, pyinstrument
with pyinstrument.Profiler(interval=0.0001) as profiler:
    for _ in range(3):
        hits = program.run()
print(json.dumps(hits))
print("sampled", "run" in profiler.output_text(show_all=True))
"""

OWN = """
import json, program, sys
seen = []
def hook(frame, event, value):
    if frame.f_code.co_filename == program.__file__:
        seen.append((frame.f_code.co_name, event))
sys.setprofile(hook)
hits = program.run()
assert sys.getprofile() is hook
sys.setprofile(None)
print(json.dumps(hits))
print("calls", seen.count(("work", "call")), seen.count(("work", "return")))
"""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param(CPROFILE, "counts 5 1", id="cProfile"),
        pytest.param(PYINSTRUMENT, "sampled True", id="pyinstrument"),
        pytest.param(OWN, "calls 5 5", id="sys.setprofile"),
    ],
)
def test_another_profiler_sees_the_same(program: Path, source: str, said: str) -> None:
    script = program.parent / "script.py"
    script.write_text(source)
    ran = run(str(script), folder=program.parent)
    assert ran.returncode == 0, ran.stderr
    assert hits_in(ran.stdout) == EXPECTED
    assert ran.stdout.splitlines()[-1] == said
    assert ran.stderr == ""
