"""`txprof doctor --pytest`: what was open when a test's call began, whose it is, what counted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from plugin_project import Project


def test_the_doctor_tells_of_one_test(project: Project) -> None:
    project.write(
        test_it="""
        import app
        def test_bad(session):
            app.process(session)
        def test_other():
            pass
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "txprof", "doctor", "--pytest", "-p", "no:randomly", "test_it.py"],
        capture_output=True,
        check=False,
        cwd=project.folder,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    told = lines[lines.index("test                test_it.py::test_bad") :]
    open_at_start, open_at_end, seen, counted = told[1:]
    place = "sqlite://, in a transaction, the suite's; opened at conftest.py:15 session"
    assert open_at_start == f"open at its start   {place}"
    assert open_at_end == f"open at its end     {place}"
    assert seen.endswith("1 external calls, in 1 calls into the application")
    assert counted.startswith("counted             io-in-transaction app.py:15 process: HTTP POST")


def test_the_five_minutes_of_the_page_go_as_it_says(project: Project) -> None:
    page = (Path(__file__).parents[2] / "docs" / "pytest.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\w*\n(.*?)```", page, re.DOTALL)
    shop = next(block for block in blocks if "def pay" in block)
    tests = next(block for block in blocks if "def test_pay" in block)
    failure = next(block for block in blocks if "▲" in block)
    project.write(conftest="", payments=shop, test_payments=tests)
    project.run_here("-q").assert_outcomes(passed=1)
    result = project.run_here("--txprof", "-q")
    result.assert_outcomes(failed=1)
    for line in failure.splitlines()[1:]:
        assert line in [each.rstrip() for each in result.outlines]
    lines = shop.splitlines(keepends=True)
    commit = next(line for line in lines if "commit" in line)
    lines.remove(commit)
    lines.insert(next(i for i, line in enumerate(lines) if "client.post" in line), commit)
    project.write(payments="".join(lines))
    project.run_here("--txprof", "-q").assert_outcomes(passed=1)
