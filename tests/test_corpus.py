"""The programs of the corpus run as without txprof, and are judged as their verdicts say."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus.program import PROGRAMS, Place, Program, clean
from corpus.runner import Outcome, PostgreSQL, SQLite, judge, programs, run
from tooling import tool

ALL = programs()


@pytest.fixture(scope="module")
def sqlite() -> Iterator[SQLite]:
    with tempfile.TemporaryDirectory() as folder:
        yield SQLite(Path(folder))


@pytest.fixture(scope="module")
def plain(sqlite: SQLite) -> Callable[[Program], Any]:
    """What a program returns without txprof."""

    @functools.cache
    def value(program: Program) -> Any:
        with sqlite.fresh() as url:
            return run(program, url)

    return value


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def judged(request: pytest.FixtureRequest) -> Callable[[Program], tuple[Outcome, Any]]:
    """What a program returns with txprof, and what was found in it, on databases of each kind."""
    databases: SQLite | PostgreSQL
    if request.param == "sqlite":
        databases = request.getfixturevalue("sqlite")
    else:
        databases = PostgreSQL(request.getfixturevalue("postgresql_url"))

    @functools.cache
    def outcome(program: Program) -> tuple[Outcome, Any]:
        with databases.fresh() as url:
            return judge(program, url)

    return outcome


every_program = pytest.mark.parametrize("program", ALL, ids=lambda program: program.name)


@every_program
def test_a_program_returns_the_same_with_and_without_txprof(
    program: Program,
    plain: Callable[[Program], Any],
    judged: Callable[[Program], tuple[Outcome, Any]],
) -> None:
    _, value = judged(program)
    assert value == plain(program)
    assert value, "a program that returns nothing shows nothing"


DISAGREEMENTS = {
    "events.domain_events": "a loop over one handler hides the loop that publishes: which frame "
    "stays while others come and go is not known without keeping frames alive",
}


@every_program
def test_a_program_is_judged_as_its_verdict_says(
    program: Program, judged: Callable[[Program], tuple[Outcome, Any]]
) -> None:
    outcome, _ = judged(program)
    if program.name in DISAGREEMENTS:
        assert outcome.found != program.expected, "they agree now: strike it off the list"
        pytest.xfail(DISAGREEMENTS[program.name])
    assert outcome.found == program.expected


def test_there_are_enough_and_half_of_them_are_clean() -> None:
    bursts = sum(bool(program.marks) for program in ALL)
    assert len(ALL) >= 120
    assert 0.4 < bursts / len(ALL) < 0.6


def test_every_program_says_what_it_is() -> None:
    assert [program.name for program in ALL if not program.function.__doc__] == []


def test_a_marker_stands_for_one_line() -> None:
    lines = [place for program in ALL for place in program.expected]
    assert all(place.line > 1 for place in lines)
    assert all(len(program.expected) == len(program.marks) for program in ALL)


def test_the_table_counts_hits_and_lists_disagreements() -> None:
    missed, alarmed, right = (
        PROGRAMS[f"views.{name}"] for name in ("full_export", "order_numbers", "order_list")
    )
    alarm = Place("write-loop", "views.py", 3)
    judged = [
        Outcome(missed, frozenset(sorted(missed.expected)[:1])),
        Outcome(alarmed, frozenset({alarm})),
        Outcome(right, right.expected),
    ]
    lines = list(tool("corpus").table(judged))
    assert "| views | 3 | 1 | 2 | 1 | 1 | 0 | 0.667 | 0.667 |" in lines
    inner = max(missed.expected)
    assert lines[-2:] == [
        f"- `views.full_export`: missed, n-plus-one at views.py:{inner.line}",
        "- `views.order_numbers`: false alarm, write-loop at views.py:3",
    ]


def test_names_are_unique() -> None:
    def order_list() -> None: ...

    order_list.__module__ = "corpus.views"
    with pytest.raises(AssertionError, match=r"views\.order_list"):
        clean(order_list)
    assert [key for key, program in PROGRAMS.items() if key != program.name] == []
