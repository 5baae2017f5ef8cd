"""How long connections were held, waited for and done without: by pool and by line."""

from __future__ import annotations

import asyncio
import json
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import FakeClock, eventually, line_of, make_wait
from sqlalchemy import Engine, exc, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import QueuePool

import txprof
from txprof import HoldProfile, PoolProfile
from txprof.clock import clock
from txprof.report.pools import pool_details
from txprof.sensors import occupancy

Make = Callable[..., Engine]


def about(seconds: float) -> Any:
    return pytest.approx(seconds, rel=0.0101)


@pytest.fixture
def engine(url: str, made: Make) -> Engine:
    return made(url, poolclass=QueuePool, pool_size=2, max_overflow=0, pool_timeout=60)


@pytest.fixture
def prof() -> Iterator[txprof.Profile]:
    with txprof.profile(on_finding="ignore") as prof:
        yield prof


def pool_of(prof: txprof.Profile) -> PoolProfile:
    (pool,) = prof.pools
    return pool


def hold_of(prof: txprof.Profile) -> HoldProfile:
    (hold,) = pool_of(prof).holds
    return hold


def test_holds_are_distributed_by_the_line_that_took_them(
    engine: Engine, fake: FakeClock, prof: txprof.Profile
) -> None:
    for seconds in (1, 2, 3, 4, 100):
        with engine.connect():  # many
            fake.tick(seconds)
    with engine.connect():  # one
        fake.tick(7)
    many, one = pool_of(prof).holds
    assert many.site is not None
    assert one.site is not None
    assert (many.site.line, one.site.line) == (line_of("many"), line_of("one"))
    assert (many.held.count, many.held.mean) == (5, 22)
    assert (many.held.p50, many.held.p95, many.held.max) == (about(3), about(4), 100)
    assert (one.held.count, one.held.max) == (1, 7)
    assert (pool_of(prof).held.count, pool_of(prof).held.max) == (6, 100)


def test_a_hold_is_split_into_statements_calls_and_neither(
    url: str, made: Make, fake: FakeClock
) -> None:
    txprof.uninstall()  # what is slow has to be beneath the sensors
    engine = made(url, poolclass=QueuePool)
    execute = engine.dialect.do_execute

    def slow(*args: Any, **kwargs: Any) -> Any:
        fake.tick(2)
        return execute(*args, **kwargs)

    with engine.connect():
        pass
    engine.dialect.do_execute = slow  # type: ignore[method-assign]
    with txprof.profile(on_finding="ignore") as prof:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
            with txprof.external_call("rpc", "billing"):
                fake.tick(5)
            fake.tick(3)
    hold = hold_of(prof)
    assert (hold.held.max, hold.statement_seconds, hold.external_seconds) == (10, 2, 5)
    pool = pool_of(prof)
    assert (pool.statement_seconds, pool.external_seconds) == (2, 5)
    shares = next(line for line in pool_details(pool) if "statements" in line)
    assert shares.split(" · ") == [
        " " * 18 + "20 % in statements",
        "50 % in external calls",
        "30 % in neither",
    ]


def test_calls_side_by_side_fill_no_more_than_the_hold(
    engine: Engine, fake: FakeClock, prof: txprof.Profile
) -> None:
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        threads = []
        barrier = threading.Barrier(3)

        def work() -> None:
            with txprof.external_call("rpc", "billing"):
                barrier.wait()
                barrier.wait()

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        barrier.wait()
        fake.tick(4)
        barrier.wait()
        for thread in threads:
            thread.join()
    assert hold_of(prof).external_seconds <= hold_of(prof).held.count * 4


