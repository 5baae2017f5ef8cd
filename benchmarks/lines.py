"""What line times cost: txprof beside line_profiler.

Per line of a plain loop, per call of a function of two lines, and for a `select 1` through
SQLAlchemy on a profiled line. Budgets: a line costs at most 0.8 x what it costs by line_profiler on
Python 3.12 and newer, and 1.05 x on 3.11, where line_profiler is the engine; `select 1` takes at
most 1.5 x its bare time on 3.12 and newer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import FunctionType
from typing import Any

from databases import SELECT_1, connected
from harness import (
    MISSING,
    Around,
    Samples,
    Table,
    Variant,
    arguments,
    installed_past_connections,
    measure,
    micros,
    micros_added,
    publish,
    times,
)
from line_profiler import LineProfiler
from sqlalchemy import Connection

import txprof

MONITORING = sys.version_info >= (3, 12)
LINE_BUDGET = 0.8 if MONITORING else 1.05
STATEMENT_BUDGET = 1.5

STATEMENTS_A_CALL = 200
"""What a call costs by itself is told in the rows of calls."""


def lines(count: int) -> int:
    """Ten lines an iteration, each as short as lines are."""
    total = 0
    for number in range(count):
        total += number
        total -= 1
        total ^= number
        total += 2
        total -= number
        total ^= 3
        total += number
        total -= 4
        total ^= number
    return total


LINES_AN_ITERATION = 10


def two_lines(number: int) -> int:
    number += 1
    return number


def statements(connection: Connection, count: int) -> None:
    for _ in range(count):
        connection.execute(SELECT_1).scalar()


def one_statement(connection: Connection) -> None:
    connection.execute(SELECT_1).scalar()


def copy_of(function: Callable[..., Any]) -> FunctionType:
    """The same function with code of its own: profilers know functions by their code."""
    assert isinstance(function, FunctionType)
    copy = FunctionType(function.__code__.replace(), function.__globals__, function.__name__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy


Run = Callable[[int], object]


def in_blocks(
    function: Callable[..., Any],
    run_of: Callable[[FunctionType], Run],
    count: int | None = None,
) -> list[Variant]:
    """The function bare, and profiled for as long as a block lasts."""
    bare, theirs, ours = (copy_of(function) for _ in range(3))
    profiler = LineProfiler()
    profiler.add_function(theirs)
    blocks: list[tuple[str, FunctionType, Around]] = [
        ("bare", bare, nullcontext),
        ("line_profiler", theirs, lambda: profiler),
        ("txprof", ours, lambda: txprof.profile(ours, name="benchmark", on_finding="ignore")),
    ]
    return [Variant(name, run_of(copy), around, count=count) for name, copy, around in blocks]


def decorated(function: Callable[..., Any], run_of: Callable[[Any], Run]) -> list[Variant]:
    """The function bare, and decorated."""
    return [
        Variant("bare", run_of(copy_of(function))),
        Variant("line_profiler", run_of(LineProfiler()(copy_of(function)))),
        Variant("txprof", run_of(txprof.profile(report=None)(copy_of(function)))),
    ]


def repeated(function: Callable[[int], int]) -> Run:
    """So many calls of it."""

    def run(count: int) -> None:
        for number in range(count):
            function(number)

    return run


def in_one_call(function: Callable[[Connection, int], None]) -> Run:
    """One call of it."""
    connection = connected()
    return lambda count: function(connection, count)


def one_a_call(function: Callable[[Connection], None]) -> Run:
    """So many calls of it."""
    connection = connected()

    def run(count: int) -> None:
        for _ in range(count):
            function(connection)

    return run


def main() -> None:
    options = arguments(__doc__)
    turns = 1 if options.quick else 40
    bare, theirs, _ = in_blocks(statements, in_one_call, STATEMENTS_A_CALL)
    bare_one, theirs_one, _ = in_blocks(one_statement, one_a_call)
    with installed_past_connections():
        _, _, ours = in_blocks(statements, in_one_call, STATEMENTS_A_CALL)
        _, _, ours_one = in_blocks(one_statement, one_a_call)
    samples = measure(
        {
            "line": in_blocks(lines, lambda function: function),
            "call": in_blocks(two_lines, repeated),
            "decorated call": decorated(two_lines, repeated),
            "statement": [bare, theirs, ours],
            "call with a statement": [bare_one, theirs_one, ours_one],
        },
        turns,
    )
    publish(table_of(samples), options)


def figures(found: Samples, *, per: int = 1) -> tuple[str, ...]:
    """Of one of so many lines: bare, what line_profiler and txprof add, the spread of that."""
    return (
        micros(found.figure("bare") / per, 3),
        micros_added(found.added("line_profiler") / per, 3),
        micros_added(found.added("txprof") / per, 3),
        "±" + micros(found.spread("txprof") / per, 3),
    )


def beside_line_profiler(found: Samples) -> float:
    """How many times as much txprof adds."""
    return found.beside("txprof", "line_profiler")


def table_of(samples: dict[str, Samples]) -> Table:
    """A row for each operation; txprof's cost as a multiple of what its budget is set in."""
    table = Table(
        "Microseconds added by line times",
        *("what", "bare", "line_profiler", "txprof", "spread", "that is", "budget", "verdict"),
    )

    line, statement = samples["line"], samples["statement"]
    table.add(
        "a line",
        *figures(line, per=LINES_AN_ITERATION),
        times(beside_line_profiler(line), "line_profiler"),
        times(LINE_BUDGET, "line_profiler"),
        table.judge(
            line.judged("line", "a line", beside_line_profiler, LINE_BUDGET, "x line_profiler")
        ),
    )
    for what, key in (
        ("a call of two lines, in a block", "call"),
        ("a call of two lines, decorated", "decorated call"),
    ):
        found = samples[key]
        beside = times(beside_line_profiler(found), "line_profiler")
        table.add(what, *figures(found), beside, MISSING, MISSING)
    table.add(
        "select 1 on a profiled line",
        *figures(statement),
        times(statement.ratio("txprof"), "bare"),
        times(STATEMENT_BUDGET, "bare") if MONITORING else MISSING,
        table.judge(
            statement.judged(
                "statement on a profiled line",
                "select 1 on a profiled line",
                lambda found: found.ratio("txprof"),
                STATEMENT_BUDGET,
                "x bare",
            )
        )
        if MONITORING
        else MISSING,
    )
    one = samples["call with a statement"]
    that_is = times(one.ratio("txprof"), "bare")
    table.add("a call with one select 1", *figures(one), that_is, MISSING, MISSING)
    table.note(f"select 1 on a profiled line: {STATEMENTS_A_CALL} of them in one call")
    return table


if __name__ == "__main__":
    main()
