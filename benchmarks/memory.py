"""What a profile keeps of 1,000,000 statements from 20 places, in megabytes.

Real statements on SQLite in memory. Two figures: by how much the process grew (its resident size,
next to as many statements without txprof), and what Python's allocations say that txprof's
own code keeps, from a shorter run under tracemalloc. Budget: 10 MB.

And what is kept of 100,000 texts that differ in a literal, next to a tenth of them: texts of one
shape are counted as one from 1,000 rows on (`txprof.entries.compact`), and what is known of a text
is forgotten when others come (`txprof.sql.texts`, `txprof.shapes.shape`).

What grows with what: ten times as many statements from the same 20 places, twice, may keep a
quarter more at most; ten times as many places keep more, and the note says how much each costs.
"""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from budgets import Row
from databases import connected
from grown import megabytes, resident
from harness import MISSING, Table, arguments, installed_past_connections, publish, watching
from sqlalchemy import Connection, text

import txprof

BUDGET = 10e6
PLACES = 20
STATEMENTS = 1_000_000
TRACED_STATEMENTS = (1_000, 10_000, 100_000)
FLAT = 1.25
"""How much more ten times the statements may keep."""

TRACED_PLACES = (20, 200, 2_000)
EXECUTIONS_A_PLACE = 5
LITERAL_TEXTS = 100_000


def visiting(places: int = PLACES) -> Callable[[Connection, list[Any], int], None]:
    """A function that runs so many statements from each of its lines, 20 or so many."""
    lines = ["def visit(connection, statements, count):", "    for _ in range(count):"]
    lines += [
        f"        connection.execute(statements[{place % PLACES}])" for place in range(places)
    ]
    namespace: dict[str, Any] = {}
    exec(compile("\n".join(lines), os.path.abspath("places.py"), "exec"), namespace)
    visit: Callable[[Connection, list[Any], int], None] = namespace["visit"]
    return visit


def literal_texts(connection: Connection, count: int) -> None:
    """As many different statements, of one shape."""
    for number in range(count):
        connection.exec_driver_sql(f"SELECT {number}")


def kept_of_literals(connection: Connection, count: int) -> tuple[int, int]:
    """Bytes more that are allocated after so many texts, by whoever; and the rows they became."""
    gc.collect()
    tracemalloc.start()
    try:
        with txprof.profile(on_finding="ignore") as profile:
            literal_texts(connection, count)
            gc.collect()
            kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    recorded = profile.recorded.statements
    assert sum(row.count for row in recorded) == count
    return kept, len(recorded)


def main() -> None:
    options = arguments(__doc__)
    scale = 100 if options.quick else 1
    count = STATEMENTS // PLACES // scale
    visit = visiting()
    texts = [text(f"SELECT {place}") for place in range(PLACES)]

    bare = connected()
    with installed_past_connections():
        watched = connected()
        visit(watched, texts, 10)  # what is loaded and cached at the first statement
    visit(bare, texts, count // 10)
    before = resident()
    visit(bare, texts, count)
    grown_bare = resident() - before

    before = resident()
    with txprof.profile(on_finding="ignore") as profile:
        visit(watched, texts, count)
    grown = resident() - before
    recorded = profile.recorded.statements
    seen = sum(row.count for row in recorded)
    assert len(recorded) == PLACES, recorded
    assert seen == count * PLACES, seen

    table = Table("Megabytes that a profile keeps", "what", "bare", "txprof", "budget", "verdict")

    def add(what: str, size: float, bare: str = MISSING) -> None:
        table.add(
            what,
            bare,
            megabytes(size),
            megabytes(BUDGET),
            table.judge(Row("memory", what, size / 1e6, BUDGET / 1e6, "MB")),
        )

    add(f"the process grew, {seen:,} statements", grown, megabytes(grown_bare))
    add_events(table, add, watched, texts, scale)
    add_sites(table, add, watched, texts, scale)
    few, _ = kept_of_literals(watched, LITERAL_TEXTS // scale // 10)
    many, rows = kept_of_literals(watched, LITERAL_TEXTS // scale)
    for texts_run, kept in ((LITERAL_TEXTS // scale // 10, few), (LITERAL_TEXTS // scale, many)):
        add(f"Python objects kept, {texts_run:,} literal texts", kept)
    table.note(f"{PLACES} places, {len(recorded)} rows; {rows} rows of the literal texts")
    publish(table, options)


Add = Callable[[str, float], None]


def add_events(table: Table, add: Add, watched: Connection, texts: list[Any], scale: int) -> None:
    """What is kept of more and more statements from the same places."""
    sizes = []
    for statements in TRACED_STATEMENTS:
        count = max(1, statements // PLACES // scale)
        sizes.append(kept_by_txprof(visiting(), watched, texts, count))
        add(f"Python objects kept, {count * PLACES:,} statements", sizes[-1])
    for (fewer, more), count in zip(pairwise(sizes), TRACED_STATEMENTS[1:], strict=True):
        what = f"{count // scale:,} statements next to a tenth of them"
        table.add(
            what,
            MISSING,
            f"{more / fewer:.2f} x",
            f"{FLAT:.2f} x",
            table.judge(Row("flat memory", what, more / fewer, FLAT, "x")),
        )


def add_sites(table: Table, add: Add, watched: Connection, texts: list[Any], scale: int) -> None:
    """What is kept of statements from more and more places, and what one more place keeps."""
    sizes = {}
    for number in TRACED_PLACES:
        places = max(2, number // min(scale, 10))
        sizes[places] = kept_by_txprof(visiting(places), watched, texts, EXECUTIONS_A_PLACE)
        add(f"Python objects kept, {places:,} places", sizes[places])
    most, *_, least = sorted(sizes, reverse=True)
    slope = (sizes[most] - sizes[least]) / (most - least)
    table.note(f"one more place keeps {slope / 1e3:.2f} kB")


def kept_by_txprof(
    visit: Callable[[Connection, list[Any], int], None],
    watched: Connection,
    texts: list[Any],
    count: int,
) -> float:
    """Bytes that txprof's own code allocated and keeps, while the profile still runs."""
    gc.collect()
    tracemalloc.start()
    try:
        with watching():
            visit(watched, texts, count)
            gc.collect()
            own = tracemalloc.Filter(True, os.path.join(os.path.dirname(txprof.__file__), "*"))
            snapshot = tracemalloc.take_snapshot().filter_traces([own])
    finally:
        tracemalloc.stop()
    return sum(statistic.size for statistic in snapshot.statistics("filename"))


if __name__ == "__main__":
    main()
