"""The pool's rules on every database, under threads and under asyncio: one test a rule."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from helpers import FakeClock, assert_flagged, eventually, line_of
from pool_jobs import Jobs
from sqlalchemy import Engine, exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

import txprof

Make = Callable[..., Engine]
SELECT_1 = text("SELECT 1")


def pool_of(url: str, made: Make, size: int, timeout: float = 60) -> Engine:
    return made(url, poolclass=QueuePool, pool_size=size, max_overflow=0, pool_timeout=timeout)


def async_pool_of(url: str, size: int, timeout: float = 60) -> AsyncEngine:
    return create_async_engine(url, pool_size=size, max_overflow=0, pool_timeout=timeout)


def test_a_thread_that_waits(url: str, made: Make, fake: FakeClock) -> None:
    engine = pool_of(url, made, 1)
    with txprof.profile(on_finding="ignore", pool_wait_ms=100) as prof:

        def wait() -> None:
            with engine.connect():  # waits
                pass

        with engine.connect():
            thread = threading.Thread(target=wait)
            thread.start()
            eventually(lambda: txprof.pool_status(engine).waiting == 1)
            fake.tick(0.25)
        thread.join()
    finding = assert_flagged(prof, "pool-wait", count=1)
    assert (finding.site.function.rpartition(".")[2], finding.seconds) == ("wait", 0.25)
    assert finding.severity == "warning"


def test_a_task_that_waits(url_for_tasks: str, fake: FakeClock) -> None:
    async def main() -> txprof.Profile:
        engine = async_pool_of(url_for_tasks, 1)
        with txprof.profile(on_finding="ignore", pool_wait_ms=100) as prof:

            async def wait() -> None:
                async with engine.connect():
                    pass

            async with engine.connect():
                task = asyncio.create_task(wait())
                while txprof.pool_status(engine).waiting != 1:
                    await asyncio.sleep(0)
                fake.tick(0.25)
            await task
        await engine.dispose()
        return prof

    finding = assert_flagged(asyncio.run(main()), "pool-wait", count=1)
    assert (finding.site.function.rpartition(".")[2], finding.seconds) == ("wait", 0.25)
    assert finding.severity == "warning"


def test_a_thread_that_gave_up(url: str, made: Make, jobs: Jobs) -> None:
    engine = pool_of(url, made, 2, timeout=0.05)
    with txprof.profile(on_finding="ignore") as prof:
        for name in ("one", "two"):
            jobs.hold(engine, name)
        with pytest.raises(exc.TimeoutError):
            engine.connect()  # gave up
        jobs.let_go()
    finding = assert_flagged(prof, "pool-timeout", line=line_of("gave up"), count=1)
    first, second = finding.details["holders"]
    assert (first["owner"], second["owner"]) == ("thread one", "thread two")
    assert first["seconds"] > second["seconds"]
    assert first["taken_at"] == jobs.site("taken")
    assert first["now_at"] == jobs.site("stands")
    assert first["statement"] == "SELECT 1"


def test_a_task_that_gave_up(url_for_tasks: str) -> None:
    async def main() -> txprof.Profile:
        engine = async_pool_of(url_for_tasks, 1, timeout=0.05)
        go, holding = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with engine.connect() as connection:
                await connection.execute(SELECT_1)
                holding.set()
                await go.wait()

        with txprof.profile(on_finding="ignore") as prof:
            task = asyncio.create_task(hold(), name="import-7")
            await holding.wait()
            with pytest.raises(exc.TimeoutError):
                await engine.connect()
            go.set()
            await task
        await engine.dispose()
        return prof

    finding = assert_flagged(asyncio.run(main()), "pool-timeout", count=1)
    (holder,) = finding.details["holders"]
    assert holder["owner"] == "task import-7"
    assert holder["now_at"].line == holder["taken_at"].line + 3
    assert holder["statement"] == "SELECT 1"


def test_a_thread_that_asks_while_it_holds(url: str, made: Make) -> None:
    engine = pool_of(url, made, 2)
    with txprof.profile(on_finding="ignore") as prof, engine.connect():
        with engine.connect():  # second
            pass
    finding = assert_flagged(prof, "nested-checkout", line=line_of("second"), count=1)
    assert finding.details["held_at_once"] == 2


def test_a_task_that_asks_while_it_holds(url_for_tasks: str) -> None:
    async def main() -> txprof.Profile:
        engine = async_pool_of(url_for_tasks, 2)
        with txprof.profile(on_finding="ignore") as prof:
            async with engine.connect(), engine.connect():
                pass
        await engine.dispose()
        return prof

    finding = assert_flagged(asyncio.run(main()), "nested-checkout", count=1)
    assert finding.details["held_at_once"] == 2


def test_a_connection_that_a_call_did_not_give_back(url: str, made: Make) -> None:
    engine = pool_of(url, made, 1)
    kept: list[Any] = []

    @txprof.profile(report=None, on_finding="ignore")
    def leak() -> None:
        kept.append(engine.connect())

    leak()
    finding = assert_flagged(leak.__txprof__, "connection-leak", count=1)  # type: ignore[attr-defined]
    assert finding.severity == "error"
    kept.pop().close()


def test_a_connection_that_a_task_did_not_give_back(url_for_tasks: str) -> None:
    kept: list[AsyncConnection] = []

    @txprof.profile(report=None, on_finding="ignore")
    async def leak(engine: AsyncEngine) -> None:
        kept.append(await engine.connect())

    async def main() -> None:
        engine = async_pool_of(url_for_tasks, 1)
        await leak(engine)
        await kept.pop().close()
        await engine.dispose()

    asyncio.run(main())
    assert_flagged(leak.__txprof__, "connection-leak", count=1)  # type: ignore[attr-defined]
    gc.collect()
