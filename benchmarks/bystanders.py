"""What line times cost code that is not profiled, while a profiled function is under way.

In another thread, while a profiled call waits in its own; and in another task, while a profiled
coroutine is suspended. Budget: none measurable, which here means less than 3 %. And what they add
to a line that awaits, which no budget is set for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from harness import (
    MISSING,
    Around,
    Samples,
    Table,
    Variant,
    arguments,
    measure,
    publish,
    times,
)
from line_profiler import LineProfiler
from lines import beside_line_profiler, copy_of, figures

import txprof

BUDGET = 1.03


def plain(count: int) -> int:
    """What the others do: calls and lines of code that nobody profiles."""
    total = 0
    for number in range(count):
        total += increment(number)
        total ^= number
    return total


def increment(number: int) -> int:
    return number + 1


def waits(started: threading.Event, done: threading.Event) -> None:
    started.set()
    done.wait()


async def is_suspended(done: asyncio.Event) -> None:
    await done.wait()


async def awaits(count: int) -> None:
    for _ in range(count):
        await nothing()


async def nothing() -> None:
    return None


Profiled = Callable[[Any], AbstractContextManager[object]]


@contextmanager
def by_line_profiler(function: Any) -> Iterator[None]:
    """`function` is profiled by line_profiler: in a call of it, as its decorator does."""
    profiler = LineProfiler()
    profiler.add_function(function)
    with profiler:
        yield


def by_txprof(function: Any) -> AbstractContextManager[object]:
    """`function` is profiled by us."""
    return txprof.profile(function, name="benchmark")


PROFILERS: dict[str, Profiled] = {
    "bare": lambda _: nullcontext(),
    "line_profiler": by_line_profiler,
    "txprof": by_txprof,
}


def beside_a_thread(profiled: Profiled) -> Around:
    """Another thread waits in a profiled call."""
    function = copy_of(waits)

    @contextmanager
    def around() -> Iterator[None]:
        started, done = threading.Event(), threading.Event()

        def run() -> None:
            with profiled(function):
                function(started, done)

        thread = threading.Thread(target=run)
        thread.start()
        started.wait()
        yield
        done.set()
        thread.join()

    return around


class Loop:
    """An event loop, in which a call of a profiled coroutine function may be suspended."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, work: Callable[[int], Coroutine[Any, Any, object]]) -> Callable[[int], object]:
        """So many times, in a task of this loop."""
        return lambda count: self._loop.run_until_complete(work(count))

    def beside_a_task(self, profiled: Profiled) -> Around:
        """Another task is suspended in a profiled call."""
        function = copy_of(is_suspended)

        @contextmanager
        def around() -> Iterator[None]:
            done = asyncio.Event()
            with profiled(function):
                task = self._loop.create_task(_awaited(function(done)))
                self._loop.run_until_complete(asyncio.sleep(0))
                yield
                done.set()
                self._loop.run_until_complete(task)

        return around


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


def awaiting(name: str, profiled: Profiled, loop: Loop) -> Variant:
    """What awaits is profiled itself."""
    function = copy_of(awaits)
    return Variant(name, loop.run(function), lambda: profiled(function))


async def plain_task(count: int) -> int:
    return plain(count)


def main() -> None:
    options = arguments(__doc__)
    turns = 1 if options.quick else 40
    loop = Loop()
    samples = measure(
        {
            "thread": [
                Variant(name, plain, beside_a_thread(profiled))
                for name, profiled in PROFILERS.items()
            ],
            "task": [
                Variant(name, loop.run(plain_task), loop.beside_a_task(profiled))
                for name, profiled in PROFILERS.items()
            ],
            "await": [awaiting(name, profiled, loop) for name, profiled in PROFILERS.items()],
        },
        turns,
    )
    publish(table_of(samples), options)


def table_of(samples: dict[str, Samples]) -> Table:
    """A row for each bystander; how many times as long its work takes."""
    table = Table(
        "Microseconds added to what is not profiled, while a profiled call is under way",
        *("what", "bare", "line_profiler", "txprof", "spread", "that is", "budget", "verdict"),
    )
    for what, key in (
        ("a call and two lines in another thread", "thread"),
        ("the same in another task", "task"),
    ):
        found = samples[key]
        ratio = found.ratio("txprof")
        row = found.judged("bystander", what, lambda found: found.ratio("txprof"), BUDGET, "x bare")
        judgement = (times(ratio, "bare"), times(BUDGET, "bare"), table.judge(row))
        table.add(what, *figures(found), *judgement)
    awaited = samples["await"]
    table.add(
        "a profiled line that awaits",
        *figures(awaited),
        times(beside_line_profiler(awaited), "line_profiler"),
        MISSING,
        MISSING,
    )
    table.note("line_profiler times no awaits: its figure is for the line alone.")
    return table


if __name__ == "__main__":
    main()
