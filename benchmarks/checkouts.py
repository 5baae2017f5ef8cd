"""What `txprof.explain_timeouts` adds to a checkout, in microseconds.

A connection is taken of a pool (SQLite in memory) and given back: by an engine, by a session at its
first statement, and in a SQLAlchemy greenlet of a running event loop, as under an async engine.
Budget: 2 us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import sqlalchemy
from harness import Samples, Table, Variant, arguments, measure, micros, micros_added, verdict
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


def in_greenlet(engine: Engine, count: int) -> None:
    async def main() -> None:
        await greenlet_spawn(checkout, engine, count)

    loop.run_until_complete(main())


OPERATIONS: dict[str, Callable[[Engine, int], None]] = {
    "checkout": checkout,
    "session, one statement": session,
    "checkout in a greenlet": in_greenlet,
}

loop = asyncio.new_event_loop()


def variants(run: Callable[[Engine, int], None]) -> list[Variant]:
    """The operation on an engine as it is, and on one whose timeouts are explained."""
    bare, explained = engine(), engine()
    txprof.explain_timeouts(explained)
    for each in (bare, explained):
        run(each, 100)
    return [
        Variant("bare", lambda count: run(bare, count)),
        Variant("explained", lambda count: run(explained, count)),
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
            verdict(added, BUDGET),
        )
    table.note("bare: the whole operation, with the connection given back")
    return table


def main() -> None:
    turns = 1 if arguments(__doc__).quick else 60
    rows = measure({name: variants(run) for name, run in OPERATIONS.items()}, turns)
    loop.close()
    print(table_of(rows))


if __name__ == "__main__":
    main()
