"""What a profile keeps of 1,000,000 statements from 20 places, in megabytes.

Real statements on SQLite in memory. Two figures: by how much the process grew (its resident size,
next to as many statements without txprof), and what Python's allocations say that txprof's
own code keeps, from a shorter run under tracemalloc. Budget: 10 MB.

And what is kept of 100,000 texts that differ in a literal, next to a tenth of them: texts of one
shape are counted as one from 1,000 rows on (`txprof.entries.compact`), and what is known of a text
is forgotten when others come (`txprof.sql.texts`, `txprof.shapes.shape`).
"""

from __future__ import annotations

import gc
import os
import resource
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

from harness import MISSING, Table, arguments, installed_past_connections, verdict
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import StaticPool

import txprof

BUDGET = 10e6
PLACES = 20
STATEMENTS = 1_000_000
TRACED_STATEMENTS = 50_000
LITERAL_TEXTS = 100_000


def visiting() -> Callable[[Connection, list[Any], int], None]:
    """A function that runs so many statements from 20 lines of its own."""
    lines = ["def visit(connection, statements, count):", "    for _ in range(count):"]
    lines += [f"        connection.execute(statements[{place}])" for place in range(PLACES)]
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


def resident() -> int:
    """Bytes of this process in memory: now, on Linux; elsewhere the most there ever were."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return size if sys.platform == "darwin" else size * 1024


def connected() -> Connection:
    connection = create_engine("sqlite://", poolclass=StaticPool).connect()
    connection.begin()
    return connection


def main() -> None:
    scale = 100 if arguments(__doc__).quick else 1
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

    tracemalloc.start()
    with txprof.profile(on_finding="ignore"):
        visit(watched, texts, TRACED_STATEMENTS // PLACES // scale)
        own = tracemalloc.Filter(True, os.path.join(os.path.dirname(txprof.__file__), "*"))
        snapshot = tracemalloc.take_snapshot().filter_traces([own])
    tracemalloc.stop()
    kept = sum(statistic.size for statistic in snapshot.statistics("filename"))

    table = Table("Megabytes that a profile keeps", "what", "bare", "txprof", "budget", "verdict")
    table.add(
        f"the process grew, {seen:,} statements",
        megabytes(grown_bare),
        megabytes(grown),
        megabytes(BUDGET),
        verdict(grown, BUDGET),
    )
    table.add(
        f"Python objects kept, {TRACED_STATEMENTS // scale:,} statements",
        MISSING,
        megabytes(kept),
        megabytes(BUDGET),
        verdict(kept, BUDGET),
    )
    few, _ = kept_of_literals(watched, LITERAL_TEXTS // scale // 10)
    many, rows = kept_of_literals(watched, LITERAL_TEXTS // scale)
    for texts_run, kept in ((LITERAL_TEXTS // scale // 10, few), (LITERAL_TEXTS // scale, many)):
        table.add(
            f"Python objects kept, {texts_run:,} literal texts",
            MISSING,
            megabytes(kept),
            megabytes(BUDGET),
            verdict(kept, BUDGET),
        )
    table.note(f"{PLACES} places, {len(recorded)} rows; {rows} rows of the literal texts")
    print(table)


def megabytes(size: float) -> str:
    """0.42"""
    return f"{size / 1e6:.2f}"


if __name__ == "__main__":
    main()
