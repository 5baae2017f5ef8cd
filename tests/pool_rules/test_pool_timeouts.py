"""`pool-timeout`: a checkout gave up; who holds the connections, since when, at which lines."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import FakeClock, assert_clean, assert_flagged, findings_of, line_of
from sqlalchemy import Engine, exc, text
from sqlalchemy.ext.asyncio import create_async_engine
from starved_pools import Holding, in_thread, line_in_file

import txprof


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
        "held by thread one for 2.00 s, thread two for 1.00 s (taken at starved_pools.py:"
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
    ours = Path(txprof.__file__).parent
    assert not any(ours in Path(entry.path).parents for entry in caught.traceback[:-1])


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
    finding = assert_flagged(prof, "pool-timeout", line=line_in_file("awaits", __file__))
    (holder,) = finding.details["holders"]
    assert holder["owner"] == "task holding"
    assert holder["now_at"].line == line_in_file("stands", __file__)
    assert holder["statement"] == "SELECT 1"


def test_a_block_allows_waits_and_timeouts(
    make_small: Callable[..., Engine], time: FakeClock
) -> None:
    engine = make_small(timeout=0.01)
    with txprof.profile(on_finding="raise") as prof, Holding(engine, ["one"]):
        with txprof.allow("pool-timeout", reason="tried again"), pytest.raises(exc.TimeoutError):
            engine.connect()
    assert_clean(prof)


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