def test_waits_are_distributed_and_those_that_gave_up_too(
    url: str, made: Make, fake: FakeClock, prof: txprof.Profile
) -> None:
    engine = made(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01)
    held = engine.connect()  # first
    make_wait(engine, fake, 30)
    with pytest.raises(exc.TimeoutError):
        engine.connect()  # second
    held.close()
    by_line = {hold.site.line: hold for hold in pool_of(prof).holds if hold.site}
    first, second = by_line[line_of("first")], by_line[line_of("second")]
    assert (first.held.count, first.waited.count, first.waited.max) == (1, 1, 0)
    assert (second.held.count, second.waited.count, second.waited.max) == (0, 1, 30)
    assert pool_of(prof).waited.count == 2
    assert (pool_of(prof).limit, pool_of(prof).checkout_timeout) == (1, 0.01)


def test_a_wait_that_was_answered_is_as_long_as_it_was(
    url: str, made: Make, fake: FakeClock, prof: txprof.Profile
) -> None:
    engine = made(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=60)
    with engine.connect():
        thread = threading.Thread(target=lambda: engine.connect().close())
        thread.start()
        eventually(lambda: txprof.pool_status(engine).waiting == 1)
        fake.tick(4)
    thread.join()
    assert pool_of(prof).waited.max == 4
    assert pool_of(prof).waited.p50 == about(1e-6)


def test_what_a_worker_did_between_two_holds(
    engine: Engine, fake: FakeClock, prof: txprof.Profile
) -> None:
    fake.tick(50)  # nobody knows since when it has done without
    for _ in range(3):
        with engine.connect():
            fake.tick(1)
            with engine.connect():  # while one is held: no pause before it
                fake.tick(1)
        fake.tick(9)
    assert (pool_of(prof).thought.count, pool_of(prof).thought.mean) == (2, 9)


