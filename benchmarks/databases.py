"""What the benchmarks execute, and on what: SQLite in memory."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, create_engine, select, text
from sqlalchemy.pool import StaticPool

SELECT_1 = select(text("1"))


def in_memory() -> Engine:
    """One whose only connection is its database."""
    return create_engine("sqlite://", poolclass=StaticPool)


def connected() -> Connection:
    """A connection to a database of its own, in an open transaction."""
    connection = in_memory().connect()
    connection.begin()
    return connection
