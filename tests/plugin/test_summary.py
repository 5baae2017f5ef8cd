"""What stands at the end of the terminal's output: the sum of all tests."""

from __future__ import annotations

import pytest
from plugin_project import Project, failed


def test_the_summary_adds_up(project: Project) -> None:
    project.write(
        test_it="""
        import app
        import pytest
        def test_bad(session): app.process(session)
        def test_same(session): app.process(session)
        @pytest.mark.txprof(rules="connection-leak")
        def test_held(engine):
            with engine.connect() as connection:
                app.ask(connection, 1)
        def test_leak(engine): app.leaks(engine)
        def test_good(): pass
        """
    )
    result = project.run_here("--txprof", "-q")
    result.assert_outcomes(failed=3, passed=2)
    result.stdout.fnmatch_lines(
        [
            "5 tests watched · 4 statements · 2 external calls · 3 findings in 3 tests",
            "  connection-leak 1 · io-in-transaction 2",
            "  slowest transaction: * ms, * (test_it.py::*)",
        ]
    )
    assert failed(result)["test_leak"].startswith("Failed: connection-leak app.py:34 leaks")


@pytest.mark.parametrize("body", ["pass", "session.execute(text('SELECT 1'))"])
def test_a_detector_that_saw_nothing_says_so_loudly(project: Project, body: str) -> None:
    project.write(test_it=f"from sqlalchemy import text\ndef test_it(session):\n    {body}\n")
    result = project.run_here("--txprof", "-q")
    result.assert_outcomes(passed=1)
    says = "0 statements were seen: nothing was checked"
    if body != "pass":
        says = "none of the statements came from the application: nothing was checked"
    result.stdout.fnmatch_lines([f"  {says}*"])


def test_an_installed_application_is_asked_for(project: Project) -> None:
    """Also where it calls a function of the suite back, which counts as the application."""
    project.write(
        **{
            "site-packages__store": """
            from sqlalchemy import text
            def read(session, then):
                session.execute(text("SELECT 1"))
                then(session)
            """
        },
        test_it="""
        import sys
        from pathlib import Path
        sys.path.insert(0, str(Path(__file__).parent / "site-packages"))
        import store
        from sqlalchemy import text
        def test_it(session):
            def then(session):
                session.execute(text("SELECT 1"))
            store.read(session, then)
        """,
    )
    result = project.run("--txprof", "-q")  # else it has our frames too
    result.stdout.fnmatch_lines(["*name it: application = *'package'* in *tool.txprof*"])


def test_what_differs_in_figures_alone_is_one_line(project: Project) -> None:
    project.write(
        test_it="""
        import app
        import pytest
        from sqlalchemy import create_engine
        @pytest.mark.parametrize("number", range(3))
        def test_it(tmp_path, number):
            engine = create_engine(f"sqlite:///{tmp_path}/{number}.db")
            with app.Session(engine) as session:
                app.process(session)
            engine.dispose()
        """
    )
    result = project.run_here("--txprof", "-q", "--txprof-mode=report")
    lines = [line for line in result.outlines if "io-in-transaction app.py" in line]
    assert len(lines) == 1
    assert lines[0].endswith("(and so in 3 tests)")


@pytest.mark.parametrize("of_run", ["--collect-only", "-knone", "--setup-only"])
def test_without_a_test_that_ran_it_says_nothing(project: Project, of_run: str) -> None:
    project.write(test_it="def test_it(): pass")
    assert " txprof " not in project.run_here("--txprof", of_run).stdout.str()


def test_inert_it_says_nothing(project: Project) -> None:
    project.write(
        test_it="""
        import app, pytest
        def test_bad(session): app.process(session)
        @pytest.mark.txprof_allow("no such rule")
        def test_allowed(session): app.process(session)
        """
    )
    result = project.run_here("-q")
    result.assert_outcomes(passed=2)
    assert "txprof" not in result.stdout.str()
