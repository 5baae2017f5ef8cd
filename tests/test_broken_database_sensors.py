"""What breaks inside the sensors of SQLAlchemy costs the program nothing: each part is broken."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest
from shop import Customer, filled
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

import txprof
from txprof import callsite, collector, context, entries, places, sql, waiting
from txprof.sensors import (
    checkouts,
    dialects,
    exemplars,
    leaks,
    loading,
    pooling,
    sqlalchemy,
    statements,
    transactions,
)

pytestmark = pytest.mark.breaks_a_sensor

PARTS: list[tuple[Any, str]] = [
    (callsite, "path"),
    (callsite, "application_frames"),
    (callsite, "numbers"),
    (places, "_walked"),
    (waiting, "current_task"),
    (context, "open_hold"),
    (context, "own"),
    (context, "adopt"),
    (context.Hold, "begin"),
    (context.Hold, "end_transaction"),
    (collector.Collector, "pool"),
    (collector.Collector, "checkout"),
    (entries.Entry, "statement"),
    (checkouts, "pool_of"),
    (checkouts, "opened"),
    (checkouts, "runs_out"),
    (dialects, "hold_of"),
    (dialects, "is_autocommit"),
    (dialects, "sat"),
    (dialects, "ended"),
    (statements, "hold_of"),
    (statements, "text"),
    (statements, "load_of"),
    (statements, "touched"),
    (statements, "sat"),
    (exemplars, "ended"),
    (exemplars, "ended_with_hold"),
    (leaks, "guard"),
    (loading, "_named"),
    (pooling, "holders"),
    (pooling, "sites"),
    (sqlalchemy, "_size"),
    (transactions, "taken"),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a table `product`, and the customers of `shop.py`."""
    file = tmp_path_factory.mktemp("database") / "test.db"
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE product (id INTEGER PRIMARY KEY, name TEXT)"))
    filled(engine).dispose()
    return file


@pytest.fixture
def engine(database: Path, tmp_path: Path) -> Iterator[Engine]:
    file = shutil.copy(database, tmp_path)
    engine = create_engine(f"sqlite:///{file}", pool_size=1, max_overflow=0, pool_timeout=0.01)
    yield engine
    engine.dispose()
    for hold in context.holds_here.get():  # its end went unseen where a part was broken
        hold.close()


def program(engine: Engine) -> list[Any]:
    """Checkouts, a wait, transactions, a savepoint, lazy loads, errors: what they come to."""
    seen: list[Any] = []
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM product"))
        connection.execute(text("INSERT INTO product VALUES (1, 'one'), (2, 'two')"))
        try:
            engine.connect()
        except NoConnection as error:
            seen.append(str(error).partition("(")[0])
        try:
            with connection.begin_nested():
                connection.execute(text("INSERT INTO product VALUES (1, 'again')"))
        except IntegrityError as error:
            seen.append(str(error.orig))
    with Session(engine) as session:
        seen.append(session.execute(text("SELECT name FROM product ORDER BY id")).scalars().all())
        session.rollback()
        seen.append([len(customer.orders) for customer in session.scalars(select(Customer))])
    connection = Context().run(engine.connect)  # this context does not know of it
    seen.append(connection.exec_driver_sql("SELECT 1").scalar())
    for hold in list(checkouts.holds.values()):
        hold.close()
    checkouts.holds.clear()  # as if it had been taken before the sensors went in
    seen.append(connection.exec_driver_sql("SELECT 2").scalar())
    connection.detach()
    connection.close()
    seen.append(engine.pool.checkedout())
    return seen


@pytest.mark.parametrize(("place", "name"), PARTS, ids=lambda part: getattr(part, "__name__", part))
def test_a_part_that_breaks_costs_the_program_nothing(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: Any,
    name: str,
) -> None:
    broke = []

    def broken(*_: Any, **__: Any) -> Any:
        broke.append(name)
        raise RuntimeError("of txprof's own")

    caplog.set_level(logging.DEBUG, logger="txprof")
    without = program(engine)
    monkeypatch.setattr(context, "GAP", 0.0)  # each statement comes after a wait
    sql.texts.clear()  # of those that are known nothing is asked
    with txprof.profile(on_finding="ignore", idle_ms=0, long_transaction_ms=0):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, broken)
            assert program(engine) == without
    assert broke, "the program does not come by there"
    with txprof.profile(on_finding="ignore") as prof:
        assert program(engine) == without
    assert [row.count for row in prof.recorded.statements if "SELECT 1" in row.statement] == [1]
    records = [record for record in caplog.records if record.name == "txprof"]
    notes = [record.getMessage() for record in records if record.levelno == logging.DEBUG]
    assert len({note.partition(" gave way")[0] for note in notes}) == len(notes)
    assert records == [record for record in records if record.levelno == logging.DEBUG]
