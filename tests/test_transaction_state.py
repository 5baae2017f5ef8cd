"""What is open here, on SQLite and PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import assert_clean, assert_flagged, line_of
from products import Product, io, state
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.orm import Session

import txprof

pytestmark = pytest.mark.usefixtures("prof")

# A Session's block


def test_a_session_block_is_no_transaction_until_the_first_statement(engine: Engine) -> None:
    assert state() == "free"
    with Session(engine) as session, session.begin():
        assert state() == "free"
        session.execute(select(Product))
        assert state() == "transaction"
    assert state() == "free"


def test_io_before_the_first_statement_is_clean(engine: Engine, prof: txprof.Profile) -> None:
    with Session(engine) as session, session.begin():
        io()
        session.get(Product, 1)
    assert_clean(prof)


def test_io_after_the_first_statement_is_flagged(engine: Engine, prof: txprof.Profile) -> None:
    with Session(engine) as session, session.begin():
        session.get(Product, 1)
        io()  # call
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


def test_io_after_the_block_is_clean(engine: Engine, prof: txprof.Profile) -> None:
    with Session(engine) as session, session.begin():
        session.get(Product, 1)
    io()
    assert_clean(prof)


def test_an_exception_in_the_block_passes_unchanged_and_clears_the_state(engine: Engine) -> None:
    error = RuntimeError("mine")
    with pytest.raises(RuntimeError) as caught, Session(engine) as session, session.begin():
        session.get(Product, 1)
        raise error
    assert caught.value is error
    assert state() == "free"


# Savepoints


def test_savepoints_nest_and_the_outermost_decides(engine: Engine, prof: txprof.Profile) -> None:
    with Session(engine) as session, session.begin():
        session.get(Product, 1)
        with session.begin_nested():
            inner = session.begin_nested()
            session.get(Product, 2)
            inner.rollback()
            assert state() == "transaction"
        assert state() == "transaction"
        io()  # call
    assert state() == "free"
    assert_flagged(prof, "io-in-transaction", line=line_of("call"), count=1)


# Other ways to begin


def core_begin(connection: Connection) -> Callable[[], None]:
    transaction = connection.begin()
    return transaction.commit


def autobegin(connection: Connection) -> Callable[[], None]:
    connection.execute(text("SELECT 1"))
    return connection.rollback


def raw_begin(connection: Connection) -> Callable[[], None]:
    connection.execution_options(isolation_level="AUTOCOMMIT")
    connection.exec_driver_sql("BEGIN")
    return lambda: connection.exec_driver_sql("COMMIT") and None


def tagged_begin(connection: Connection) -> Callable[[], None]:
    connection.execution_options(isolation_level="AUTOCOMMIT")
    connection.exec_driver_sql("/* tag */ begin transaction -- now\n;")
    return lambda: connection.exec_driver_sql("/* tag */ ROLLBACK") and None


@pytest.mark.parametrize("begin", [core_begin, autobegin, raw_begin, tagged_begin])
def test_every_way_to_begin_is_a_transaction(
    engine: Engine, prof: txprof.Profile, begin: Callable[[Connection], Callable[[], None]]
) -> None:
    with engine.connect() as connection:
        end = begin(connection)
        assert state() == "transaction"
        io()
        end()
        assert state() == "held"
    assert_flagged(prof, "io-in-transaction", count=1)


def test_two_phase_is_a_transaction_until_it_is_committed(
    engine: Engine, prof: txprof.Profile
) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no two-phase commit")
    with engine.connect() as connection:
        transaction = connection.begin_twophase()
        connection.execute(text("UPDATE product SET name = 'x' WHERE id = 1"))
        transaction.prepare()
        assert state() == "transaction"
        io()  # call
        transaction.commit()
        assert state() == "held"
    assert_flagged(prof, "io-in-transaction", line=line_of("call"))


def test_a_statement_after_a_raw_commit_is_in_a_transaction_again(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("UPDATE product SET name = 'x' WHERE id = 1"))
        connection.exec_driver_sql("COMMIT")
        assert state() == "held"
        connection.execute(text("SELECT 1"))
        assert state() == "transaction"


def test_rolling_back_to_a_savepoint_by_text_stays_in_the_transaction(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE product SET name = 'x' WHERE id = 1"))
        connection.exec_driver_sql("SAVEPOINT mine")
        connection.exec_driver_sql("ROLLBACK TO SAVEPOINT mine")
        assert state() == "transaction"


# Autocommit


def test_an_autocommit_connection_is_held_and_not_in_a_transaction(
    engine: Engine, prof: txprof.Profile
) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT 1"))
        assert connection.in_transaction()
        assert state() == "held"
        io()  # call
    assert_flagged(prof, "io-while-held", line=line_of("call"))
    assert len(prof.findings) == 1


def test_an_autocommit_engine_is_held_and_not_in_a_transaction(
    make_engine: Callable[..., Engine],
) -> None:
    with make_engine(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("SELECT 1"))
        assert state() == "held"


# Engines and threads


def test_two_engines_each_have_their_own_transaction(
    engine: Engine, make_engine: Callable[..., Engine], prof: txprof.Profile
) -> None:
    first, second = engine.connect(), make_engine().connect()
    first.execute(text("SELECT 1"))
    second.execute(text("SELECT 1"))
    second.close()
    assert state() == "transaction"
    io()
    first.close()
    assert state() == "free"
    io()
    assert_flagged(prof, "io-in-transaction", count=1)


def test_findings_name_the_engine_with_its_password_masked(
    engine: Engine, make_engine: Callable[..., Engine], prof: txprof.Profile
) -> None:
    if engine.dialect.name == "sqlite":
        expected = str(engine.url)
        named = engine
    else:
        url = engine.url.set(password="s3cret")
        named = make_engine()
        named.url = url  # trust authentication: the server does not ask
        expected = url.render_as_string(hide_password=True)
    with named.begin() as connection:
        connection.execute(text("SELECT 1"))
        io()
    finding = assert_flagged(prof, "io-in-transaction")
    assert finding.details["engine"] == expected
    assert expected in finding.message
    assert "s3cret" not in repr(finding)


def test_a_thread_is_judged_by_its_own_transaction(engine: Engine, prof: txprof.Profile) -> None:
    opened, called = threading.Event(), threading.Event()

    def owner() -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            opened.set()
            called.wait(5)

    thread = threading.Thread(target=owner)
    thread.start()
    assert opened.wait(5)
    assert state() == "free"
    io()
    called.set()
    thread.join()
    assert_clean(prof)


# Asking


def test_asking_never_checks_a_connection_out(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(pool_size=1)
    assert state() == "free"
    status = txprof.pool_status(engine)
    assert (status.connections, status.busy, status.idle) == (0, 0, 0)
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        assert state() == "transaction"
        assert txprof.pool_status(engine).busy == 1
    status = txprof.pool_status(engine)
    assert (status.connections, status.busy, status.idle) == (1, 0, 1)


# What came before


BEFORE = """
import txprof
from sqlalchemy import create_engine, text

