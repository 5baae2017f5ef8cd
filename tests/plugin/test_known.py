"""Known findings: let pass, dropped once they are gone, kept by their fingerprint."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from plugin_project import APP, Project, failed
from pytest_txprof.known import Entry, Known, read, write

TESTS = """
import app
def test_bad(session): app.process(session)
def test_often(session): app.asks_often(session)
def test_good(session): app.split(session)
"""


def found(rule: str, function: str, fingerprint: str, **more: str) -> dict[str, str]:
    return {
        "rule": rule,
        "file": "app.py",
        "function": function,
        "target": "x",
        "fingerprint": fingerprint,
        "test": "test_it.py::test_it",
        **more,
    }


def document(project: Project) -> dict[str, Any]:
    return tomllib.loads((project.folder / "known.toml").read_text())


def test_from_the_first_run_to_an_empty_list(project: Project) -> None:
    project.write(test_it=TESTS)
    known = ("-q", "--txprof", "--txprof-baseline=known.toml")

    result = project.run_here(*known, "--txprof-update-baseline")
    result.assert_outcomes(failed=2, passed=1)
    first = (project.folder / "known.toml").read_text()
    rules = [entry["rule"] for entry in document(project)["todo"]]
    assert rules == ["n-plus-one", "io-in-transaction"]  # by file, then function
    assert [entry["test"] for entry in document(project)["todo"]] == [
        "test_it.py::test_often",
        "test_it.py::test_bad",
    ]

    # Lines move, tests change their order, a reason is added: nothing fails, nothing is written.
    reasoned = first.replace(
        'test = "test_it.py::test_bad"\n', 'test = "test_it.py::test_bad"\nreason = "until June"\n'
    )
    (project.folder / "known.toml").write_text(reasoned)
    head, *tests = TESTS.strip().splitlines()
    project.write(app="# moved\n\n" + APP, test_it="\n".join([head, *reversed(tests)]) + "\n")
    result = project.run_here(*known, "--txprof-update-baseline", "--txprof-strict-baseline")
    result.assert_outcomes(passed=3)
    assert (project.folder / "known.toml").read_text() == reasoned
    result.stdout.fnmatch_lines(["*suppressed: 1 by todo io-in-transaction app.py process *"])

    # One is put right: that is said; in strict mode it fails the run; of what did not run nothing.
    project.write(app=APP.replace("    charge()  # mixes\n", ""))
    result = project.run_here(*known, "--txprof-strict-baseline")
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*no longer occurs, in known.toml: todo io-in-transaction app*"])
    result = project.run_here(*known, "--txprof-strict-baseline", "-k", "often")
    assert result.ret == pytest.ExitCode.OK
    assert "no longer" not in result.stdout.str()
    project.run_here(*known, "--txprof-update-baseline")
    assert [entry["rule"] for entry in document(project)["todo"]] == ["n-plus-one"]


def test_patterns_with_a_reason(project: Project) -> None:
    project.write(test_it=TESTS)
    (project.folder / "known.toml").write_text(
        "[[allow]]\nrule = 'io-*'\nfunction = 'process'\nreason = 'one unit'\n"
    )
    known = ("-q", "--txprof", "--txprof-baseline=known.toml")
    result = project.run_here(*known)
    assert list(failed(result)) == ["test_often"]
    result.stdout.fnmatch_lines(["*suppressed: 1 by allow io-* process*"])
    assert "silences" not in result.stdout.str()


# Its parts.


def entry(section: str = "todo", **names: str) -> Entry:
    return Entry(section, **names)


def test_an_entry_matches_by_fingerprint_or_by_all_that_it_names() -> None:
    finding = found("io-in-transaction", "process", "aaa")
    assert entry(fingerprint="aaa", rule="moved").matches(finding)
    assert not entry(fingerprint="bbb", rule="io-in-transaction").matches(finding)
    assert entry("allow", rule="io-*", file="*.py").matches(finding)
    assert not entry("allow", rule="io-*", file="jobs/*.py").matches(finding)


def test_what_silences_more_than_half_is_told(tmp_path: Path) -> None:
    wide = entry("allow", file="app/*", reason="x")
    narrow = entry("allow", file="app/jobs/*", reason="x")
    one_rule = entry("allow", rule="n-plus-one", reason="x")
    known = Known(tmp_path / "known.toml", [wide, narrow, one_rule], tmp_path)
    files = {"app/a.py", "app/b.py", "app/jobs/c.py", "lib/d.py"}
    assert known.too_wide(files) == [wide, one_rule]
    assert known.too_wide({"app/a.py"}) == []


def test_an_entry_is_stale_only_if_its_test_ran(tmp_path: Path) -> None:
    one = entry(fingerprint="aaa", rule="n-plus-one", test="t::one")
    two = entry(fingerprint="bbb", rule="n-plus-one", test="t::two")
    known = Known(tmp_path / "known.toml", [one, two], tmp_path)
    assert known.stale([], {"t::one"}, whole=False) == [one]
    assert known.stale([], {"t::three"}, whole=True) == [one, two]
    assert known.stale([found("n-plus-one", "f", "aaa")], {"t::one"}, whole=True) == [two]


def test_allowed_entries_survive_an_update(tmp_path: Path) -> None:
    stays = entry("allow", rule="n-plus-one", reason="few rows")
    gone = entry(fingerprint="aaa", rule="n-plus-one")
    known = Known(tmp_path / "known.toml", [stays, gone], tmp_path)
    new = [found("io-in-transaction", "f", "bbb"), found("io-in-transaction", "f", "bbb")]
    updated = known.updated(new, [stays, gone])
    assert [each.fingerprint for each in updated] == [None, "bbb"]
    assert updated[0] == stays


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "known.toml"
    entries = [
        entry("allow", rule="io-*", reason='quoted "so" \\ \n ü \x7f'),
        entry(
            fingerprint="aaa", rule="n-plus-one", file="a.py", function="f", target="t", test="x"
        ),
    ]
    write(file, entries)
    assert read(file) == entries
    assert [each.name for each in file.parent.iterdir()] == ["known.toml"]


def test_one_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "known.toml"
    file.write_text("before")

    def refuses(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr("os.replace", refuses)
    with pytest.raises(OSError, match="full"):
        write(file, [])
    assert file.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["known.toml"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[todo", "cannot be read"),
        ("[[other]]\nrule = 'x'", "unknown 'other'"),
        ("todo = 1", "unknown 'todo'"),
        ("[[todo]]\nrules = 'x'", "number 1: unknown 'rules'; known are fingerprint"),
        ("[[todo]]\nrule = 1", "rule must be a string"),
        ("[[allow]]\nreason = 'x'", "must name a fingerprint, rule"),
        ("[[allow]]\nrule = 'x'", "needs a reason"),
        ("[[todo]]\nrule = 'x'", "needs a fingerprint"),
    ],
)
def test_a_wrong_file_names_the_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "known.toml"
    file.write_text(text)
    with pytest.raises(pytest.UsageError, match=says) as caught:
        read(file)
    assert str(file) in str(caught.value)


def test_one_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match="cannot be read"):
        read(tmp_path / "missing.toml")
