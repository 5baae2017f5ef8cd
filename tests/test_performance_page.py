"""The table of every budget: what it says of the rows that benchmarks hand on, and its page."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from tooling import TOOLS, tool

performance = tool("performance")


@pytest.fixture
def measured():
    """Of two budgets: one kept in one of its rows alone."""
    Row = performance.Row
    rows = [
        Row("statement", "Core", 2.5, 3.0, "us", median=2.75, spread=0.125),
        Row("statement", "ORM | deep", 3.5, 3.0, "us", median=4.0, spread=0.25),
        Row("merge", "1,000 recordings", 1.0, 3.0, "s"),
    ]
    machine = dataclasses.replace(
        performance.Machine.here(), python="3.13.5", optimized=True, versions={"txprof": "1.2"}
    )
    return performance.Measured(rows, machine)


def test_a_budget_is_told_by_the_row_that_comes_closest_to_it(measured) -> None:
    told = {row[0]: row[1:] for row in measured.summary()}
    assert told["a statement, watched"] == (
        *("3.50", "±0.25", "4", "3 us", "OVER"),
        "ORM | deep (worst of 2)",
    )
    assert told["the merge of 1,000 recordings"] == ("1", "", "", "3 s", "ok", "1,000 recordings")


def test_a_budget_that_was_not_measured_says_so(measured) -> None:
    told = {row[0]: row[1:] for row in measured.summary()}
    assert list(told) == list(performance.BUDGETS.values())
    assert told["a profiled line"] == ("", "", "", "", "-", "not measured here")
    assert "a profiled line" not in measured.text(every_budget=False)


def test_the_terminal_is_told_how_many_rows_are_over(measured) -> None:
    assert "1 of 3 rows are over their budget" in measured.text()
    assert "CPython 3.13.5, " in measured.text()


def test_a_few_samples_say_so(measured) -> None:
    assert measured.text().startswith("Every budget\n")
    quick = dataclasses.replace(measured, quick=True)
    assert quick.text().startswith("Every budget, of a few samples: these are no figures\n")


def test_the_page_has_the_machine_the_versions_and_every_row(measured) -> None:
    section = measured.markdown()
    assert section.startswith("### CPython 3.13\n")
    assert "txprof 1.2." in section
    assert "| Core | 2.50 | ±0.12 | 2.75 | 3 us | ok | a statement, watched |" in section
    assert "| ORM \\| deep | 3.50 |" in section


def test_a_run_replaces_the_section_of_its_python_and_no_other(measured) -> None:
    page = f"above\n{performance.BEGIN}\n{performance.END}\nbelow\n"
    older = dataclasses.replace(
        measured, machine=dataclasses.replace(measured.machine, python="3.11.7")
    )
    fewer = dataclasses.replace(measured, rows=measured.rows[:1])
    for one in (older, measured, fewer):
        page = performance.placed(page, one)
    assert page == (
        f"above\n{performance.BEGIN}\n{fewer.markdown()}\n\n{older.markdown()}\n"
        f"{performance.END}\nbelow\n"
    )


def test_a_page_without_its_marks_stays_as_it_is(
    measured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "performance.md"
    page.write_text("nothing here\n", encoding="utf-8")
    monkeypatch.setattr(performance, "PAGE", page)
    with pytest.raises(SystemExit, match="lacks <!-- make bench-docs: begin"):
        performance.write(measured)
    assert [one.name for one in tmp_path.iterdir()] == ["performance.md"]
    assert page.read_text(encoding="utf-8") == "nothing here\n"


def test_the_page_of_the_docs_has_its_marks(measured) -> None:
    page = performance.PAGE.read_text(encoding="utf-8")
    assert measured.markdown() in performance.placed(page, measured)


def test_a_row_of_no_budget_is_an_error() -> None:
    with pytest.raises(ValueError, match="'speed' is no budget: there are statement, "):
        performance.Row("speed", "Core", 1.0, 2.0, "us")


@pytest.mark.parametrize("option", [["--quick"], ["imports"]])
def test_figures_of_a_part_are_not_written(option: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(TOOLS / "bench.py"), "--write", *option],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert "--write is for the figures of all benchmarks" in done.stderr
