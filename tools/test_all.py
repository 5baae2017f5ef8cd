"""Run the tests on every CPython 3.11 to 3.14 found here, and on both lines of SQLAlchemy.

Interpreters are looked for on PATH and among pyenv's. Each gets an environment in .venvs/, which is
kept for the next time. SQLAlchemy 2.0 is tested on the oldest Python found, the newest one on the
others. Needs nothing but the standard library.

Two runs of pytest are under way at a time, where there are two processors: most tests wait for
something. An environment's tests are in a few such runs, of a part of the files each: whatever
there is to do, neither processor waits long for the other. What they print comes when they end.

A few tests that fail are run once more, alone, and named: real servers on a busy machine give a
test now and then what it did not expect. One that fails again fails the run.

A test that hangs is ended by pytest-timeout. Where even that cannot end it, or Python does not end
after the tests, a run has HOURS: then pytest's threads are printed, with the processes that it
started, and all of them are ended.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from environments import FOLDER, ROOT, environment

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
LINES = {"2.1": "sqlalchemy>=2.1,<2.2", "2.0": "sqlalchemy>=2.0,<2.1"}
TESTS_FAILED = 1  # pytest's exit status; 2 and up are errors of another kind
AGAIN = 20
"""More failures than this are no accident."""
PARTS = 3
"""Runs that an environment's tests are in."""

HOURS = 0.5
"""What a run has: one took 12 minutes on a machine that did much else."""


def interpreters() -> dict[str, str]:
    """ "3.12" -> the newest CPython 3.12 that runs."""
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    for candidate in candidates():
        version = version_of(candidate)
        if version is None:
            continue
        minor = f"{version[0]}.{version[1]}"
        if minor in SUPPORTED and version > found.get(minor, ((), ""))[0]:
            found[minor] = (version, candidate)
    return {minor: found[minor][1] for minor in SUPPORTED if minor in found}


def candidates() -> list[str]:
    """Where an interpreter may be. A pyenv shim may answer that its version is not active."""
    names = [shutil.which(f"python{minor}") for minor in SUPPORTED]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    pyenv = [str(path) for path in root.glob("versions/*/bin/python") if path.exists()]
    return [sys.executable, *(name for name in names if name), *pyenv]


def version_of(python: str) -> tuple[int, ...] | None:
    """(3, 12, 1), or None for what is no working CPython."""
    program = (
        "import sys; print(sys.implementation.name, *sys.version_info[:3], "
        "getattr(sys, '_is_gil_enabled', lambda: True)())"
    )
    try:
        answer = subprocess.run(
            [python, "-c", program], capture_output=True, text=True, timeout=30, check=True
        ).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(map(int, answer[1:4])) if answer[0] == "cpython" else None


def with_line(minor: str, python: str, line: str) -> Path:
    """The interpreter of an environment with what the tests need, and that line of SQLAlchemy."""
    return environment(f"py{minor}-sqlalchemy{line}", python, [LINES[line]], extra="test")


def parts(asked: list[str]) -> list[list[str]]:
    """What to tell each run of pytest: the tests asked for, or a part of the files."""
    if asked:
        return [asked]
    files = sorted(str(file.relative_to(ROOT)) for file in ROOT.glob("tests/**/test_*.py"))
    return [files[part::PARTS] for part in range(PARTS)]


def tested(made: Future[Path], part: int, arguments: list[str]) -> tuple[bool, str]:
    """Whether a part of the tests passes in an environment, and what they print.

    The few that fail may try again.
    """
    python = made.result()
    cache = FOLDER / f"{python.parent.parent.name}.cache{part}"
    command = [str(python), "-m", "pytest", "-q", "-o", f"cache_dir={cache}", *arguments]
    status, printed = run(command)
    if status != TESTS_FAILED:
        return status == 0, printed
    last_failed = cache / "v" / "cache" / "lastfailed"
    failures = json.loads(last_failed.read_text()) if last_failed.exists() else {}
    if not 0 < len(failures) <= AGAIN:
        return False, printed
    again = "\n".join(["== failed, and run once more alone:", *failures, ""])
    status, more = run([*command, "--last-failed", "--last-failed-no-failures", "none"])
    return status == 0, printed + again + more


def run(command: list[str], seconds: float = HOURS * 3600) -> tuple[int, str]:
    """The exit status, and what was printed, of pytest below the root."""
    with tempfile.TemporaryFile() as printed:  # a pipe would stay open while a grandchild lives
        pytest = subprocess.Popen(command, cwd=ROOT, stdout=printed, stderr=subprocess.STDOUT)
        hung = ""
        try:
            pytest.wait(seconds)
        except subprocess.TimeoutExpired:
            hung = ended(pytest, seconds)
        printed.seek(0)
        return pytest.returncode, printed.read().decode("utf-8", "replace") + hung


def ended(pytest: subprocess.Popen[bytes], seconds: float) -> str:
    """End what hangs, with all that it started, and say what that was."""
    started = descendants(pytest.pid)
    pytest.send_signal(signal.SIGABRT)  # pytest's faulthandler prints what each thread is at
    try:
        pytest.wait(30)
    except subprocess.TimeoutExpired:
        pytest.kill()
        pytest.wait()
    for process in started:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            pass
    lines = [f"{process} {what}" for process, what in started.items()]
    return "\n".join([f"== ended: not done after {seconds:g} s; processes below it:", *lines, ""])


def descendants(ancestor: int) -> dict[int, str]:
    """The command lines of the processes that it started, and of those that they did, by id."""
    command = ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    children: dict[int, dict[int, str]] = {}
    for row in listed.splitlines():
        process, parent, what = row.split(None, 2)
        children.setdefault(int(parent), {})[int(process)] = what
    found: dict[int, str] = {}
    waiting = [ancestor]
    while waiting:
        below = children.get(waiting.pop(), {})
        found |= below
        waiting += below
    return found


def main() -> int:
    found = interpreters()
    if not found:
        print(f"no CPython {SUPPORTED[0]} to {SUPPORTED[-1]} found", file=sys.stderr)
        return 2
    oldest, *others = found
    runs = [(oldest, "2.0"), *((minor, "2.1") for minor in others or [oldest])]
    failed = []
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as executor:
        made = [executor.submit(with_line, minor, found[minor], line) for minor, line in runs]
        outcomes = [
            (
                f"CPython {minor} with SQLAlchemy {line}",
                part,
                executor.submit(tested, python, part, arguments),
            )
            for (minor, line), python in zip(runs, made, strict=True)
            for part, arguments in enumerate(parts(sys.argv[1:]), 1)
        ]
        for name, part, outcome in outcomes:
            print(f"== {name}, part {part}", flush=True)
            passed, printed = outcome.result()
            print(printed, end="", flush=True)
            if not passed:
                failed.append(name)
    if failed:
        print(f"failed: {', '.join(dict.fromkeys(failed))}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
