"""`txprof.explain_timeouts`: a timeout's note says who had the connections; no more changes."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import eventually
from pool_jobs import Jobs
from sqlalchemy import Engine, exc, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, QueuePool

import txprof
from txprof.pool import explain, taken

Make = Callable[..., Engine]


@pytest.fixture(autouse=True)
def unwatched() -> None:
    """No sensor is in."""
    txprof.uninstall()


@pytest.fixture
def engine(url: str, made: Make) -> Engine:
    """One with a pool of two, which does not let wait."""
    return made(url, poolclass=QueuePool, pool_size=2, max_overflow=0, pool_timeout=0.05)


def timed_out(engine: Engine) -> exc.TimeoutError:
    with pytest.raises(exc.TimeoutError) as caught:
        engine.connect()
    return caught.value


def notes(error: BaseException) -> list[str]:
    return getattr(error, "__notes__", [])


def test_the_note_lists_the_holders_longest_first(engine: Engine, jobs: Jobs) -> None:
    txprof.explain_timeouts(engine)
    for name in ("one", "two"):
        jobs.hold(engine, name)
    (note,) = notes(timed_out(engine))
    head, first, second = note.splitlines()
    assert head == "txprof: 2 connections were held, the longest first:"
    places = "taken at {}:{} {}, now at {}:{} {}".format(*jobs.site("taken"), *jobs.site("stands"))
    assert first.startswith("  thread one for ")
    assert second.startswith("  thread two for ")
    assert first.endswith(places)
    assert second.endswith(places)


def test_the_error_is_the_programs_own(engine: Engine, jobs: Jobs) -> None:
    for name in ("one", "two"):
        jobs.hold(engine, name)
    plain = timed_out(engine)
    with txprof.explain_timeouts(engine):
        explained = timed_out(engine)
    assert type(explained) is type(plain)
    assert explained.args == plain.args
    assert str(explained) == str(plain)
    assert explained.code == plain.code
    assert [f.name for f in traceback.extract_tb(explained.__traceback__)] == [
        f.name for f in traceback.extract_tb(plain.__traceback__)
    ]
    assert pickle.loads(pickle.dumps(explained)).args == plain.args
    assert notes(plain) == []


def test_tasks_are_named_with_the_lines_they_stand_at(url_for_tasks: str) -> None:
    async def main() -> None:
        engine = create_async_engine(url_for_tasks, pool_size=2, max_overflow=0, pool_timeout=0.05)
        txprof.explain_timeouts(engine)
        go = asyncio.Event()
        tasks = []
        for name in ("one", "two"):
            holding = asyncio.Event()

            async def job(holding: asyncio.Event = holding) -> None:
                async with engine.connect() as connection:
                    await connection.execute(text("SELECT 1"))
                    holding.set()
                    await go.wait()

            tasks.append(asyncio.create_task(job(), name=name))
            await holding.wait()
        with pytest.raises(exc.TimeoutError) as caught:
            await engine.connect()
        (note,) = notes(caught.value)
        first, second = note.splitlines()[1:]
        start = job.__code__.co_firstlineno
        for line, name in ((first, "one"), (second, "two")):
            assert line.startswith(f"  task {name} for ")
            assert f"taken at {__file__}:{start + 1} " in line
            assert f"now at {__file__}:{start + 4} " in line
        go.set()
        await asyncio.gather(*tasks)
        await engine.dispose()

    asyncio.run(main())


def test_beside_a_profile_the_last_statement_is_told(engine: Engine, jobs: Jobs) -> None:
    txprof.explain_timeouts(engine)
    with txprof.profile(on_finding="ignore"):
        for name in ("one", "two"):
            jobs.hold(engine, name)
        (note,) = notes(timed_out(engine))
        jobs.let_go()
    assert note.count("statement: SELECT 1") == 2
    assert note.startswith("txprof: 2 connections were held")


def test_without_a_profile_the_statement_that_runs_is_told(postgresql_url: str, made: Make) -> None:
    engine = made(postgresql_url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    locker = made(postgresql_url)
    txprof.explain_timeouts(engine)

    def lock() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(4711)"))

    with locker.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(4711)"))
        thread = threading.Thread(target=lock, name="locked-out")
        thread.start()
        blocked = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        eventually(lambda: connection.scalar(blocked) == 1)
        (note,) = notes(timed_out(engine))
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
    thread.join()
    assert "thread locked-out" in note
    assert note.endswith("statement: SELECT pg_advisory_lock(4711)")


def test_who_asks_while_holding_is_shown_at_the_line_that_asks(url: str, made: Make) -> None:
    engine = made(url, poolclass=QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with txprof.explain_timeouts(engine), engine.connect(), pytest.raises(exc.TimeoutError) as e:
        engine.connect()
    (note,) = notes(e.value)
    assert "thread MainThread for" in note
    assert note.count(f"at {__file__}:") == 2


def test_connections_taken_before_are_not_made_up(engine: Engine, jobs: Jobs) -> None:
    jobs.hold(engine, "early")
    with txprof.explain_timeouts(engine):
        with engine.connect():
            (note,) = notes(timed_out(engine))
    assert "early" not in note
    assert note.startswith("txprof: 1 connection was held")


def test_nobody_seen_is_said(engine: Engine, jobs: Jobs) -> None:
    for name in ("one", "two"):
        jobs.hold(engine, name)
    txprof.explain_timeouts(engine)
    (note,) = notes(timed_out(engine))
    assert note == (
        "txprof: nobody was seen to take a connection; those that are out were taken before"
    )


def test_a_disposed_engines_next_pool_is_explained_too(engine: Engine, jobs: Jobs) -> None:
    with txprof.explain_timeouts(engine):
        engine.dispose()
        for name in ("one", "two"):
            jobs.hold(engine, name)
        assert "thread two" in notes(timed_out(engine))[0]
    assert notes(timed_out(engine)) == []
    assert not {"connect", "recreate"} & set(vars(engine.pool))


def test_engines_with_options_share_the_pool_and_the_explanation(
    engine: Engine, jobs: Jobs
) -> None:
    option_engine = engine.execution_options(isolation_level="SERIALIZABLE")
    txprof.explain_timeouts(engine)
    for name in ("one", "two"):
        jobs.hold(engine, name)
    assert "thread one" in notes(timed_out(option_engine))[0]


def test_closing_gives_the_pool_its_methods_back(engine: Engine) -> None:
    first, second = txprof.explain_timeouts(engine), txprof.explain_timeouts(engine)
    first.close()
    assert "connect" in vars(engine.pool)
    second.close()
    second.close()
    assert not {"connect", "recreate"} & set(vars(engine.pool))
    assert (first.is_open, second.is_open) == (False, False)


def test_a_wrap_of_somebody_elses_stays(engine: Engine) -> None:
    before = engine.pool.connect
    calls: list[str] = []

    def counted() -> Any:
        calls.append("theirs")
        return before()

    engine.pool.connect = counted  # type: ignore[method-assign]
    explanation = txprof.explain_timeouts(engine)
    engine.connect().close()
    explanation.close()
    assert vars(engine.pool)["connect"] is counted
    engine.connect().close()
    assert calls == ["theirs", "theirs"]


def test_a_wrap_put_over_ours_goes_on_working(engine: Engine, jobs: Jobs) -> None:
    explanation = txprof.explain_timeouts(engine)
    ours = engine.pool.connect
    engine.pool.connect = lambda: ours()  # type: ignore[method-assign]
    explanation.close()
    for name in ("one", "two"):
        jobs.hold(engine, name)
    assert notes(timed_out(engine)) == []


def test_uninstall_closes_all(engine: Engine) -> None:
    explanation = txprof.explain_timeouts(engine)
    txprof.uninstall()
    assert not explanation.is_open
    assert "connect" not in vars(engine.pool)


def test_one_record_a_connection_however_many_checkouts(engine: Engine) -> None:
    txprof.explain_timeouts(engine)
    for _ in range(50):
        engine.connect().close()
    assert len(explain.records[engine.pool]._records) == 1


def test_records_of_connections_that_are_no_more_are_swept(
    tmp_path: Path, made: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taken, "_SWEPT", 4)
    engine = made(f"sqlite:///{tmp_path / 'x.db'}", poolclass=NullPool)
    txprof.explain_timeouts(engine)
    kept = [engine.connect() for _ in range(40)]  # 40 addresses at once
    assert len(txprof.pool_status(engine).holders()) == 40
    for connection in kept:
        connection.close()
    live = [engine.connect() for _ in range(45)]
    assert len(explain.records[engine.pool]._records) <= 2 * 45
    assert len(txprof.pool_status(engine).holders()) == 45
    for connection in live:
        connection.close()
    assert txprof.pool_status(engine).holders() == ()


def test_a_connection_that_was_detached_or_lost_is_not_held(engine: Engine) -> None:
    txprof.explain_timeouts(engine)
    with engine.connect() as detached, engine.connect() as lost:
        assert len(txprof.pool_status(engine).holders()) == 2
        detached.detach()
        assert len(txprof.pool_status(engine).holders()) == 1
        lost.invalidate()
        assert txprof.pool_status(engine).holders() == ()


def test_it_keeps_no_engine_alive(tmp_path: Path) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    txprof.explain_timeouts(engine)
    engine.connect().close()
    engine.dispose()
    pool, watched = weakref.ref(engine.pool), weakref.ref(engine)
    del engine
    gc.collect()
    assert pool() is None
    assert watched() is None


@pytest.mark.breaks_a_sensor
def test_a_failure_of_ours_is_swallowed(
    engine: Engine, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    txprof.explain_timeouts(engine)
    for name in ("one", "two"):
        jobs.hold(engine, name)
    monkeypatch.setattr(explain, "holders_of", lambda _pool: 1 / 0)
    assert notes(timed_out(engine)) == []


def test_other_errors_stay_as_they_are(made: Make) -> None:
    engine = made("postgresql+psycopg://nobody@127.0.0.1:1/none")
    with txprof.explain_timeouts(engine), pytest.raises(exc.OperationalError) as caught:
        engine.connect()
    assert notes(caught.value) == []


def test_nothing_is_done_where_txprof_is_switched_off(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TXPROF", "0")
    assert not txprof.explain_timeouts(engine).is_open
    assert "connect" not in vars(engine.pool)


def test_only_engines_and_pools_are_explained() -> None:
    with pytest.raises(TypeError, match=r"explain_timeouts\(\) takes a SQLAlchemy Engine"):
        txprof.explain_timeouts(None)
