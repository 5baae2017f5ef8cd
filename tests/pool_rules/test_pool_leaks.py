"""`connection-leak`: a connection that nobody gave back."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import assert_clean, assert_flagged, line_of
from sqlalchemy import Connection, Engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from starved_pools import in_thread

import txprof


@pytest.fixture
def kept() -> Iterator[list[Any]]:
    """What a program forgets to close; closed after the test."""
    kept: list[Any] = []
    yield kept
    for each in kept:
        each.close()


def test_a_connection_out_when_the_profiled_call_ends_is_a_leak(
    engine: Engine, kept: list[Any]
) -> None:
    @txprof.profile(report=None, on_finding="ignore")
    def work() -> None:
        kept.append(engine.connect())  # takes

    for _ in range(2):
        work()
    finding = assert_flagged(work.__txprof__, "connection-leak", line=line_of("takes"), count=2)  # type: ignore[attr-defined]
    assert finding.severity == "error"
    assert "still out when the profiled call ended" in finding.message
    assert finding.details["collected"] == 0


def test_a_session_that_the_call_made_and_kept_is_one_too(engine: Engine, kept: list[Any]) -> None:
    @txprof.profile(report=None, on_finding="ignore")
    def work() -> None:
        kept.append(Session(engine))
        kept[0].execute(text("SELECT 1"))  # takes

    work()
    assert_flagged(work.__txprof__, "connection-leak", line=line_of("takes"))  # type: ignore[attr-defined]


def test_a_session_of_the_caller_is_the_callers_to_close(engine: Engine) -> None:
    @txprof.profile(report=None, on_finding="ignore")
    def work(session: Session) -> None:
        session.execute(text("SELECT 1"))

    with Session(engine) as session:
        work(session)
    with engine.connect() as connection, Session(connection) as session:
        work(session)
    assert_clean(work.__txprof__)  # type: ignore[attr-defined]


def test_what_a_nested_call_takes_its_caller_may_give_back(engine: Engine) -> None:
    @txprof.profile(report=None, on_finding="ignore")
    class Work:
        def run(self) -> None:
            self.take().close()

        def take(self) -> Connection:
            return engine.connect()

    Work().run()
    assert_clean(Work.run.__txprof__)  # type: ignore[attr-defined]


def test_what_a_profiled_context_manager_takes_it_gives_back_later(engine: Engine) -> None:
    @txprof.profile(report=None, on_finding="ignore")
    class Unit:
        def __enter__(self) -> Connection:
            self.connection = engine.connect()
            return self.connection

        def __exit__(self, *error: object) -> None:
            self.connection.close()

    with Unit() as connection:
        connection.execute(text("SELECT 1"))
    assert_clean(Unit.__enter__.__txprof__)  # type: ignore[attr-defined]


def test_a_connection_left_to_the_garbage_collector_is_a_leak(engine: Engine) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        connection = engine.connect()  # takes
        connection.execute(text("SELECT 1"))
        del connection
        gc.collect()
        engine.connect().close()
    finding = assert_flagged(prof, "connection-leak", line=line_of("takes"), count=1)
    assert finding.details["collected"] == 1
    assert "left to the garbage collector" in finding.message


@pytest.mark.filterwarnings("ignore")  # SQLAlchemy and the drivers complain too
def test_an_async_connection_left_to_the_garbage_collector_is_a_leak(async_url: str) -> None:
    async def main() -> txprof.Profile:
        engine = create_async_engine(async_url)
        with txprof.profile(on_finding="ignore") as prof:
            connection = await engine.connect()
            await connection.execute(text("SELECT 1"))
            del connection
            gc.collect()
        await engine.dispose()
        return prof

    before = set(threading.enumerate())
    prof = asyncio.run(main())
    for thread in set(threading.enumerate()) - before:
        thread.join(5)  # aiosqlite's own may complain that its loop is closed: here, not later
    assert assert_flagged(prof, "connection-leak", count=1).details["collected"] == 1


def test_a_block_judges_what_its_own_thread_took_in_it(engine: Engine, kept: list[Any]) -> None:
    kept.append(engine.connect())
    with txprof.profile(on_finding="ignore") as prof:
        in_thread(lambda: kept.append(engine.connect())).join()
        kept.append(engine.connect())  # takes
    assert_flagged(prof, "connection-leak", line=line_of("takes"), count=1)


@pytest.mark.parametrize("end", ["close", "invalidate", "detach"])
def test_a_connection_that_was_given_up_is_no_leak(engine: Engine, end: str) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        connection = engine.connect()
        connection.execute(text("SELECT 1"))
        getattr(connection, end)()
        connection.close()
        with pytest.raises(KeyError), Session(engine) as session:
            session.execute(text("SELECT 1"))
            raise KeyError
    assert_clean(prof)


def test_under_raise_a_leak_is_raised_when_the_call_ends(
    make_engine: Callable[..., Engine], kept: list[Any]
) -> None:
    engine = make_engine(max_overflow=-1)

    @txprof.profile(report=None, on_finding="raise")
    def work(error: Exception | None = None) -> None:
        kept.append(engine.connect())
        if error is not None:
            raise error

    with (
        pytest.warns(txprof.TransactionHygieneWarning),
        pytest.raises(txprof.TransactionHygieneError) as caught,
    ):
        work()
    with pytest.warns(txprof.TransactionHygieneWarning), pytest.raises(KeyError):
        work(KeyError())
    assert caught.value.finding.rule == "connection-leak"


def test_a_leak_is_allowed_where_the_connection_is_taken(
    make_engine: Callable[..., Engine], kept: list[Any]
) -> None:
    engine = make_engine(max_overflow=-1)
    with txprof.profile(on_finding="raise") as prof:
        with txprof.allow("connection-leak", reason="lives as long as the process"):
            kept.append(engine.connect())
        kept.append(engine.connect())  # txprof: allow[connection-leak] an advisory lock
    assert_clean(prof)
