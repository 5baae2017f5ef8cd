"""The slowest transactions, kept whole: what is in them, how they ended, and who watched."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers import FakeClock, call, exemplar_of, line_of, make_wait, statements_of
from products import Product
from sqlalchemy import Connection, Engine, exc, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

import txprof

# --- what is in one -------------------------------------------------------------------------------


def test_it_has_each_statement_and_call_with_its_line_and_time(
    engine: Engine, fake: FakeClock
) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        with engine.connect() as connection:  # taken
            fake.tick(0.5)
            with connection.begin():  # opened
                fake.tick(0.1)
                connection.execute(text("SELECT 1"))  # first
                with txprof.external_call("rpc", "billing"):  # call
                    fake.tick(0.2)
                for _ in range(2):
                    connection.execute(text("SELECT :x"), {"x": 7})  # again
                    fake.tick(0.3)
            fake.tick(0.4)
    found = exemplar_of(prof)
    assert found.seconds == pytest.approx(0.9)
    assert (found.hold_start, found.hold_end) == (-0.5, 1.3)
    assert (found.finishing, found.outcome, found.dropped) == (0.9, "commit", 0)
    assert [(s.start, s.end, s.failed) for s in found.statements] == [
        (0.1, 0.1, False),
        (0.3, 0.3, False),
        (0.6, 0.6, False),
    ]
    assert [s.site and s.site.line for s in found.statements] == [
        line_of("first"),
        line_of("again"),
        line_of("again"),
    ]
    (made,) = found.external_calls
    assert (made.start, made.end, made.kind, made.target) == (0.1, 0.3, "rpc", "billing")
    assert made.site is not None
    assert made.site.line == line_of("call")
    assert made.allowed is None
    assert (found.opened[0].line, found.hold[0].line) == (line_of("opened"), line_of("taken"))
    assert found.engine == engine.url.render_as_string(hide_password=True)
    assert found.process.endswith(f":{os.getpid()}")
    assert found.owner == f"thread {threading.current_thread().name}"
    assert found.wait_seconds == 0


def test_statements_are_without_parameters_and_not_too_long(engine: Engine) -> None:
    long = "SELECT 1 -- " + "x" * 2_000
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT name FROM product WHERE name = :name"), {"name": "s3cret"})
        connection.exec_driver_sql(long)
    statements = statements_of(exemplar_of(prof))
    assert "s3cret" not in repr(prof.exemplars)
    assert statements[1] == long[:999] + "…"


def test_a_failed_statement_says_so(engine: Engine) -> None:
    with txprof.profile() as prof, engine.connect() as connection:
        with pytest.raises(exc.DBAPIError):
            connection.execute(text("SELECT nothing FROM nowhere"))
        connection.rollback()
    found = exemplar_of(prof)
    assert [statement.failed for statement in found.statements] == [True]
    assert found.outcome == "rollback"


def test_an_allowed_call_says_why(engine: Engine) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        with txprof.allow("io-in-transaction", reason="outbox"):
            call()
    assert [made.allowed for made in exemplar_of(prof).external_calls] == ["outbox"]


def test_savepoints_are_part_of_it(engine: Engine) -> None:
    with txprof.profile() as prof, Session(engine) as session, session.begin():
        session.get(Product, 1)
        with session.begin_nested():
            session.get(Product, 2)
    statements = statements_of(exemplar_of(prof))
    assert [statement.split()[0] for statement in statements] == [
        "SELECT",
        "SAVEPOINT",
        "SELECT",
        "RELEASE",
    ]


def test_transactions_on_one_hold_share_it(engine: Engine, fake: FakeClock) -> None:
    with txprof.profile() as prof, engine.connect() as connection:
        for seconds in (1, 2):
            with connection.begin():
                connection.execute(text("SELECT 1"))
                fake.tick(seconds)
    second, first = prof.exemplars
    assert second.connection == first.connection > 0
    assert (first.hold_start, first.hold_end) == (0, 3)
    assert (second.hold_start, second.hold_end) == (-1, 2)


def test_connections_have_numbers_of_their_own(engine: Engine) -> None:
    with txprof.profile() as prof, engine.begin() as one, engine.begin() as other:
        one.execute(text("SELECT 1"))
        other.execute(text("SELECT 2"))
    assert len({found.connection for found in prof.exemplars}) == 2


def test_the_wait_for_the_pool_is_told(make_engine: Callable[..., Engine], fake: FakeClock) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=30)
    with txprof.profile() as prof:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
        make_wait(engine, fake, 0.3)
        with engine.begin() as connection:
            connection.execute(text("SELECT 2"))
            fake.tick(1)
    assert [found.wait_seconds for found in prof.exemplars] == [pytest.approx(0.3), 0]


# --- how it ended ---------------------------------------------------------------------------------


RENAMING = "UPDATE product SET name = 'x' WHERE id = 1"


def commit(connection: Connection) -> None:
    connection.commit()


def rollback(connection: Connection) -> None:
    connection.rollback()


def close(connection: Connection) -> None:
    connection.close()


def as_text(connection: Connection) -> None:
    connection.exec_driver_sql("COMMIT")


def invalidate(connection: Connection) -> None:
    connection.invalidate()


def detach(connection: Connection) -> None:
    connection.detach()


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (commit, "commit"),
        (rollback, "rollback"),
        (close, "rollback"),
        (as_text, "commit"),
        (invalidate, "lost"),
        (detach, "detached"),
    ],
)
def test_it_says_how_it_ended(
    engine: Engine, end: Callable[[Connection], None], outcome: str
) -> None:
    with txprof.profile() as prof, engine.connect() as connection:
        connection.exec_driver_sql(RENAMING)
        end(connection)
    found = exemplar_of(prof)
    assert (found.outcome, statements_of(found)) == (outcome, [RENAMING])
    assert found.hold_end is not None
    assert (found.finishing is None) == (outcome in ("lost", "detached"))


def test_a_commit_that_raises_failed(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()

    def fail(_fairy: object) -> None:
        raise RuntimeError("disk full")

    engine.dialect.do_commit = fail  # type: ignore[method-assign]
    with txprof.profile() as prof:
        with pytest.raises(RuntimeError, match="disk full"), engine.begin() as connection:
            connection.execute(text("SELECT 1"))
    assert exemplar_of(prof).outcome == "failed"


def test_a_two_phase_transaction_is_one(engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no two-phase commit")
    for prepare in (True, False):
        for end in ("commit", "rollback"):
            with txprof.profile() as prof, engine.connect() as connection:
                transaction = connection.begin_twophase()
                connection.execute(text(RENAMING))
                if prepare:
                    transaction.prepare()
                getattr(transaction, end)()
            found = exemplar_of(prof)
            assert found.outcome == end
            assert statements_of(found)[0] == RENAMING


def test_a_dialect_that_ends_two_phases_by_text_commits_all_the_same(postgresql_url: str) -> None:
    def two_phases(connection: Connection) -> None:
        transaction = connection.begin_twophase()
        connection.execute(text("SELECT 1"))
        transaction.prepare()
        transaction.commit()

    async def main() -> txprof.Profile:
        engine = create_async_engine(postgresql_url.replace("+psycopg", "+asyncpg"))
        with txprof.profile() as prof:
            async with engine.connect() as connection:
                await connection.run_sync(two_phases)
        await engine.dispose()
        return prof

    found = exemplar_of(asyncio.run(main()))
    assert [statement.split()[0] for statement in statements_of(found)] == [
        "SELECT",
        "PREPARE",
        "COMMIT",
    ]
    assert found.outcome == "commit"


def test_an_autocommit_connection_has_none(make_engine: Callable[..., Engine]) -> None:
    with txprof.profile() as prof:
        with make_engine(isolation_level="AUTOCOMMIT").begin() as connection:
            connection.execute(text("SELECT 1"))
    assert prof.exemplars == ()


def test_one_left_to_the_garbage_collector_is_told_at_the_end(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        connection: Connection | None = engine.connect()
        assert connection is not None
        connection.execute(text("SELECT 1"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            connection = None
            gc.collect()
    assert exemplar_of(prof).outcome == "reset"


def test_a_result_that_streams_for_long_is_within_its_transaction(
    engine: Engine, fake: FakeClock
) -> None:
    with txprof.profile() as prof, engine.begin() as connection:
        rows = connection.execution_options(stream_results=True).execute(
            text("SELECT id FROM product ORDER BY id")
        )
        for _ in rows:
            fake.tick(1)
    found = exemplar_of(prof)
    assert (found.seconds, [s.end for s in found.statements]) == (3, [0])


# --- who watched ----------------------------------------------------------------------------------


def test_one_that_began_before_the_profile_is_kept_from_where_it_was_seen(
    engine: Engine, fake: FakeClock
) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        fake.tick(1)
        with txprof.profile() as prof:
            connection.execute(text("SELECT 2"))
            connection.commit()
    found = exemplar_of(prof)
    assert (found.seconds, statements_of(found)) == (1, ["SELECT 2"])
    assert found.statements[0].start == 1


def test_a_function_called_within_a_transaction_has_what_it_ran_itself(engine: Engine) -> None:
    @txprof.profile(report=None, on_finding="ignore")
    def inner(connection: Connection) -> None:
        connection.execute(text("SELECT 2"))  # inner
        call("inner")

    with txprof.profile(on_finding="ignore") as prof:
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            inner(connection)
            connection.execute(text("SELECT 3"))
            call("outer")
    found = exemplar_of(prof)
    assert statements_of(found) == ["SELECT 1", "SELECT 2", "SELECT 3"]
    assert [made.target for made in found.external_calls] == ["inner", "outer"]
    found = exemplar_of(inner.__txprof__)  # type: ignore[attr-defined]
    assert statements_of(found) == ["SELECT 2"]
    assert found.statements[0].site is not None
    assert found.statements[0].site.line == line_of("inner")
    assert [made.target for made in found.external_calls] == ["inner"]


def test_it_may_end_after_the_function_that_ran_something_in_it(engine: Engine) -> None:
    @txprof.profile(report=None)
    def inner(connection: Connection) -> None:
        connection.execute(text("SELECT 2"))

    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        inner(connection)
    assert statements_of(exemplar_of(inner.__txprof__)) == ["SELECT 2"]  # type: ignore[attr-defined]


def test_threads_each_have_their_own(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(pool_size=4)
    all_in = threading.Barrier(4)

    def work(number: int) -> None:
        with engine.begin() as connection:
            connection.execute(text(f"SELECT {number}"))
            all_in.wait(30)

    with txprof.profile() as prof, ThreadPoolExecutor(4, thread_name_prefix="worker") as pool:
        list(pool.map(work, range(4)))
    assert sorted(statements_of(found)[0] for found in prof.exemplars) == [
        f"SELECT {n}" for n in range(4)
    ]
    assert len({found.owner for found in prof.exemplars}) == 4
    assert all(found.owner.startswith("thread worker") for found in prof.exemplars)
    assert len({found.connection for found in prof.exemplars}) == 4


def test_tasks_each_have_their_own(async_url: str) -> None:
    def by_greenlet(connection: Connection) -> None:
        connection.execute(text("SELECT 2"))  # greenlet

    async def main() -> txprof.Profile:
        engine = create_async_engine(async_url, pool_size=2)
        arrived: list[int] = []
        together = asyncio.Event()

        async def work(number: int) -> None:
            async with engine.begin() as connection:
                await connection.execute(text("SELECT 1"))  # await
                await connection.run_sync(by_greenlet)
                arrived.append(number)
                if len(arrived) == 2:
                    together.set()
                await together.wait()

        with txprof.profile(on_finding="ignore") as prof:
            async with asyncio.TaskGroup() as group:
                for number in range(2):
                    group.create_task(work(number), name=f"number {number}")
        await engine.dispose()
        return prof

    prof = asyncio.run(main())
    assert len(prof.exemplars) == 2
    for found in prof.exemplars:
        assert statements_of(found) == ["SELECT 1", "SELECT 2"]
        assert found.outcome == "commit"
        lines = [s.site and s.site.line for s in found.statements]
        assert lines == [line_of("await"), line_of("greenlet")]
    assert {found.owner for found in prof.exemplars} == {"task number 0", "task number 1"}
    assert len({found.connection for found in prof.exemplars}) == 2
