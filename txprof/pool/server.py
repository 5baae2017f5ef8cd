"""What a database server says of its connections: how many it allows, has, and had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from txprof.pool.sizing import Database

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection


class Unreachable(Exception):
    """Why it does not tell, in one line without passwords."""


def ask(url: str) -> Database:
    """Ask it, over one connection of its own, which is not counted.

    Raises:
        Unreachable: for a URL that is none, a server that does not answer, or one that is neither
            PostgreSQL nor MariaDB nor MySQL.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        is_async = parsed.get_dialect().is_async
    except NoSuchModuleError as error:
        raise Unreachable(f"SQLAlchemy cannot use this database: {error}") from error
    except (ArgumentError, ValueError):  # their texts may show the password
        raise Unreachable(
            "not a SQLAlchemy URL such as postgresql+psycopg://user@localhost/database"
        ) from None
    if is_async:
        raise Unreachable(f"{parsed.drivername} is an asyncio driver: name one for threads")
    asked = _ASKED.get(backend)
    if asked is None:
        raise Unreachable(
            f"{backend} keeps no count of its connections: PostgreSQL, MariaDB and MySQL do"
        )
    try:
        engine = create_engine(parsed, poolclass=NullPool)
        with engine.connect() as connection:
            return asked(connection)
    except ModuleNotFoundError as error:
        raise Unreachable(f"the database's driver is not installed: {error}") from error
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise Unreachable(_without_password(parsed, cause)) from error


def _postgresql(connection: Connection) -> Database:
    """Its settings, and pg_stat_activity; it keeps no peak.

    Sources: PostgreSQL's documentation, "Connections and Authentication" (reserved_connections is
    there from 16 on) and "The Cumulative Statistics System".
    """

    def setting(name: str) -> int:
        found = _scalar(connection, f"SELECT current_setting('{name}', true)")
        return int(found or 0)

    return Database(
        setting("max_connections"),
        setting("superuser_reserved_connections") + setting("reserved_connections"),
        None,
        int(
            _scalar(
                connection,
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            )
        ),
        f"PostgreSQL {_scalar(connection, 'SHOW server_version')}",
    )


def _mysql(connection: Connection) -> Database:
    """Its variables and counters; the one connection more for an administrator is not part of them.

    Sources: MariaDB's and MySQL's documentation of `max_connections`, `Threads_connected` and
    `Max_used_connections` (since the server's start, or FLUSH STATUS).
    """

    def number(kind: str, name: str) -> int:
        row = connection.exec_driver_sql(f"SHOW GLOBAL {kind} LIKE '{name}'").first()
        return 0 if row is None else int(row[1])

    return Database(
        number("VARIABLES", "max_connections"),
        0,
        number("STATUS", "Max_used_connections"),
        max(0, number("STATUS", "Threads_connected") - 1),
        f"{_scalar(connection, 'SELECT version()')}",
    )


_ASKED = {"postgresql": _postgresql, "mysql": _mysql, "mariadb": _mysql}


def _scalar(connection: Connection, statement: str) -> Any:
    return connection.exec_driver_sql(statement).scalar()


def _without_password(url: URL, cause: BaseException) -> str:
    reason = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
    if url.password:
        reason = reason.replace(str(url.password), "***")
    # The query may carry another password.
    shown = url.set(query={}).render_as_string(hide_password=True)
    return f"cannot use the database {shown}: {reason}"
