"""Pools: the gauges, and what a profile says of waits and timeouts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import FakeClock, eventually
from sqlalchemy import Engine, create_engine, exc, text
from sqlalchemy.pool import NullPool, SingletonThreadPool, StaticPool

import txprof
from txprof import PoolStatus


@pytest.fixture(autouse=True)
def sensors() -> None:
    """Put the sensors in: without them nobody counts who waits."""
    with txprof.profile():
        pass


def test_the_gauges_follow_a_connection(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(pool_size=3, max_overflow=1, pool_timeout=7)
    empty = PoolStatus(3, 0, 0, 0, None, 0, 7.0, overflow=0, max_overflow=1)
    assert txprof.pool_status(engine) == empty
    with engine.connect():
        assert txprof.pool_status(engine) == PoolStatus(3, 1, 1, 0, 0, 0, 7.0, 0, 1)
    assert txprof.pool_status(engine.pool) == PoolStatus(3, 1, 0, 1, 0, 0, 7.0, 0, 1)
    engine.dispose()
    assert txprof.pool_status(engine) == empty


def test_threads_that_wait_are_counted(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=30)
    held = engine.connect()
    threads = [threading.Thread(target=lambda: engine.connect().close()) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: txprof.pool_status(engine).waiting == 3)
    held.close()
    for thread in threads:
        thread.join()
    assert txprof.pool_status(engine).waiting == 0


def test_a_connection_of_a_thread_that_ended_is_dead(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(pool_size=2)
    kept = []
    thread = threading.Thread(target=lambda: kept.append(engine.connect()))
    thread.start()
    thread.join()
    status = txprof.pool_status(engine)
    assert (status.connections, status.busy, status.dead) == (1, 0, 1)
    kept.pop().close()


@pytest.mark.parametrize("poolclass", [NullPool, StaticPool, SingletonThreadPool])
def test_pools_of_other_kinds(tmp_path: Path, poolclass: type) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}", poolclass=poolclass)
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
        status = txprof.pool_status(engine)
        assert status.busy == 1
        assert status.size == (5 if poolclass is SingletonThreadPool else None)
        assert status.checkout_timeout is None
    assert txprof.pool_status(engine).busy == 0
    engine.dispose()


def test_two_checkouts_of_one_static_connection_end_clean(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}", poolclass=StaticPool)
    with txprof.profile(on_finding="ignore") as prof:
        first, second = engine.connect(), engine.connect()
        first.execute(text("SELECT 1"))
        second.execute(text("SELECT 1"))
        first.close()
        second.close()
        with txprof.external_call("rpc", "billing"):
            pass
    assert prof.findings == []
    engine.dispose()


def test_waits_and_timeouts_are_in_the_profile(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(pool_size=1, max_overflow=0, pool_timeout=0.05)
    with txprof.profile() as prof, engine.connect(), pytest.raises(exc.TimeoutError):
        engine.connect()
    (pool,) = prof.pools
    assert (pool.size, pool.checkouts, pool.peak_busy, pool.timeouts) == (1, 1, 1, 1)
    assert pool.waits == 1
    assert 0.05 <= pool.longest_wait < 5


def test_making_a_connection_is_no_wait(
    make_engine: Callable[..., Engine], fake: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(pool_size=3)
    connect = engine.dialect.connect

    def slow(*args: Any, **kwargs: Any) -> Any:
        fake.tick(0.5)
        return connect(*args, **kwargs)

    monkeypatch.setattr(engine.dialect, "connect", slow)
    with txprof.profile() as prof, engine.connect(), engine.connect(), engine.connect():
        pass
    (pool,) = prof.pools
    assert (pool.waits, pool.peak_busy, pool.checkouts) == (0, 3, 3)


def test_held_seconds_of_a_pool(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine()
    with txprof.profile() as prof, engine.connect() as connection:
        threading.Event().wait(0.02)
        connection.execute(text("SELECT 1"))
        threading.Event().wait(0.02)
        connection.rollback()
        threading.Event().wait(0.02)
    (pool,) = prof.pools
    assert pool.held_seconds >= 0.06
    assert 0.02 <= pool.transaction_seconds < pool.held_seconds - 0.03
