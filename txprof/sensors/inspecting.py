"""`locks="inspect"`: the server itself is asked what a transaction holds, and who waits for it.

Over a connection of its own: not the program's, whose transaction it would take part in, and not
its pool's, where it would be a checkout. Asked at the moments when others may have come to wait:
as an external call ends inside the transaction, as a statement ends a long while without one, and
before COMMIT or ROLLBACK of a transaction that sat, or was open, for long. Imported at these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from txprof import collector, context, policy, waiting
from txprof.context import Hold
from txprof.locked import Inspected, Waiter, most_telling
from txprof.model import IDLE, LONG
from txprof.recorded import CallRow
from txprof.safety import note_once
from txprof.sensors.judging import is_due
from txprof.settings import Settings
from txprof.shapes import shape

_KEPT = 50
"""Locks, and waiters, that are told of."""

_LONGEST = 500


class _Driver(NamedTuple):
    """How to know a connection's session on the server, and to make one that does not hang."""

    session: Callable[[Any], int]
    arguments: dict[str, Any]


_LIBPQ = {"connect_timeout": 1, "options": "-c statement_timeout=1000"}

_DRIVERS = {
    "psycopg": _Driver(lambda connection: connection.info.backend_pid, _LIBPQ),
    "psycopg2": _Driver(lambda connection: connection.get_backend_pid(), _LIBPQ),
    "pymysql": _Driver(
        lambda connection: connection.thread_id(),
        {"connect_timeout": 1, "read_timeout": 1, "write_timeout": 1},
    ),
}
"""By the name of the driver's package; none of them needs a query for the session."""


class _Questions(NamedTuple):
    holds: str
    waiting: str
    quotes: str
    """What begins a string, for a text that the server cut off within one."""


_POSTGRESQL = _Questions(
    """
    SELECT DISTINCT c.relname, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = {session} AND l.granted AND c.relkind IN ('r', 'p')
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY 1, 2
    """,
    """
    SELECT usename, pid, query, extract(epoch FROM clock_timestamp() - query_start)
    FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND {session} = ANY (pg_blocking_pids(pid)) ORDER BY 4 DESC
    """,
    r"'|\$\w*\$",
)
_MARIADB = _Questions(
    """
    SELECT DISTINCT l.lock_table, l.lock_mode
    FROM information_schema.innodb_locks l
    JOIN information_schema.innodb_trx t ON t.trx_id = l.lock_trx_id
    WHERE t.trx_mysql_thread_id = {session} ORDER BY 1, 2
    """,
    """
    SELECT DISTINCT p.user, r.trx_mysql_thread_id, r.trx_query,
        timestampdiff(SECOND, r.trx_wait_started, now())
    FROM information_schema.innodb_lock_waits w
    JOIN information_schema.innodb_trx b ON b.trx_id = w.blocking_trx_id
    JOIN information_schema.innodb_trx r ON r.trx_id = w.requesting_trx_id
    LEFT JOIN information_schema.processlist p ON p.id = r.trx_mysql_thread_id
    WHERE b.trx_mysql_thread_id = {session} ORDER BY 4 DESC
    """,
    "['\"]",
)


def session_of(dbapi_connection: Any) -> int | None:
    """What the server calls a connection, asked of the driver alone; None if it cannot tell."""
    driver = _DRIVERS.get(type(dbapi_connection).__module__.partition(".")[0])
    return None if driver is None else int(driver.session(dbapi_connection))


def inspect_call(rows: Iterable[CallRow]) -> None:
    """An external call ended that is a finding; if still inside the transaction, ask."""
    try:
        hold = context.deciding(context.open_here(late=True))
        if hold is None or hold.transaction is None:
            return
        inspected = _inspected(hold)
        for row in rows:
            row.inspected = most_telling(row.inspected, inspected)
    except Exception as error:
        note_once("the inspection of locks", error)


def inspect_long(hold: Hold, until: float) -> None:
    """A transaction went on until now, when it is about to go on or to end."""
    try:
        transaction = hold.transaction
        if transaction is None:
            return
        due = False
        for watcher in collector.active():
            for rule in _broken(until - transaction.last, until - transaction.since, watcher):
                key = (rule, hold.engine, transaction.path)
                due = is_due(watcher, key) or due
        if due:
            transaction.inspected = most_telling(transaction.inspected, _inspected(hold))
    except Exception as error:
        note_once("the inspection of locks", error)


def _broken(sat: float, opened: float, watcher: collector.Collector) -> Iterator[str]:
    settings: Settings = watcher.settings
    for rule, seconds, limit in (
        (IDLE, sat, settings.idle_ms),
        (LONG, opened, settings.long_transaction_ms),
    ):
        if seconds * 1e3 >= limit and policy.allowed_here(rule) is None:
            yield rule


def _inspected(hold: Hold) -> Inspected | None:
    """The server's answer, or why there is none; None for a kind of server that is not asked."""
    reference = getattr(hold.pool, "source", None)
    engine = None if reference is None else reference()
    if engine is None or engine.dialect.name not in ("postgresql", "mysql", "mariadb"):
        return None
    dialect = engine.dialect
    if dialect.name == "postgresql":
        questions = _POSTGRESQL
    elif getattr(dialect, "is_mariadb", False):
        questions = _MARIADB
    else:
        return Inspected(skipped="MySQL is not asked, MariaDB and PostgreSQL are")
    driver = _DRIVERS.get(dialect.driver)
    if dialect.is_async or waiting.current_task() is not None:
        return Inspected(skipped="asking would block the event loop")
    if driver is None:
        return Inspected(skipped=f"not known how to ask by {dialect.driver}")
    if hold.session is None:
        return Inspected(skipped="the connection was taken before the profile began")
    try:
        with _connection(engine, driver) as connection:
            return _answer(connection, questions, hold.session)
    except Exception as error:
        note_once("the inspection of locks", error)
        return Inspected(skipped=f"the server did not answer: {type(error).__name__}")


@contextmanager
def _connection(engine: Any, driver: _Driver) -> Iterator[Any]:
    positional, named = engine.dialect.create_connect_args(engine.url)
    options = " ".join(part["options"] for part in (named, driver.arguments) if "options" in part)
    named = {**named, **driver.arguments}
    if options:
        named["options"] = options
    connection = engine.dialect.loaded_dbapi.connect(*positional, **named)
    try:
        engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        yield connection
    finally:
        connection.close()


def _answer(connection: Any, questions: _Questions, session: int) -> Inspected:
    cursor = connection.cursor()
    cursor.execute(questions.waiting.format(session=session))
    waiters = tuple(
        Waiter(f"{user} (session {other})", _without_values(query or "", questions), float(since))
        for user, other, query, since in cursor.fetchmany(_KEPT)
    )
    cursor.execute(questions.holds.format(session=session))
    holds = tuple((str(table), str(mode)) for table, mode in cursor.fetchmany(_KEPT))
    return Inspected(holds, waiters)


def _without_values(query: str, questions: _Questions) -> str:
    text = shape(query)
    if re.search(questions.quotes, text):  # cut off within a string: it has no shape
        text = shape(re.split(questions.quotes, query, maxsplit=1)[0])
    return text[:_LONGEST]
