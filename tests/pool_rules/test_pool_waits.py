"""`pool-wait`: a checkout waited, and on a running event loop kept it from running."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from helpers import FakeClock, assert_clean, assert_flagged, line_of
from sqlalchemy import Engine, exc, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starved_pools import line_in_file, wait_for

import txprof


def test_a_checkout_that_waits_is_flagged_where_it_asks(small: Engine, time: FakeClock) -> None:
    def work() -> None:
        small.connect().close()  # asking

    with txprof.profile(on_finding="ignore") as prof:
        wait_for(small, 0.25, time, work)
        wait_for(small, 1.5, time, work)
        wait_for(small, 0.09, time, work)
    finding = assert_flagged(prof, "pool-wait", line=line_of("asking"), count=2)
    assert finding.severity == "warning"
    assert finding.seconds == pytest.approx(1.75)
    assert finding.details["longest"] == pytest.approx(1.5)
    assert "waited for a connection 2 times, up to 1.50 s each" in finding.message


def test_how_long_is_too_long_is_a_setting(small: Engine, time: FakeClock) -> None:
    with txprof.profile(on_finding="ignore", pool_wait_ms=50) as prof:
        wait_for(small, 0.09, time, lambda: small.connect().close())
    assert_flagged(prof, "pool-wait", count=1)


def test_a_ping_after_a_wait_is_no_part_of_it(
    make_small: Callable[..., Engine], time: FakeClock
) -> None:
    engine = make_small(pool_pre_ping=True)
    with txprof.profile(on_finding="ignore") as prof:
        engine.connect().close()
        wait_for(engine, 0.2, time, lambda: engine.connect().close())
    assert assert_flagged(prof, "pool-wait").seconds == pytest.approx(0.2)


def test_under_raise_a_wait_is_raised_when_the_call_ends(small: Engine, time: FakeClock) -> None:
    results = []

    @txprof.profile(on_finding="raise", report=None)
    def work() -> None:
        with small.connect() as connection:
            results.append(connection.scalar(text("SELECT 1")))

    def call() -> None:
        with pytest.raises(txprof.TransactionHygieneError) as caught:
            work()
        results.append(caught.value.finding.rule)

    with pytest.warns(txprof.TransactionHygieneWarning):
        wait_for(small, 0.2, time, call)
    assert results == [1, "pool-wait"]


def test_a_sync_wait_on_a_running_loop_is_an_error_and_says_why(
    make_small: Callable[..., Engine],
) -> None:
    engine = make_small(timeout=0.01)

    async def request(began: asyncio.Event) -> None:
        with engine.connect():  # blocks
            began.set()
            await asyncio.sleep(0)

    async def serve() -> None:
        began = asyncio.Event()
        first = asyncio.create_task(request(began))
        await began.wait()
        with pytest.raises(exc.TimeoutError):
            await request(began)
        await first

    with txprof.profile(on_finding="ignore", pool_wait_ms=5) as prof:
        asyncio.run(serve())
    assert_flagged(prof, "pool-timeout", line=line_in_file("blocks", __file__))
    finding = assert_flagged(prof, "pool-wait", line=line_in_file("blocks", __file__))
    assert finding.severity == "error"
    assert "blocked the thread of a running event loop" in finding.message
    assert "create_async_engine" in finding.hint


async def a_task_waits(engine: AsyncEngine, time: FakeClock) -> None:
    connection = await engine.connect()

    async def ask() -> None:
        async with engine.connect():
            pass

    asking = asyncio.create_task(ask())
    while not txprof.pool_status(engine).waiting:
        await asyncio.sleep(0)
    time.tick(0.5)
    await connection.close()
    await asking
    await engine.dispose()


def test_a_task_that_waits_suspended_is_no_error(async_url: str, time: FakeClock) -> None:
    engine = create_async_engine(async_url, pool_size=1, max_overflow=0)
    with txprof.profile(on_finding="ignore") as prof:
        asyncio.run(a_task_waits(engine, time))
    finding = assert_flagged(prof, "pool-wait", count=1)
    assert finding.severity == "warning"
    assert "event loop" not in finding.message


def test_a_comment_allows_a_wait(small: Engine, time: FakeClock) -> None:
    def work() -> None:
        small.connect().close()  # txprof: allow[pool-wait] one job at a time

    with txprof.profile(on_finding="raise") as prof:
        wait_for(small, 0.25, time, work)
    assert_clean(prof)
