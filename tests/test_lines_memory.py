"""After a profile the line timer's memory is back to where it was."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import txprof
from txprof import lines


def kept() -> dict[str, int]:
    """How many things each of the timer's tables holds, when nobody needs them any more."""
    gc.collect()
    timer: Any = lines.timer()
    tables = timer._tables
    return {
        "timed": len(tables.timed),
        "running": len(tables.running),
        "parts": sum(map(len, tables._parts.all())),
        "paused": len(getattr(timer, "_paused", ())),
        "attached": len(getattr(timer, "_attached", ())),
        "profilers": len(getattr(timer, "_profilers", ())),
        "spans": len(getattr(timer, "_spans", ())),
    }


def block() -> Callable[[], int]:
    def inner() -> int:
        return 1

    with txprof.profile(inner):
        inner()
    return inner


def decorated() -> Callable[[], int]:
    @txprof.profile(report=None)
    def inner() -> int:
        return 1

    inner()
    return inner


def generator() -> Callable[[], Iterator[int]]:
    def inner() -> Iterator[int]:
        yield 1
        yield 2

    with txprof.profile(inner):
        for _ in range(5):
            next(inner())
    return inner


def generator_that_outlives_its_block() -> Callable[[], Iterator[int]]:
    def inner() -> Iterator[int]:
        yield 1
        yield 2

    with txprof.profile(inner):
        running = inner()
        next(running)
    assert list(running) == [2]
    return inner


def async_generator() -> Callable[[], AsyncIterator[int]]:
    async def inner() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def main() -> None:
        async for _ in inner():
            break

    with txprof.profile(inner):
        asyncio.run(main())
    return inner


def task_that_outlives_its_block() -> Callable[..., Any]:
    async def inner() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def main() -> None:
        with txprof.profile(inner):
            task = asyncio.create_task(inner())
            await asyncio.sleep(0)
        await task

    asyncio.run(main())
    return inner


def thread_that_outlives_its_block() -> Callable[[], None]:
    started, go_on = threading.Event(), threading.Event()

    def inner() -> None:
        started.set()
        go_on.wait(60)

    with txprof.profile(inner):
        thread = threading.Thread(target=inner)
        thread.start()
        started.wait(60)
    go_on.set()
    thread.join()
    return inner


WAYS = [
    block,
    decorated,
    generator,
    generator_that_outlives_its_block,
    async_generator,
    task_that_outlives_its_block,
    thread_that_outlives_its_block,
]


@pytest.mark.parametrize("profiled_anew", WAYS)
def test_a_function_that_is_made_and_profiled_again_and_again_is_not_kept(
    profiled_anew: Callable[[], Any],
) -> None:
    profiled_anew()
    gc.collect()
    before = kept()
    functions = []
    for _ in range(20):
        functions.append(weakref.ref(profiled_anew()))
        gc.collect()
    after = kept()
    # What an earlier test left may be collected in between: nothing may be added.
    assert {table: more for table, now in after.items() if (more := now - before[table]) > 0} == {}
    profiled_anew()  # a decorated one is let go of when the next one comes
    gc.collect()
    assert [function() for function in functions] == [None] * 20


def test_generated_code_is_collected_after_its_profile() -> None:
    names: dict[str, Any] = {}
    exec(compile("def generated():\n    return 1\n", "<generated>", "exec"), names)
    function = names.pop("generated")
    code = weakref.ref(function.__code__)
    with txprof.profile(function) as prof:
        function()
    assert prof.functions[0].calls == 1
    del function, prof
    names.clear()
    gc.collect()
    assert code() is None


@pytest.mark.parametrize("profiled_anew", [block, decorated, generator])
def test_its_memory_does_not_grow_with_the_number_of_profiles(
    profiled_anew: Callable[[], Any],
) -> None:
    def taken() -> int:
        gc.collect()
        profiled_anew()
        gc.collect()
        timers_own = tracemalloc.Filter(True, str(Path(lines.__file__).with_name("*")))
        snapshot = tracemalloc.take_snapshot().filter_traces([timers_own])
        return sum(trace.size for trace in snapshot.traces)

    tracemalloc.start()
    try:
        before = taken()
        for _ in range(100):
            profiled_anew()
        after = taken()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000  # bytes; had it kept them, it would be five times that


def test_a_decorated_function_that_is_gone_leaves_its_profile() -> None:
    @txprof.profile(report=None)
    def inner() -> int:
        return 1

    inner()
    prof = inner.__txprof__  # type: ignore[attr-defined]
    del inner
    gc.collect()
    decorated()
    assert [function.calls for function in prof.functions] == [1]


def test_a_task_goes_on_being_timed_when_its_decorated_function_is_gone() -> None:
    def start() -> tuple[asyncio.Task[None], txprof.Profile]:
        @txprof.profile(report=None)
        async def inner() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        return asyncio.create_task(inner()), inner.__txprof__  # type: ignore[attr-defined]

    async def main() -> txprof.Profile:
        task, prof = start()
        await asyncio.sleep(0)
        gc.collect()
        decorated()
        await task
        return prof

    (function,) = asyncio.run(main()).functions
    assert [line.hits for line in function.lines.values()] == [1, 1]
