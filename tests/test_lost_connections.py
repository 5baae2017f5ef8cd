"""Lost connections and failed commits leave nothing open."""

from __future__ import annotations

import contextvars
import gc
import sqlite3
import warnings
from typing import Any

import pytest
from helpers import assert_flagged, line_of
from products import io, state
from sqlalchemy import Connection, Engine, exc, text

import txprof
from txprof import context
from txprof.sensors import checkouts

pytestmark = pytest.mark.usefixtures("prof")


def lose(engine: Engine, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes away: on PostgreSQL really, on SQLite by a driver that says so."""
    if engine.dialect.name == "postgresql":
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            other.commit()
    else:
        monkeypatch.setattr(engine.dialect, "is_disconnect", lambda *_args: True)
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.close()


def test_a_connection_lost_in_a_transaction_leaves_nothing_open(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(exc.DBAPIError), engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        lose(engine, connection, monkeypatch)
        connection.execute(text("SELECT 2"))
    assert state() == "free"


def test_when_commit_and_rollback_both_raise_the_database_error_surfaces(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(exc.DBAPIError), engine.begin() as connection:
        connection.execute(text("UPDATE product SET name = 'x' WHERE id = 1"))
        lose(engine, connection, monkeypatch)
    assert state() == "free"


def test_invalidate_ends_transaction_and_hold(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.invalidate()
        assert connection.in_transaction()
        assert state() == "free"


def test_detach_ends_transaction_and_hold(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.detach()
        assert state() == "free"
        connection.execute(text("SELECT 2"))
        assert state() == "free"
    assert state() == "free"


def test_garbage_collection_ends_transaction_and_hold(engine: Engine) -> None:
    connection: Connection | None = engine.connect()
    assert connection is not None
    connection.execute(text("SELECT 1"))
    assert state() == "transaction"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connection = None
        gc.collect()
    assert state() == "free"


def test_a_reconnected_connection_is_a_new_hold(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        connection.invalidate()
        connection.rollback()
        connection.execute(text("SELECT 1"))
        assert state() == "transaction"
    assert state() == "free"


# A commit that fails


def test_io_after_a_failed_commit_is_held_and_not_in_a_transaction(
    engine: Engine, prof: txprof.Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = engine.connect()
    connection.execute(text("SELECT 1"))
    fail_commit(connection, monkeypatch)
    with pytest.raises(exc.DBAPIError):
        connection.commit()
    monkeypatch.undo()
    io()  # call
    connection.close()
    assert_flagged(prof, "io-while-held", line=line_of("call"))
    assert len(prof.findings) == 1


def test_the_garbage_collector_changes_no_context_variable(engine: Engine) -> None:
    # It may run inside of ContextVar.set; a second set there crashes CPython 3.11.
    connection: Connection | None = engine.connect()
    assert connection is not None
    connection.execute(text("SELECT 1"))
    cycle: list[Any] = [connection]
    cycle.append(cycle)
    before = dict(contextvars.copy_context().items())
    connection, cycle = None, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy says that it was not given back
        gc.collect()
    after = dict(contextvars.copy_context().items())
    assert state() == "free"
    assert [name for name in before | after if before.get(name) is not after.get(name)] == []


def fail_commit(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next COMMIT raises: a deferred constraint on PostgreSQL, a broken driver on SQLite."""
    if connection.dialect.name == "postgresql":
        connection.execute(
            text(
                "CREATE TABLE IF NOT EXISTS part (product_id INTEGER REFERENCES product (id) "
                "DEFERRABLE INITIALLY DEFERRED)"
            )
        )
        connection.execute(text("INSERT INTO part VALUES (99)"))
        return
    fairy = connection.connection

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(driver, name)

        def commit(self) -> None:
            raise sqlite3.OperationalError("disk I/O error")

    driver = fairy.dbapi_connection
    held = context.open_here()[-1]
    broken = Broken()
    monkeypatch.setitem(checkouts.holds, id(broken), held)
    monkeypatch.setattr(fairy, "dbapi_connection", broken)
