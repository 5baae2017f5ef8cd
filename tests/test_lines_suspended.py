"""The lines of what is suspended: coroutines, generators, async generators, on each Python."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import FakeClock, lines_of
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import txprof


def seconds_of(profile: txprof.Profile, name: str) -> dict[str, tuple[int, float, float | None]]:
    """Hits, seconds and seconds suspended of the lines that carry a mark."""
    return {
        line.source.rpartition("# ")[2]: (line.hits, line.seconds, line.await_seconds)
        for line in lines_of(profile, name).values()
        if "# " in line.source
    }


def test_a_yield_line_does_not_get_its_consumers_time(fake: FakeClock) -> None:
    def produce() -> Iterator[int]:
        for number in range(3):
            fake.tick(1)  # work
            yield number  # yield
        fake.tick(5)  # last

    with txprof.profile(produce) as prof:
        for _ in produce():
            fake.tick(100)
    assert seconds_of(prof, "produce") == {
        "work": (3, 3, 0),
        "yield": (3, 0, 0),
        "last": (1, 5, 0),
    }
    assert prof.functions[0].calls == 1


def test_an_await_line_gets_all_the_time_until_it_went_on(fake: FakeClock) -> None:
    async def deeper() -> None:
        fake.tick(1)
        await asyncio.sleep(0)
        fake.tick(2)
        await asyncio.sleep(0)
        fake.tick(4)

    async def work() -> None:
        await deeper()  # await
        fake.tick(8)  # after

    async def other() -> None:
        fake.tick(16)

    async def main() -> None:
        await asyncio.gather(work(), other())

    with txprof.profile(work) as prof:
        asyncio.run(main())
    assert seconds_of(prof, "work") == {"await": (1, 1 + 2 + 4 + 16, 16), "after": (1, 8, 0)}


def test_two_tasks_in_one_function_do_not_mix(fake: FakeClock) -> None:
    async def work(number: int) -> None:
        fake.tick(number)  # before
        await asyncio.sleep(0)  # await
        fake.tick(number)  # after

    async def main() -> None:
        await asyncio.gather(work(1), work(10))

    with txprof.profile(work) as prof:
        asyncio.run(main())
    found = seconds_of(prof, "work")
    assert (found["before"], found["after"]) == ((2, 11, 0), (2, 11, 0))
    # Each waited for the other: the first for 10, the second for 1.
    assert found["await"] == (2, 11, 11)


def test_an_async_generator_is_charged_its_awaits_and_not_its_consumer(fake: FakeClock) -> None:
    async def produce() -> AsyncIterator[int]:
        for number in range(2):
            await asyncio.sleep(0)  # await
            fake.tick(1)  # work
            yield number  # yield

    async def main() -> list[int]:
        seen = []
        async for number in produce():
            fake.tick(100)
            seen.append(number)
        return seen

    with txprof.profile(produce) as prof:
        assert asyncio.run(main()) == [0, 1]
    assert seconds_of(prof, "produce") == {
        "await": (2, 0, 0),
        "work": (2, 2, 0),
        "yield": (2, 0, 0),
    }


def test_exceptions_thrown_in_are_timed_where_they_are_handled(fake: FakeClock) -> None:
    def produce() -> Iterator[str]:
        try:
            yield "first"
        except KeyError:
            fake.tick(3)  # handler
        yield "second"

    with txprof.profile(produce) as prof:
        gen: Any = produce()
        next(gen)
        assert gen.throw(KeyError("x")) == "second"
        gen.close()
    assert seconds_of(prof, "produce") == {"handler": (1, 3, 0)}


def test_cancellation_is_timed_and_passes_through(fake: FakeClock) -> None:
    async def work() -> None:
        try:
            await asyncio.sleep(60)  # wait
        finally:
            fake.tick(2)  # clean up

    async def main() -> bool:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        fake.tick(7)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return task.cancelled()

    with txprof.profile(work) as prof:
        assert asyncio.run(main())
    found = seconds_of(prof, "work")
    assert found["clean up"] == (1, 2, 0)
    assert found["wait"][1:] == (7, 7)  # hit again by what was thrown in, on 3.13


def test_profiled_coroutines_nest(fake: FakeClock) -> None:
    async def inner() -> None:
        fake.tick(1)  # inner
        await asyncio.sleep(0)

    async def outer() -> None:
        await inner()  # await
        fake.tick(2)  # outer

    with txprof.profile(inner, outer) as prof:
        asyncio.run(outer())
    assert seconds_of(prof, "outer") == {"await": (1, 1, 0), "outer": (1, 2, 0)}
    assert seconds_of(prof, "inner")["inner"] == (1, 1, 0)


def test_context_managers_over_generators_stay_whole(fake: FakeClock) -> None:
    @contextlib.contextmanager
    def guard() -> Iterator[list[str]]:
        caught: list[str] = []
        try:
            yield caught
        except LookupError as error:
            fake.tick(1)  # caught
            caught.append(str(error))

    @contextlib.asynccontextmanager
    async def async_guard() -> AsyncIterator[list[str]]:
        with guard() as caught:
            yield caught

    async def main() -> list[str]:
        async with async_guard() as caught:
            raise LookupError("mine")
        return caught

    with txprof.profile(guard, async_guard) as prof:
        assert asyncio.run(main()) == ["mine"]
    assert seconds_of(prof, "guard") == {"caught": (1, 1, 0)}


def test_a_generator_that_is_never_finished_leaves_nothing_behind() -> None:
    from txprof import lines

    def produce() -> Iterator[int]:
        yield 1
        yield 2

    with txprof.profile(produce) as prof:
        gen = produce()
        next(gen)
        del gen
    timer: Any = lines.timer()
    assert timer._tables.running == {}
    assert prof.functions[0].calls == 1


def test_five_hundred_tasks_are_all_counted() -> None:
    async def work(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def main() -> list[int]:
        return await asyncio.gather(*(work(number) for number in range(500)))

    with txprof.profile(work) as prof:
        assert asyncio.run(main()) == list(range(500))
    (function,) = prof.functions
    assert function.calls == 500
    assert [line.hits for line in function.lines.values()] == [500, 500]


def test_real_sleeps_are_within_two_percent() -> None:
    async def work() -> None:
        await asyncio.sleep(0.1)  # wait

    with txprof.profile(work) as prof:
        asyncio.run(work())
    hits, seconds, waited = seconds_of(prof, "work")["wait"]
    assert hits == 1
    assert 0.1 <= seconds < 0.2
    assert waited == pytest.approx(seconds, rel=0.02)


def test_the_held_share_of_a_coroutines_lines_is_exact(fake: FakeClock, tmp_path: Path) -> None:
    async def work() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
        fake.tick(1)  # before
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
            fake.tick(2)  # inside
        fake.tick(4)  # after
        await engine.dispose()

    with txprof.profile(work) as prof:
        asyncio.run(work())
    shares = {
        line.source.rpartition("# ")[2]: (line.seconds, line.transaction_seconds)
        for line in lines_of(prof, "work").values()
        if "# " in line.source
    }
    assert shares == {"before": (1, 0), "inside": (2, 2), "after": (4, 0)}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="newer Pythons have sys.monitoring")
def test_where_another_tracer_has_the_thread_it_keeps_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txprof.lines.tracer._gave_way", False)
    traced = []

    def tracer(frame: Any, event: str, _value: Any) -> Any:
        traced.append(frame.f_code.co_name)
        return None

    def produce() -> Iterator[int]:
        yield 1

    with txprof.profile(produce) as prof:
        before = sys.gettrace()
        sys.settrace(tracer)
        try:
            assert list(produce()) == [1]
        finally:
            sys.settrace(before)
    assert "produce" in traced
    assert prof.functions[0].calls == 1
    assert "txprof shows no line times of coroutines, generators and greenlets" in caplog.text