def test_a_checkout_that_gave_up_ends_a_pause(
    url: str, made: Make, fake: FakeClock, prof: txprof.Profile
) -> None:
    engine = made(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with engine.connect():
        pass
    fake.tick(3)
    other = threading.Thread(target=lambda: kept.append(engine.connect()))
    kept: list[Any] = []
    other.start()
    other.join()
    with pytest.raises(exc.TimeoutError):
        engine.connect()
    fake.tick(5)
    kept.pop().close()
    with engine.connect():
        pass
    assert (pool_of(prof).thought.count, pool_of(prof).thought.max) == (2, 5)


def one_then_two_then_none(engine: Engine, fake: FakeClock) -> None:
    """Connections that are out: 2 s, 3 s, one again for 1 s, none for 4 s."""
    with engine.connect():
        fake.tick(2)
        with engine.connect():
            fake.tick(3)
        fake.tick(1)
    fake.tick(4)
    with engine.connect():
        pass


def test_how_many_were_out_for_how_long(
    engine: Engine, fake: FakeClock, prof: txprof.Profile
) -> None:
    one_then_two_then_none(engine, fake)
    pool = pool_of(prof)
    assert pool.busy == {0: 4, 1: 3, 2: 3}
    assert pool.mean_busy == pytest.approx(0.9)
    assert next(pool_details(pool)) == (
        " " * 9 + "busy     0.9 on average while in use · all 2 for 30 % of it"
    )


def test_time_between_profiled_calls_counts_for_nobody(engine: Engine, fake: FakeClock) -> None:
    @txprof.profile(report=None, on_finding="ignore")
    def job() -> None:
        with engine.connect():
            fake.tick(1)

    job()
    fake.tick(1000)
    job()
    (pool,) = job.__txprof__.pools  # type: ignore[attr-defined]
    assert sum(pool.busy.values()) <= 2
    assert pool.held.count == 2


def test_tasks_hold_wait_and_pause(url_for_tasks: str, fake: FakeClock) -> None:
    async def main() -> txprof.Profile:
        engine = create_async_engine(url_for_tasks, pool_size=1, max_overflow=0, pool_timeout=60)
        with txprof.profile(on_finding="ignore") as prof:

            async def ask() -> None:
                async with engine.connect():
                    pass

            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                task = asyncio.create_task(ask())
                while txprof.pool_status(engine).waiting != 1:
                    await asyncio.sleep(0)
                fake.tick(4)
            await task
            fake.tick(3)
            async with engine.connect():
                pass
        await engine.dispose()
        return prof

    pool = pool_of(asyncio.run(main()))
    assert (pool.held.count, pool.held.max) == (3, 4)
    assert pool.waited.max == 4
    assert (pool.thought.count, pool.thought.max) == (1, 3)


def test_they_survive_the_file_and_old_files_are_read(
    engine: Engine, fake: FakeClock, tmp_path: Path
) -> None:
    with txprof.profile(on_finding="ignore") as prof:
        for _ in range(2):
            with engine.connect():
                fake.tick(2)
            fake.tick(1)
    path = tmp_path / "new.txprof"
    prof.save(path)
    assert txprof.load(path).pools == prof.pools
    document = json.loads(path.read_text())
    del document["recording"]["holds"]
    for pool in document["recording"]["pools"]:
        for key in ("limit", "checkout_timeout", "busy", "thought"):
            pool.pop(key, None)
    old = tmp_path / "old.txprof"
    old.write_text(json.dumps(document))
    loaded = txprof.load(old)
    (pool,) = loaded.pools
    assert (pool.checkouts, pool.held.count, pool.held.p95, pool.busy) == (2, 0, None, {})
    assert (pool.statement_seconds, pool.limit, pool.mean_busy) == (None, None, None)
    assert list(pool_details(pool)) == []
    assert txprof.merge(loaded, prof).pools[0].held == prof.pools[0].held


def test_the_report_and_the_plain_data_have_them(
    engine: Engine, fake: FakeClock, prof: txprof.Profile
) -> None:
    with engine.connect():
        fake.tick(2)
    report = prof.render("text", width=80)
    assert "         held     p50 1.99 s · p95 1.99 s · p99 1.99 s · max 2.00 s" in report
    (pool,) = prof.to_dict()["pools"]
    assert pool["held"]["max"] == 2
    assert pool["holds"][0]["site"]["function"].startswith("test_the_report")
    json.dumps(pool)


def test_workers_that_ended_are_forgotten() -> None:
    class Task:
        pass

    returns = occupancy.Returns()
    for number in range(10_000):
        returns.note(weakref.ref(Task()), 0.0)
        returns.note(-number - 1, 0.0)  # no thread's
    assert len(returns._at) <= 2 * occupancy._SWEPT


def test_the_course_of_a_pool_over_time(
    engine: Engine, fake: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Moments begin at multiples of their length since the epoch: nothing here changes just then.
    monkeypatch.setattr(clock, "wall", lambda: 1.7e9 + 0.03)
    with txprof.profile(on_finding="ignore") as prof:
        one_then_two_then_none(engine, fake)
    moments = pool_of(prof).over_time
    assert 100 < len(moments) <= 240
    width = moments[0].seconds
    assert {one.seconds for one in moments} == {width}
    assert len(moments) * width == pytest.approx(10, abs=2 * width)
    assert moments[0].start == pytest.approx(clock.wall(), abs=width)
    shown = [(round(one.busy, 3), one.peak) for one in moments[1:-1]]
    assert [one for one, before in zip(shown, [None, *shown], strict=False) if one != before][
        ::2
    ] == [(1.0, 1), (2.0, 2), (1.0, 1), (0.0, 0)]
    assert sum(one.busy for one in moments) * width == pytest.approx(9, abs=0.1)
    assert not any(one.waiting for one in moments)


def test_who_waits_is_part_of_it(url: str, made: Make, fake: FakeClock) -> None:
    engine = made(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with txprof.profile(on_finding="ignore") as prof:
        with engine.connect():
            fake.tick(10)
            make_wait(engine, fake, 30)
            with pytest.raises(exc.TimeoutError):
                engine.connect()
    moments = pool_of(prof).over_time
    waited = sum(one.waiting for one in moments) * moments[0].seconds
    assert waited == pytest.approx(30, rel=0.05)
    assert max(one.waiting for one in moments) == pytest.approx(1.0)
    assert moments[2].waiting == 0
