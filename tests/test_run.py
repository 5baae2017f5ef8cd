"""`txprof run`: a program runs as under `python`, and is watched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import calls_seen

import txprof
from txprof.cli import main

TXPROF = [sys.executable, "-m", "txprof", "run"]

LOOKS_AROUND = """
import inspect, json, os, pickle, sys, threading, traceback

class Point:
    pass

def call(*arguments):
    return arguments

print(json.dumps({
    "argv": sys.argv,
    "path": sys.path,
    "name": __name__,
    "file": globals().get("__file__"),
    "package": __package__,
    "spec": __spec__ and __spec__.name,
    "docstring": __doc__,
    "main": sys.modules["__main__"].__dict__ is globals(),
    "builtin": hasattr(__builtins__, "profile"),
    "pickled": type(pickle.loads(pickle.dumps(Point()))) is Point,
    "environment": sorted(os.environ.items()),
    "flags": str(sys.flags),
    "warnings": sys.warnoptions,
    "stdin": sys.stdin.read(),
    "depth": len(inspect.stack()),
    "threads": [thread.name for thread in threading.enumerate()],
    "directory": os.getcwd(),
    "interpreter": sys.executable,
}, indent=1))
sys.stderr.write("to stderr\\n")
"""

FAILS = """
def outer():
    inner()

def inner():
    raise ValueError("no")

outer()
"""


def python(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return _run([sys.executable, *map(str, arguments)], **options)


def txprof_run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return _run([*TXPROF, *map(str, arguments)], **options)


def _run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"input": "", **options}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, **options
    )


def assert_same_as_python(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """A program prints and ends under txprof as it does without."""
    bare = python(*arguments, **options)
    watched = txprof_run("--report", "none", *arguments, **options)
    assert watched.stdout == bare.stdout
    assert watched.stderr == bare.stderr
    assert watched.returncode == bare.returncode
    return watched


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with programs."""
    (tmp_path / "script.py").write_text(f'"""A docstring."""\n{LOOKS_AROUND}')
    package = tmp_path / "package" / "inner"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(LOOKS_AROUND)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "__main__.py").write_text(LOOKS_AROUND)
    (tmp_path / "fails.py").write_text(FAILS)
    return tmp_path


# --- as python ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(["script.py", "-x", "--report", "a b", "--", "-m"], id="script"),
        pytest.param(["-m", "package.inner", "--save", "--help"], id="package"),
        pytest.param(["folder", "-c"], id="folder"),
        pytest.param(["-c", LOOKS_AROUND, "-h"], id="code"),
    ],
)
def test_a_program_sees_what_it_sees_under_python(program: list[str], project: Path) -> None:
    done = assert_same_as_python(*program, cwd=project, input="given\n")
    assert '"stdin": "given\\n"' in done.stdout
    assert done.returncode == 0


def test_a_program_can_come_from_stdin(project: Path) -> None:
    done = assert_same_as_python("-", "a", cwd=project, input="import sys\nprint(sys.argv)\n")
    assert done.stdout == "['-', 'a']\n"


def test_a_traceback_is_the_one_of_python(project: Path) -> None:
    done = assert_same_as_python("fails.py", cwd=project)
    assert done.returncode == 1
    assert "txprof" not in done.stderr
    assert "runpy" not in done.stderr


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("import sys; sys.exit('gone')", 1),
        ("import os; os._exit(7)", 7),
        ("import os; os.kill(os.getpid(), 15)", -15),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.kill(os.getpid(), 2)", -2),
    ],
)
def test_a_program_ends_as_under_python(code: str, status: int) -> None:
    done = assert_same_as_python("-c", code)
    assert done.returncode == status


def test_options_of_python_hold_for_the_program() -> None:
    command = [sys.executable, "-O", "-X", "utf8", "-W", "error", "-m", "txprof", "run"]
    code = "import sys; assert False; print(sys.flags.utf8_mode, sys.warnoptions)"
    done = _run([*command, "--report", "none", "-c", code])
    assert (done.stdout, done.stderr) == ("1 ['error']\n", "")