with create_engine("sqlite://").begin() as connection:
    connection.execute(text("SELECT 1"))
    with txprof.profile(on_finding="ignore") as prof:
        with txprof.external_call("rpc", "billing"):
            pass
(finding,) = prof.findings
print(finding.rule, finding.site.line, finding.details["transaction_site"])
"""


def test_a_connection_taken_before_the_first_profile_counts(tmp_path: Path) -> None:
    program = tmp_path / "before.py"
    program.write_text(BEFORE)
    result = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True
    )
    assert result.stdout == "io-in-transaction 8 None\n"


def test_the_tables_written_before_the_call_are_named(engine: Engine, prof: txprof.Profile) -> None:
    with Session(engine) as session, session.begin():
        product = session.get(Product, 1)
        assert product is not None
        product.name = "other"
        session.flush()  # first to lock
        product.name = "another"
        session.flush()
        io()
    finding = assert_flagged(prof, "io-in-transaction")
    assert finding.details["locked_tables"] == ["product"]
    assert "; product stays locked for " in finding.message
    (lock,) = finding.details["locks"]
    assert (lock["table"], lock["site"].line) == ("product", line_of("first to lock"))
    assert lock["statement"].startswith("UPDATE product SET name")


def test_a_transaction_that_only_read_locks_nothing(engine: Engine, prof: txprof.Profile) -> None:
    with Session(engine) as session:
        session.get(Product, 1)
        io()
    assert assert_flagged(prof, "io-in-transaction").details["locked_tables"] == []
