"""The gauges of every kind of pool, and who holds its connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import eventually
from pool_jobs import Jobs
from sqlalchemy import Engine, create_engine, exc, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool

import txprof

Make = Callable[..., Engine]


@pytest.fixture
def unwatched() -> None:
    """No sensor is in."""
    txprof.uninstall()


@pytest.fixture
def watched() -> None:
    """The sensors are in: they stay after the first profile."""
    with txprof.profile():
        pass


def gauges(engine: object) -> tuple[int | None, ...]:
    status = txprof.pool_status(engine)
    return (status.size, status.connections, status.busy, status.idle)


@pytest.mark.usefixtures("unwatched")
def test_gauges_of_a_queue_pool_without_any_sensor(url: str, made: Make) -> None:
    engine = made(url, poolclass=QueuePool, pool_size=2, max_overflow=1, pool_timeout=60)
    assert gauges(engine) == (2, 0, 0, 0)
    with engine.connect():
        assert gauges(engine) == (2, 1, 1, 0)
        assert txprof.pool_status(engine).dead is None
    assert gauges(engine) == (2, 1, 0, 1)
    engine.dispose()
    assert gauges(engine) == (2, 0, 0, 0)


def test_overflow_is_what_is_open_beyond_the_size(url: str, made: Make) -> None:
    engine = made(url, poolclass=QueuePool, pool_size=1, max_overflow=2)
    with engine.connect(), engine.connect():
        status = txprof.pool_status(engine)
        assert (status.connections, status.overflow, status.max_overflow) == (2, 1, 2)
    assert txprof.pool_status(engine).overflow == 0
    unlimited = made(url, poolclass=QueuePool, pool_size=1, max_overflow=-1)
    assert txprof.pool_status(unlimited).max_overflow is None


@pytest.mark.parametrize("sensors", ["unwatched", "watched"])
def test_threads_that_wait_are_counted(
    url: str, made: Make, sensors: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(sensors)
    engine = made(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=60)
    with engine.connect():
        threads = [threading.Thread(target=lambda: engine.connect().close()) for _ in range(3)]
        for thread in threads:
            thread.start()
        eventually(lambda: txprof.pool_status(engine).waiting == 3)
    for thread in threads:
        thread.join()
    assert txprof.pool_status(engine).waiting == 0


@pytest.mark.parametrize("sensors", ["unwatched", "watched"])
def test_tasks_that_wait_are_counted(
    url_for_tasks: str, sensors: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(sensors)

    async def main() -> None:
        engine = create_async_engine(url_for_tasks, pool_size=1, max_overflow=0, pool_timeout=60)
        assert gauges(engine) == (1, 0, 0, 0)

        async def ask() -> None:
            async with engine.connect():
                pass

        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            tasks = [asyncio.create_task(ask()) for _ in range(3)]
            while txprof.pool_status(engine).waiting != 3:
                await asyncio.sleep(0)
            assert gauges(engine) == (1, 1, 1, 0)
        await asyncio.gather(*tasks)
        assert txprof.pool_status(engine).waiting == 0
        assert gauges(engine) == (1, 1, 0, 1)
        await engine.dispose()
        assert gauges(engine) == (1, 0, 0, 0)

    asyncio.run(main())


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("poolclass", [NullPool, StaticPool, SingletonThreadPool, AssertionPool])
def test_pools_that_keep_no_count_are_counted_by_the_sensors(
    tmp_path: Path, poolclass: type, made: Make
) -> None:
    engine = made(f"sqlite:///{tmp_path / 'x.db'}", poolclass=poolclass)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        status = txprof.pool_status(engine)
        assert (status.connections, status.busy, status.dead) == (1, 1, 0)
        assert (status.idle, status.waiting, status.checkout_timeout) == (None, 0, None)
        assert (status.overflow, status.max_overflow) == (None, None)
    assert txprof.pool_status(engine).busy == 0


@pytest.mark.usefixtures("unwatched")
@pytest.mark.parametrize("poolclass", [NullPool, StaticPool, SingletonThreadPool, AssertionPool])
def test_what_nobody_counts_is_none_and_not_nought(
    tmp_path: Path, poolclass: type, made: Make
) -> None:
    engine = made(f"sqlite:///{tmp_path / 'x.db'}", poolclass=poolclass)
    with engine.connect():
        status = txprof.pool_status(engine)
    assert status.size == (5 if poolclass is SingletonThreadPool else None)
    assert (status.connections, status.busy, status.waiting) == (None, None, None)


def test_asking_checks_nothing_out(url: str, made: Make) -> None:
    engine = made(url, poolclass=QueuePool)
    with txprof.profile(on_finding="ignore") as prof:
        txprof.pool_status(engine).holders()
    assert prof.pools == []
    assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]


@pytest.mark.usefixtures("watched")
def test_holders_longest_first_with_line_taken_line_now_and_last_statement(
    url: str, made: Make, jobs: Jobs
) -> None:
    engine = made(url, poolclass=QueuePool, pool_size=3)
    with txprof.profile(on_finding="ignore"):
        for name in ("one", "two"):
            jobs.hold(engine, name)
        first, second = txprof.pool_status(engine).holders()
        assert (first.owner, second.owner) == ("thread one", "thread two")
        assert first.seconds > second.seconds > 0
        assert first.taken == jobs.site("taken")
        assert first.now == jobs.site("stands")
        assert first.statement == "SELECT 1"
        jobs.let_go()
    assert txprof.pool_status(engine).holders() == ()


@pytest.mark.usefixtures("watched")
def test_a_task_that_holds_is_named_with_the_line_it_awaits_at(url_for_tasks: str) -> None:
    async def main() -> None:
        engine = create_async_engine(url_for_tasks, pool_size=2)
        holding, go = asyncio.Event(), asyncio.Event()

        async def job() -> None:
            async with engine.connect() as connection:  # here
                await connection.execute(text("SELECT 1"))
                holding.set()
                await go.wait()

        task = asyncio.create_task(job(), name="import-7")
        await holding.wait()
        (holder,) = txprof.pool_status(engine).holders()
        assert holder.owner == "task import-7"
        assert holder.taken is not None
        assert holder.now is not None
        assert holder.now.line - holder.taken.line == 3
        assert holder.now.function.endswith("job")
        go.set()
        await task
        await engine.dispose()

    asyncio.run(main())


@pytest.mark.usefixtures("watched")
def test_a_connection_of_a_task_that_ended_is_dead(url_for_tasks: str) -> None:
    async def main() -> None:
        engine = create_async_engine(url_for_tasks, pool_size=2)
        kept = []

        async def job() -> None:
            kept.append(await engine.connect())

        await asyncio.create_task(job())
        status = txprof.pool_status(engine)
        assert (status.connections, status.busy, status.dead) == (1, 0, 1)
        await kept.pop().close()
        assert txprof.pool_status(engine).dead == 0
        await engine.dispose()

    asyncio.run(main())


def test_a_pool_can_be_asked_and_nothing_else(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    assert txprof.pool_status(engine.pool) == txprof.pool_status(engine)
    engine.dispose()
    with pytest.raises(TypeError, match=r"pool_status\(\) takes a SQLAlchemy Engine"):
        txprof.pool_status("sqlite://")


def test_an_unreachable_database_is_no_concern(made: Make) -> None:
    engine = made("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with pytest.raises(exc.OperationalError):
        engine.connect()
    assert gauges(engine) == (5, 0, 0, 0)