def test_another_sitecustomize_is_imported_too(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("mark = 'theirs'\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    code = "import os, sitecustomize; print(sitecustomize.mark, os.environ['PYTHONPATH'])"
    done = assert_same_as_python("-c", code, env=environment)
    assert done.stdout == f"theirs {tmp_path}\n"


@pytest.mark.parametrize("program", [["-m", "pytest"], ["pytest"]])  # a script on the PATH
def test_pytest_can_be_run(program: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_one(): pass\ndef test_two(): assert False\n")
    environment = {**os.environ, "PATH": str(Path(sys.executable).parent)}
    options = ["-q", "-k", "two", "-p", "no:cacheprovider"]
    done = txprof_run("--report=none", *program, *options, cwd=tmp_path, env=environment)
    assert "1 failed, 1 deselected" in done.stdout
    assert done.returncode == 1


def test_without_txprof_the_program_runs_and_nothing_is_recorded(tmp_path: Path) -> None:
    environment = {**os.environ, "TXPROF": "0"}
    done = txprof_run("--save", "x.txprof", "-c", "print(1)", env=environment, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("1\n", 0)
    assert done.stderr == "txprof: TXPROF is 0: the program is not watched\n"
    assert list(tmp_path.iterdir()) == []


# --- and watched --------------------------------------------------------------------------------

WORKS = """
import sys
from sqlalchemy import create_engine, text
import txprof

engine = create_engine("sqlite://")

def work():
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.external_call("rpc", "billing"):
            pass

class Job:
    def run(self):
        def nested():
            work()
        nested()

if __name__ == "__main__":
    Job().run()
    engine.dispose()
    sys.exit(int(sys.argv[1]) if sys.argv[1:] else 0)
"""


@pytest.fixture
def works(tmp_path: Path) -> Path:
    (tmp_path / "works.py").write_text(WORKS)
    return tmp_path


def test_the_report_goes_to_stderr_and_the_output_is_the_programs(works: Path) -> None:
    done = txprof_run("works.py", "4", cwd=works)
    assert (done.stdout, done.returncode) == ("", 4)
    assert done.stderr.startswith("txprof ── works.py ── ")
    assert "io-in-transaction  works.py:11 work   rpc billing ×1" in done.stderr


def test_reports_go_where_they_are_sent_and_fail_on_turns_success_into_1(works: Path) -> None:
    reports = ["--report=text=out.txt", "--report", "text=-"]
    done = txprof_run(*reports, "--fail-on", "warning", "works.py", cwd=works)
    assert done.stderr == ""
    assert "io-in-transaction" in done.stdout
    assert (works / "out.txt").read_text() == done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize(("status", "expected"), [(0, 2), (4, 4)])
def test_what_cannot_be_written_hides_neither_the_rest_nor_the_status(
    works: Path, status: int, expected: int
) -> None:
    reports = ["--report=text=no/where.txt", "--report", "text=-"]
    done = txprof_run(*reports, "works.py", status, cwd=works)
    assert done.stderr == "txprof: error: --report no/where.txt: No such file or directory\n"
    assert "io-in-transaction" in done.stdout
    assert done.returncode == expected


def test_fail_on_leaves_the_status_of_a_program_that_failed(works: Path) -> None:
    done = txprof_run("--report=none", "--fail-on", "error", "works.py", 4, cwd=works)
    assert done.returncode == 4


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("works.py", {"work", "Job.run", "Job.run.<locals>.nested"}),
        ("__main__:work", {"work"}),
        ("works:Job", {"Job.run", "Job.run.<locals>.nested"}),
    ],
)
def test_lines_of_the_main_module(works: Path, pattern: str, expected: set[str]) -> None:
    done = txprof_run("--report=none", "--save=x.txprof", "--lines", pattern, "works.py", cwd=works)
    assert done.stderr == ""
    if sys.version_info < (3, 12):  # functions are timed there, not code: no nested ones
        expected = {name for name in expected if "<" not in name}
    profile = txprof.load(works / "x.txprof")
    called = {each.site.function: each.calls for each in profile.functions if each.calls}
    assert called == dict.fromkeys(expected, 1)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="code cannot be timed there")
def test_lines_auto_finds_who_opens_transactions(works: Path) -> None:
    code = "import works\nfor _ in range(3): works.work()"
    done = txprof_run("--report=none", "--save=x.txprof", "--lines=auto", "-c", code, cwd=works)
    assert done.stderr == ""
    (work,) = [
        function
        for function in txprof.load(works / "x.txprof").functions
        if function.site.function == "work"
    ]
    assert work.calls == 2  # from the next call on


def test_lines_of_modules_by_file_and_name(works: Path) -> None:
    (works / "jobs").mkdir()
    (works / "jobs" / "daily.py").write_text("import works\ndef daily():\n    works.work()\n")
    (works / "main.py").write_text("from jobs.daily import daily\ndaily()\n")
    done = txprof_run(
        *("--report=none", "--save=x.txprof", "--lines", "jobs/*.py", "--lines=works:work"),
        "main.py",
        cwd=works,
    )
    assert done.stderr == ""
    profile = txprof.load(works / "x.txprof")
    assert {each.site.function: each.calls for each in profile.functions} == {
        "daily": 1,
        "work": 1,
    }


def test_profile_is_a_builtin_if_asked(works: Path) -> None:
    code = "from works import work\n@profile\ndef f():\n    work()\nf()\nf()"
    done = txprof_run("-b", "--report=none", "--save=x.txprof", "-c", code, cwd=works)
    assert done.stderr == ""
    (function,) = txprof.load(works / "x.txprof").functions
    assert (function.site.function, function.calls) == ("f", 2)


def test_kernprofs_own_recordings_can_be_written(works: Path) -> None:
    done = txprof_run("--report=none", "--save=x.lprof", "--lines=works.py", "works.py", cwd=works)
    assert done.returncode == 0
    (work,) = [
        function
        for function in txprof.load(works / "x.lprof").functions
        if function.site.function.endswith("work")
    ]
    assert work.lines[10].hits == 1


def test_a_folder_keeps_the_parts_of_all_runs(works: Path) -> None:
    for _ in range(2):
        done = txprof_run("--save", "parts/", "works.py", cwd=works)
        assert "rpc billing ×1" in done.stderr  # of this run alone
    parts = sorted((works / "parts").iterdir())
    assert len(parts) == 2
    merged = txprof.merge(*map(txprof.load, parts))
    assert calls_seen(merged) == [("rpc", "billing", 2)]


# --- wrong usage --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.py"], "there is no file 'nowhere.py'; to run a module, write -m nowhere.py"),
        (["--lines", "works", "-c", ""], "--lines: 'works': a function's name is 'module:func"),
        (
            ["--lines", "works.py:work", "-c", ""],
            "--lines: 'works.py:work': a function is named with its module, not with its file: "
            "'works:work'",
        ),
        (["--save", "no/where/x", "-c", ""], "--save no/where/x: cannot be written: No such file"),
    ],
)
def test_wrong_arguments_are_one_line_and_status_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"txprof: error: {complaint}")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: PROGRAM"),
        (["-m"], "the following arguments are required: PROGRAM"),
        (["-m", "-c", "x"], "argument -c: not allowed with argument -m"),
        (["--report", "pdf", "x"], "unknown format 'pdf'; known are text"),
        (["--report", "text=", "x"], "'text=' names no file"),
        (["--fail-on", "leak", "-c", ""], "argument --fail-on: unknown rule 'leak'"),
    ],
)
def test_wrong_usage(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["run", *arguments])
    assert exit.value.code == 2
    assert complaint in capsys.readouterr().err


def test_options_that_hide_us_from_the_program_are_refused() -> None:
    done = _run([sys.executable, "-E", "-m", "txprof", "run", "-c", ""])
    assert done.returncode == 2
    assert done.stderr.startswith("txprof: error: a program cannot be watched under python's")
