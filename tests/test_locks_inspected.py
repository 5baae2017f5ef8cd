"""`locks="inspect"`: the server is asked what a transaction holds, and who waits for it."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from helpers import assert_flagged
from sqlalchemy import Engine, create_engine, text

import txprof
from txprof.sensors import inspecting

WAITS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
    "AND query LIKE '%{table}%'",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' "
    "AND trx_query LIKE '%{table}%'",
}


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine on each server that can be asked."""
    if request.param == "postgresql":
        engine = create_engine(request.getfixturevalue("postgresql_url"))
    else:
        engine = create_engine(request.getfixturevalue("mariadb_url"))
    yield engine
    engine.dispose()


@pytest.fixture
def table(server: Engine) -> Iterator[str]:
    """A table of one row."""
    name = f"orders_{uuid.uuid4().hex[:8]}"
    with server.begin() as connection:
        connection.execute(text(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, note VARCHAR(20))"))
        connection.execute(text(f"INSERT INTO {name} VALUES (1, 'one')"))
    yield name
    with server.begin() as connection:
        connection.execute(text(f"DROP TABLE {name}"))


@contextmanager
def another_waits(server: Engine, table: str) -> Iterator[None]:
    """Another connection waits for the row; from when the server says so until it got it."""
    other = create_engine(server.url)

    def write() -> None:
        with other.begin() as connection:
            connection.exec_driver_sql(f"UPDATE {table} SET note = 'secret' WHERE id = 1")

    # Nobody profiles it: it is another program.
    waiter = threading.Thread(target=write)
    waiter.start()
    try:
        poll = create_engine(server.url, isolation_level="AUTOCOMMIT")
        question = text(WAITS[server.dialect.name].format(table=table))
        with poll.connect() as connection:
            while waiter.is_alive() and connection.scalar(question) != 1:
                threading.Event().wait(0.2)  # MariaDB says nothing new to who asks more often
        poll.dispose()
        yield
    finally:
        threads.append(waiter)
        engines.append(other)


threads: list[threading.Thread] = []
engines: list[Engine] = []


@pytest.fixture(autouse=True)
def the_other_goes_on() -> Iterator[None]:
    yield
    while threads:
        threads.pop().join()
    while engines:
        engines.pop().dispose()


def call_while_another_waits(server: Engine, table: str) -> None:
    with server.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET note = 'two' WHERE id = 1"))
        with txprof.external_call("rpc", "billing"), another_waits(server, table):
            pass


def test_it_tells_who_waits_as_the_call_ends(server: Engine, table: str) -> None:
    with txprof.profile(call_while_another_waits, locks="inspect", on_finding="ignore") as prof:
        call_while_another_waits(server, table)
    finding = assert_flagged(prof, "io-in-transaction", count=1)
    assert "; 1 other waits for it" in finding.message
    inspected = finding.details["inspected"]
    assert any(table in held["table"] for held in inspected["holds"])
    (waiter,) = inspected["waiting"]
    assert waiter["statement"] == f"update {table} set note = ? where id = ?"
    assert waiter["seconds"] >= 0
    assert "secret" not in str(inspected)


def test_it_is_in_no_figure_of_the_program(server: Engine, table: str) -> None:
    with txprof.profile(locks="inspect", on_finding="ignore") as prof:
        with server.begin() as connection:
            connection.execute(text(f"UPDATE {table} SET note = 'two' WHERE id = 1"))
            with txprof.external_call("rpc", "billing"):
                pass
    assert "holds" in assert_flagged(prof, "io-in-transaction").details["inspected"]
    assert [row.statement.split()[0] for row in prof.recorded.statements] == ["UPDATE"]
    assert [(pool.checkouts, pool.peak_busy) for pool in prof.pools] == [(1, 1)]


def test_an_idle_transaction_is_asked_before_it_commits(server: Engine, table: str) -> None:
    with txprof.profile(locks="inspect", idle_ms=10, long_transaction_ms=10) as prof:
        with server.begin() as connection:
            connection.execute(text(f"UPDATE {table} SET note = 'two' WHERE id = 1"))
            with another_waits(server, table):
                threading.Event().wait(0.05)
    for rule in ("idle-in-transaction", "long-transaction"):
        mine = [one for one in prof.findings if one.site.function.startswith("test_")]
        (finding,) = [one for one in mine if one.rule == rule]
        assert finding.details["inspected"]["waiting"], finding


def test_off_by_default_opens_no_connection(
    server: Engine, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(inspecting, "_connection", asked.append)
    with txprof.profile(on_finding="ignore", idle_ms=0, long_transaction_ms=0) as prof:
        with server.begin() as connection:
            connection.execute(text(f"UPDATE {table} SET note = 'two' WHERE id = 1"))
            with txprof.external_call("rpc", "billing"):
                pass
    assert "inspected" not in assert_flagged(prof, "io-in-transaction").details
    assert asked == []


@pytest.mark.breaks_a_sensor
def test_a_server_that_does_not_answer_leaves_the_program_alone(
    server: Engine, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise server.dialect.loaded_dbapi.OperationalError("refused")  # type: ignore[attr-defined]

    with txprof.profile(locks="inspect", on_finding="ignore") as prof, server.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET note = 'two' WHERE id = 1"))
        with monkeypatch.context() as patch:
            patch.setattr(server.dialect.loaded_dbapi, "connect", refused)  # type: ignore[attr-defined]
            with txprof.external_call("rpc", "billing"):
                pass
    inspected = assert_flagged(prof, "io-in-transaction").details["inspected"]
    assert inspected == {"skipped": "the server did not answer: OperationalError"}
    with server.connect() as connection:
        assert connection.scalar(text(f"SELECT note FROM {table}")) == "two"


def test_an_event_loop_is_not_blocked(server: Engine, table: str) -> None:
    async def call() -> None:
        with server.begin() as connection:
            connection.execute(text(f"UPDATE {table} SET note = 'two' WHERE id = 1"))
            with txprof.external_call("rpc", "billing"):
                pass

    with txprof.profile(locks="inspect", on_finding="ignore") as prof:
        asyncio.run(call())
    inspected = assert_flagged(prof, "io-in-transaction").details["inspected"]
    assert inspected == {"skipped": "asking would block the event loop"}


def test_sqlite_is_not_asked() -> None:
    engine = create_engine("sqlite://")
    with txprof.profile(locks="inspect", on_finding="ignore") as prof, engine.begin() as connection:
        connection.execute(text("CREATE TABLE bin (id INTEGER)"))
        connection.execute(text("INSERT INTO bin VALUES (1)"))
        with txprof.external_call("rpc", "billing"):
            pass
    engine.dispose()
    assert "inspected" not in assert_flagged(prof, "io-in-transaction").details


def test_a_statement_that_the_server_cut_off_shows_no_values() -> None:
    cut = inspecting._without_values(
        "UPDATE t SET card = 4111, note = 'sec", inspecting._POSTGRESQL
    )
    assert cut == "update t set card = ?, note ="
