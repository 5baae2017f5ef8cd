"""Each benchmark runs, and prints its table. What the figures are is for `make bench` to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
SHARED = {"answered", "batch", "budgets", "databases", "grown", "harness"}
OF_MINUTES = {"soak"}
"""It has tests of its own, in test_soak.py."""

WITHOUT_BUDGET = {"programs"}
"""It tells what other profilers cost: they tell other things than txprof."""

NAMES = sorted({path.stem for path in BENCHMARKS.glob("*.py")} - SHARED - OF_MINUTES)


def run(name: str) -> list[str]:
    """The lines that a benchmark prints."""
    finished = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick"],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.splitlines()


def table(name: str) -> tuple[list[str], list[str]]:
    """The words of its header, and its rows; what is left out is told before it."""
    lines = run(name)
    start = next(number for number, line in enumerate(lines) if line.startswith("what "))
    rows = lines[start + 1 : lines.index("", start)]
    assert rows
    return lines[start].split(), rows


@pytest.mark.parametrize("name", sorted({*NAMES} - WITHOUT_BUDGET))
def test_it_prints_what_is_measured_and_whether_it_keeps_its_budget(name: str) -> None:
    header, rows = table(name)
    assert header[-2:] == ["budget", "verdict"]
    assert all(row.endswith(("ok", "OVER", "-")) for row in rows), rows
    assert any(row.endswith(("ok", "OVER")) for row in rows)


def test_a_whole_program_is_compared_with_itself_without_a_profiler() -> None:
    header, rows = table("programs")
    assert header == ["what", "work", "that", "is", "spread", "around", "it"]
    assert [row.partition("  ")[0] for row in rows[:3]] == ["bare", "txprof", "txprof, line times"]
    assert all(" x bare " in row for row in rows)


def test_they_are_the_ones_that_make_bench_runs() -> None:
    tool = (BENCHMARKS.parent / "tools" / "bench.py").read_text(encoding="utf-8")
    assert [name for name in NAMES if f'"{name}"' not in tool] == []
