"""What `txprof.explain_timeouts` adds to a checkout, in microseconds.

A connection is taken of a pool (SQLite in memory) and given back: by an engine, by a session at its
first statement, and in a SQLAlchemy greenlet of a running event loop, as under an async engine.
Budget: 2 us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import sqlalchemy
from harness import Samples, Table, Variant, arguments, measure, micros, micros_added, publish
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn

import txprof

BUDGET = 2e-6
SELECT_1 = text("SELECT 1")


def engine() -> Engine:
    """One with a pool of one connection, which is made already."""
    found = create_engine("sqlite://", poolclass=QueuePool, pool_size=1)
    found.connect().close()
    return found


def checkout(engine: Engine, count: int) -> None:
    for _ in range(count):
        engine.connect().close()


def session(engine: Engine, count: int) -> None:
    for _ in range(count):
        with Session(engine) as session:
            session.execute(SELECT_1)


OPERATIONS: dict[str, Callable[[Engine, int], None]] = {
    "checkout": checkout,
    "session, one statement": session,
}
IN_GREENLET: dict[str, Callable[[Engine, int], None]] = {"checkout in a greenlet": checkout}


def variants(run: Callable[[Engine, int], None]) -> list[Variant]:
    """The operation on an engine as it is, and while its timeouts are explained.

    On one engine: two that are alike differ by more than this costs, by where their objects lie.
    """
    shared = engine()
    run(shared, 100)

    def again(count: int) -> None:
        run(shared, count)

    return [
        Variant("bare", again),
        Variant("explained", again, lambda: txprof.explain_timeouts(shared)),
    ]


def table_of(rows: dict[str, Samples]) -> Table:
    table = Table(
        f"Microseconds added to a checkout, SQLAlchemy {sqlalchemy.__version__}",
        *("what", "bare", "explain_timeouts", "spread", "budget", "verdict"),
    )
    for operation, samples in rows.items():
        added = samples.added("explained")
        table.add(
            operation,
            micros(samples.figure("bare")),
            micros_added(added),
            "±" + micros(samples.spread("explained")),
            micros_added(BUDGET),
            table.judge(samples.judged_added("checkout", operation, "explained", BUDGET)),
        )
    table.note("bare: the whole operation, with the connection given back")
    return table


def main() -> None:
    options = arguments(__doc__)
    turns = 1 if options.quick else 60
    rows = measure_all(OPERATIONS, turns)

    async def main_task() -> dict[str, Samples]:
        return await greenlet_spawn(measure_all, IN_GREENLET, turns)

    publish(table_of(rows | asyncio.run(main_task())), options)


def measure_all(
    operations: dict[str, Callable[[Engine, int], None]], turns: int
) -> dict[str, Samples]:
    return measure({name: variants(run) for name, run in operations.items()}, turns)


if __name__ == "__main__":
    main()
