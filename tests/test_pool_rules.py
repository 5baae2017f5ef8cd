"""Who waits for the pool, who holds its connections meanwhile, and who keeps one."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import FakeClock, assert_clean, assert_flagged, findings_of, line_of
from sqlalchemy import Connection, Engine, exc, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import txprof
from txprof.clock import clock


@pytest.fixture
def patience() -> None:
    """Here the thresholds of the rules about time are their own."""


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """What txprof takes for the time."""
    fake = FakeClock()
    monkeypatch.setattr(clock, "now", fake.now)
    return fake


@pytest.fixture
def make_small(make_engine: Callable[..., Engine]) -> Callable[..., Engine]:
    """Engines with a pool of a few connections."""

    def make(size: int = 1, timeout: float = 30, **options: object) -> Engine:
        return make_engine(pool_size=size, max_overflow=0, pool_timeout=timeout, **options)

    return make


@pytest.fixture
def small(make_small: Callable[..., Engine]) -> Engine:
    """A pool of one."""
    return make_small()


def in_thread(work: Callable[[], object], name: str = "worker") -> threading.Thread:
    """It runs."""
    thread = threading.Thread(target=work, name=name)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    pause = threading.Event()
    for _ in range(3_000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come about")


def wait_for(engine: Engine, seconds: float, time: FakeClock, work: Callable[[], object]) -> None:
    """Let `work` wait so long for the one connection of the pool."""
    with engine.connect():
        thread = in_thread(work)
        until(lambda: txprof.pool_status(engine).waiting == 1)
        time.tick(seconds)
    thread.join()


class Holding:
    """Threads that hold a connection each until the block is left."""

    def __init__(self, engine: Engine, names: list[str], time: FakeClock | None = None) -> None:
        self._engine = engine
        self._names = names
        self._time = time
        self._arrived = threading.Semaphore(0)
        self._enough = threading.Event()
        self._threads: list[threading.Thread] = []

    def _hold(self) -> None:
        with self._engine.connect() as connection:  # taken
            connection.execute(text("SELECT 'held'"))
            self._arrived.release()
            self._enough.wait()  # now

    def __enter__(self) -> None:
        for name in self._names:
            self._threads.append(in_thread(self._hold, name))
            self._arrived.acquire()
            until(lambda: self._waits(self._threads[-1]))
            if self._time is not None:
                self._time.tick(1)

    def _waits(self, thread: threading.Thread) -> bool:
        frame = sys._current_frames()[thread.ident or 0]
        return frame.f_code.co_qualname in ("Event.wait", "Condition.wait")

    def __exit__(self, *error: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()


def line_in_file(marker: str) -> int:
    lines = Path(__file__).read_text().splitlines()
    (line,) = [number for number, each in enumerate(lines, 1) if each.endswith(f"# {marker}")]
    return line


# pool-timeout


def test_a_checkout_that_gives_up_says_who_holds_the_connections(
    make_small: Callable[..., Engine], time: FakeClock
) -> None:
    engine = make_small(2, timeout=0.01)
    with (
        txprof.profile(on_finding="ignore") as prof,
        Holding(engine, ["one", "two"], time),
        pytest.raises(exc.TimeoutError),
    ):
        engine.connect()  # asks
    finding = assert_flagged(prof, "pool-timeout", line=line_of("asks"), count=1)
    assert finding.severity == "error"
    first, second = finding.details["holders"]
    assert (first["owner"], first["seconds"]) == ("thread one", 2)
    assert (second["owner"], second["seconds"]) == ("thread two", 1)
    assert first["taken_at"].line == line_in_file("taken")
    assert first["now_at"].line == line_in_file("now")
    assert first["statement"] == "SELECT 'held'"
    assert (
        "held by thread one for 2.00 s, thread two for 1.00 s (taken at test_pool_rules.py:"
        in finding.message
    )
    assert findings_of(prof, "pool-wait") == []


def test_only_the_longest_holders_are_listed(
    make_small: Callable[..., Engine], time: FakeClock
) -> None:
    engine = make_small(12, timeout=0.01)
    with (
        txprof.profile(on_finding="ignore") as prof,
        Holding(engine, [f"h{number}" for number in range(12)], time),
        pytest.raises(exc.TimeoutError),
    ):
        engine.connect()
    finding = assert_flagged(prof, "pool-timeout")
    owners = [holder["owner"] for holder in finding.details["holders"]]
    assert owners == [f"thread h{number}" for number in range(10)]
    assert " and 7 more" in finding.message


def test_a_holder_whose_thread_ended_is_named_so(make_small: Callable[..., Engine]) -> None:
    engine = make_small(timeout=0.01)
    kept = []
    with txprof.profile(on_finding="ignore") as prof:
        in_thread(lambda: kept.append(engine.connect())).join()
        with pytest.raises(exc.TimeoutError):
            engine.connect()
        kept.pop().close()
    (holder,) = assert_flagged(prof, "pool-timeout").details["holders"]
    assert (holder["owner"], holder["now_at"]) == ("a thread that ended", None)


def test_the_program_gets_its_own_timeout_error(make_small: Callable[..., Engine]) -> None:
    engine = make_small(timeout=0.01)
    with (
        txprof.profile(on_finding="raise"),
        Holding(engine, ["one"]),
        pytest.warns(txprof.TransactionHygieneWarning, match="pool-timeout"),
        pytest.raises(exc.TimeoutError) as caught,
    ):
        engine.connect()
    assert "QueuePool limit of size 1 overflow 0 reached" in str(caught.value)
    assert not any("txprof" in str(entry.path) for entry in caught.traceback[:-1])


def test_a_timeout_keeps_nothing_of_the_program_alive(make_small: Callable[..., Engine]) -> None:
    class Local:
        pass

    engine = make_small(timeout=0.01)
    seen: list[weakref.ref[Local]] = []

    def ask() -> None:
        local = Local()
        seen.append(weakref.ref(local))
        try:
            engine.connect()
        except exc.TimeoutError:
            pass

    gc.disable()
    try:
        with txprof.profile(on_finding="ignore") as prof, Holding(engine, ["one"]):
            ask()
        assert seen[0]() is None
    finally:
        gc.enable()
    assert_flagged(prof, "pool-timeout")


def test_a_callable_is_told_of_a_timeout_at_once(make_small: Callable[..., Engine]) -> None:
    engine = make_small(timeout=0.01)
    told: list[txprof.Finding] = []
    with txprof.profile(on_finding=told.append), Holding(engine, ["one"]):
        for _ in range(2):
            with pytest.raises(exc.TimeoutError):
                engine.connect()
        assert [finding.rule for finding in told] == ["pool-timeout"]


def test_tasks_that_hold_are_named_with_the_line_where_they_await(async_url: str) -> None:
    async def main() -> txprof.Profile:
        engine = create_async_engine(
            async_url, pool_size=1, max_overflow=0, pool_timeout=0.01, pool_reset_on_return=None
        )
        taken, enough = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                taken.set()
                await enough.wait()  # stands

        with txprof.profile(on_finding="ignore") as prof:
            holding = asyncio.create_task(hold(), name="holding")
            await taken.wait()
            with pytest.raises(exc.TimeoutError):
                await engine.connect()  # awaits
            enough.set()
            await holding
        await engine.dispose()
        return prof

    prof = asyncio.run(main())
    finding = assert_flagged(prof, "pool-timeout", line=line_in_file("awaits"))
    (holder,) = finding.details["holders"]
    assert holder["owner"] == "task holding"
    assert holder["now_at"].line == line_in_file("stands")
    assert holder["statement"] == "SELECT 1"


# pool-wait


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
    assert_flagged(prof, "pool-timeout", line=line_in_file("blocks"))
    finding = assert_flagged(prof, "pool-wait", line=line_in_file("blocks"))
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


# connection-leak


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


# nested-checkout


def test_a_thread_that_holds_a_connection_asks_for_another(
    make_small: Callable[..., Engine],
) -> None:
    engine = make_small(3)

    def number() -> object:
        with engine.connect() as connection:
            return connection.scalar(text("SELECT 1"))

    with txprof.profile(on_finding="ignore") as prof, Session(engine) as session:
        session.execute(text("SELECT 1"))  # first
        number()  # mixes
        with engine.connect():
            number()
    nested = findings_of(prof, "nested-checkout")
    assert [finding.severity for finding in nested] == ["warning"] * 3
    mixing = line_of("mixes")
    (finding,) = [each for each in nested if each.site.line == mixing]
    assert finding.details["hold_site"].line == line_of("first")
    assert "threads x 1 + 1" in finding.hint
    assert max(each.details["held_at_once"] for each in nested) == 3


def test_another_engine_or_thread_is_no_nested_checkout(
    make_small: Callable[..., Engine],
) -> None:
    one, other = make_small(2), make_small(2)
    with txprof.profile(on_finding="ignore") as prof, one.connect():
        other.connect().close()
        in_thread(lambda: one.connect().close()).join()
    assert_clean(prof)


def test_a_pool_that_never_runs_out_cannot_deadlock(make_engine: Callable[..., Engine]) -> None:
    for engine in (make_engine(max_overflow=-1), make_engine(poolclass=NullPool)):
        with txprof.profile(on_finding="ignore") as prof, engine.connect():
            engine.connect().close()
        assert_clean(prof)


def test_a_task_that_holds_a_connection_asks_for_another(async_url: str) -> None:
    async def main() -> txprof.Profile:
        engine = create_async_engine(async_url, pool_size=2, max_overflow=0)

        async def other() -> None:
            async with engine.connect():
                pass

        with txprof.profile(on_finding="ignore") as prof:
            async with engine.connect():
                await asyncio.create_task(other())
                async with engine.connect():  # second
                    pass
        await engine.dispose()
        return prof

    assert_flagged(asyncio.run(main()), "nested-checkout", line=line_in_file("second"), count=1)


def test_under_raise_a_nested_checkout_is_not_made(make_small: Callable[..., Engine]) -> None:
    engine = make_small(2)
    with (
        pytest.warns(txprof.TransactionHygieneWarning),
        txprof.profile(on_finding="raise"),
        engine.connect(),
        pytest.raises(txprof.TransactionHygieneError) as caught,
    ):
        engine.connect()
    assert caught.value.finding.rule == "nested-checkout"
    assert txprof.pool_status(engine).connections == 1


def test_a_nested_checkout_is_allowed(make_small: Callable[..., Engine]) -> None:
    engine = make_small(2)
    with txprof.profile(on_finding="raise") as prof, engine.connect():
        engine.connect().close()  # txprof: allow[nested-checkout] the pool has two a thread
        with txprof.allow("nested-checkout", reason="the pool has two a thread"):
            engine.connect().close()
    assert_clean(prof)


# What is allowed


def test_a_block_allows_waits_and_timeouts(
    make_small: Callable[..., Engine], time: FakeClock
) -> None:
    engine = make_small(timeout=0.01)
    with txprof.profile(on_finding="raise") as prof, Holding(engine, ["one"]):
        with txprof.allow("pool-timeout", reason="tried again"), pytest.raises(exc.TimeoutError):
            engine.connect()
    assert_clean(prof)


def test_a_comment_allows_a_wait(small: Engine, time: FakeClock) -> None:
    def work() -> None:
        small.connect().close()  # txprof: allow[pool-wait] one job at a time

    with txprof.profile(on_finding="raise") as prof:
        wait_for(small, 0.25, time, work)
    assert_clean(prof)


# Recordings


def test_recordings_of_starved_pools_merge_in_any_order(
    make_small: Callable[..., Engine], time: FakeClock, tmp_path: Path
) -> None:
    engine = make_small(timeout=0.01)
    parts = []
    for number in range(3):
        with (
            txprof.profile(on_finding="ignore", name="part") as prof,
            Holding(engine, [f"h{number}"], time),
            pytest.raises(exc.TimeoutError),
        ):
            time.tick(number)
            engine.connect()
        prof.save(tmp_path / f"{number}.txprof")
        parts.append(txprof.load(tmp_path / f"{number}.txprof"))
        assert parts[-1].findings == prof.findings
    merged = txprof.merge(*parts)
    assert merged.findings == txprof.merge(*reversed(parts)).findings
    finding = assert_flagged(merged, "pool-timeout", count=3)
    assert [holder["owner"] for holder in finding.details["holders"]] == ["thread h2"]
