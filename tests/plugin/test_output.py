"""What the user reads: in a failing test, in the summary, in the files that were asked for."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET

import pytest
from plugin_project import Project, failed

import txprof


def test_a_failure_shows_the_lines_and_what_to_change(project: Project) -> None:
    project.write(
        test_it="""
        import app

        def test_bad(session):
            app.process(session)

        def test_two(session):
            app.process(session)
            app.asks_often(session)

        def test_own_failure_wins(session):
            app.process(session)
            assert session is None
        """
    )
    result = project.run_here("--txprof")
    result.assert_outcomes(failed=3)
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if line.strip("_ ") == "test_bad")
    assert lines[start + 1].startswith(
        "io-in-transaction app.py:15 process: HTTP POST api.example.com/charge inside the "
        "transaction opened at app.py:14 process (sqlite://) ×1, "
    )
    assert [line.rstrip() for line in lines[start + 2 : start + 12]] == [
        "       12   def process(session):",
        '       13       """Its own transaction, with a call inside."""',
        '       14 ┃     session.execute(text("SELECT 1"))',
        "  >    15 ┃     charge()  # mixes",
        "          ┃ ▲ io-in-transaction: HTTP POST api.example.com/charge ×1",
        "       16       session.commit()",
        "       17",
        "  the transaction is open since app.py:14 process",
        "  called by way of app.py:15 process > app.py:9 charge",
        "  → read what you need, commit or roll back, call, then open a new one to write",
    ]
    # The short summary: one line a finding.
    found = failed(result)
    assert found["test_bad"].startswith("Failed: io-in-transaction app.py:15 process: HTTP POST")
    assert found["test_own_failure_wins"].startswith("assert <")
    (more,) = [line for line in lines if line.startswith("txprof test_it.py::test_two - ")]
    first = found["test_two"].removeprefix("Failed: ").split()[0]
    assert {first, more.split()[3]} == {"io-in-transaction", "n-plus-one"}
    # The body's own failure is followed by the findings.
    own = next(i for i, line in enumerate(lines) if line.startswith("E       assert"))
    assert any("Captured txprof call" in line for line in lines[own:])


@pytest.mark.parametrize("where", ["terminal", "ci", "-vv"])
def test_the_short_summary_has_a_line_a_finding(
    project: Project, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    project.write(
        test_it="""
        import app, pytest
        def test_two(session):
            app.process(session)
            app.asks_often(session)
        @pytest.mark.max_queries(2)
        def test_limit(session): app.asks_often(session)
        """
    )
    if where == "ci":
        monkeypatch.setenv("CI", "true")
    result = project.run_here("--txprof", *(["-vv"] if where == "-vv" else []))
    result.assert_outcomes(failed=2)
    start = next(i for i, line in enumerate(result.outlines) if "short test summary" in line)
    lines = [re.sub(r"\.{3}$|…$", "", line) for line in result.outlines[start + 1 :]]
    starts = ("FAILED test_it.py::", "txprof test_it.py::", "=")
    assert [line for line in lines if line and not line.startswith(starts)] == []
    assert sum("io-in-transaction app.py:15 process: HTTP POST" in line for line in lines) == 1
    assert sum("n-plus-one app.py:31 asks_often" in line for line in lines) == 2  # one a test
    assert sum(" - " in line for line in lines) == 3


def test_limits_list_the_statements_and_lines(project: Project) -> None:
    project.write(
        test_it="""
        import app
        import pytest

        @pytest.mark.max_queries(7)
        def test_as_many(session): app.asks_often(session)

        @pytest.mark.max_queries(6)
        def test_one_more(session): app.asks_often(session)

        @pytest.mark.max_db_time(0)
        def test_time(session): app.ask(session, 1)

        @pytest.mark.max_db_time(3600)
        def test_in_time(session): app.ask(session, 1)

        @pytest.mark.max_queries(2)
        def test_of_its_own(engine):
            with engine.connect() as connection:
                for number in range(3):
                    app.ask(connection, number)
        """
    )
    result = project.run_here("-q")
    found = failed(result)
    assert sorted(found) == ["test_of_its_own", "test_one_more", "test_time"]
    assert found["test_one_more"] == "Failed: max_queries: 7 statements ran, at most 6 may"
    assert "statements took" in found["test_time"]
    result.stdout.fnmatch_lines(["  7× * ms  app.py:28 ask", "      SELECT ?"])
    result.assert_outcomes(failed=3, passed=2)


def test_the_fixture_is_the_live_profile(project: Project) -> None:
    project.write(
        test_it="""
        import app
        import pytest

        @pytest.fixture
        def checked(txprof):
            assert txprof.findings == [] and txprof.queries == []
            yield
            assert [finding.rule for finding in txprof.findings] == ["io-in-transaction"]

        def test_live(session, txprof, checked):
            assert not txprof.findings
            app.process(session)
            assert [finding.site.function for finding in txprof.findings] == ["process"]
            assert txprof.query_count == 1 and txprof.external_calls == 1
            (asked,) = [q for q in txprof.queries if q.statement == "SELECT 1"]
            assert asked.site.function == "process" and asked.count == 1
            assert "io-in-transaction" in txprof.render()

        def test_expect(session, txprof):
            with txprof.expect("n-plus-one"):
                app.asks_often(session)
            assert not txprof.findings

        def test_expected_and_not_there(session, txprof):
            with txprof.expect("n-plus-one"):
                app.process(session)

        @pytest.mark.txprof(mode="fail")
        def test_expect_does_not_fail(session, txprof):
            with txprof.expect("io-in-transaction"):
                app.process(session)

        @pytest.mark.txprof_allow("io-in-transaction", reason="a test")
        def test_allowed(session, txprof):
            app.process(session)
            assert not txprof.findings
        """
    )
    result = project.run_here("-q")
    assert list(failed(result)) == ["test_expected_and_not_there"]
    result.assert_outcomes(failed=1, passed=4)


def test_raise_stops_at_the_call_itself(project: Project) -> None:
    project.ini("txprof_on_finding = raise")
    project.write(
        test_it="""
        import app
        import pytest
        import txprof
        sent = []

        def test_stops(session, monkeypatch):
            monkeypatch.setattr(app, "charge", call)
            app.process(session)

        def call():
            sent.append("about to")
            with app.txprof.external_call("http", "POST https://example.com/"):
                sent.append("out")

        def test_nothing_went_out():
            assert sent == ["about to"]

        def test_what_is_eaten_fails_all_the_same(session):
            try:
                app.process(session)
            except Exception:
                pass

        @pytest.mark.txprof(rules="n-plus-one")
        def test_other_rules_do_not_raise(session):
            app.process(session)

        @pytest.mark.txprof_allow("io-in-transaction", reason="a test")
        def test_allowed(session):
            app.process(session)

        def test_error_is_typed(session):
            with pytest.raises(txprof.TransactionHygieneError) as caught:
                app.process(session)
            assert caught.value.finding.rule == "io-in-transaction"
        """
    )
    result = project.run_here("-q", "--txprof")
    found = failed(result)
    assert sorted(found) == [
        "test_error_is_typed",
        "test_stops",
        "test_what_is_eaten_fails_all_the_same",
    ]
    assert "TransactionHygieneError" in found["test_stops"]
    result.assert_outcomes(failed=3, passed=3)


def test_files_and_annotations(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    project.write(
        test_it="""
        import app
        def test_bad(session): app.process(session)
        def test_same(session): app.process(session)
        def test_good(session): app.split(session)
        """
    )
    result = project.run_here(
        "-q",
        "--txprof",
        "--txprof-save=kept",
        "--txprof-report=out/report.txt",
        "--txprof-report=all.txprof",
        "--junitxml=junit.xml",
    )
    result.assert_outcomes(failed=2, passed=1)
    (annotation,) = [line for line in result.outlines if line.startswith("::error ")]
    assert annotation.startswith("::error file=app.py,line=15,title=txprof%3A io-in-transaction::")
    assert "%0Aread what you need" in annotation
    kept = sorted(file.name for file in (project.folder / "kept").iterdir())
    assert [name.rpartition("-")[0] for name in kept] == [
        "test_it.py-test_bad",
        "test_it.py-test_good",
        "test_it.py-test_same",
    ]
    assert len(txprof.load(project.folder / "kept" / kept[0]).findings) == 1
    merged = txprof.load(project.folder / "all.txprof")
    assert [(finding.rule, finding.count) for finding in merged.findings] == [
        ("io-in-transaction", 2)
    ]
    assert "io-in-transaction" in (project.folder / "out" / "report.txt").read_text()
    cases = ET.parse(project.folder / "junit.xml").iter("testcase")
    told = {
        case.get("name"): {(each.get("name"), each.get("value")) for each in case.iter("property")}
        for case in cases
    }
    assert ("txprof.statements", "1") in told["test_good"]
    assert ("txprof.external_calls", "1") in told["test_bad"]
    assert any(name == "txprof.finding" for name, _ in told["test_bad"])
    assert not any(name == "txprof.finding" for name, _ in told["test_good"])


def test_a_report_is_written_in_the_format_of_its_suffix(project: Project) -> None:
    begin = {
        "html": "<!doctype html>",
        "json": '{\n "format": "txprof-report"',
        "md": "<!-- txprof report -->",
        "sarif": '{\n "$schema": "https://json.schemastore.org/sarif',
        "txt": "txprof ── test_it.py::test_bad",
        "txprof": '{\n "format": "txprof-recording"',
    }
    project.write(test_it="import app\ndef test_bad(session): app.process(session)\n")
    result = project.run_here("--txprof", *(f"--txprof-report=all.{suffix}" for suffix in begin))
    result.assert_outcomes(failed=1)
    for suffix, beginning in begin.items():
        assert (project.folder / f"all.{suffix}").read_text(encoding="utf-8").startswith(beginning)


def test_line_times_of_the_functions_that_open_transactions(project: Project) -> None:
    project.write(
        test_it="""
        import app

        def test_bad(session):
            app.process(session)
            app.process(session)
        """
    )
    result = project.run("--txprof", "-o", "txprof_lines=auto")
    result.assert_outcomes(failed=1)
    times = [
        line.split()
        for line in result.outlines
        if "session.execute(text" in line and "ms" in line.partition("session")[0]
    ]
    if sys.version_info < (3, 12):
        assert times == []
        return
    ((time, hits, *_rest),) = times  # from the second call on: the first one opened
    assert re.fullmatch(r"\d+\.\dms", time)
    assert hits == "1"
