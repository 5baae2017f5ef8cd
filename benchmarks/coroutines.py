"""How far line times of coroutines are off, in percent of the wall clock.

Twenty tasks at a time run a profiled coroutine whose lines take 10 ms and more: one awaits, one
blocks the event loop, one awaits a coroutine that awaits. A stopwatch is read between the lines.
Budget: 2 %, of the line that is off most.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from budgets import Row
from harness import Table, arguments, publish
from lines import copy_of

import txprof

BUDGET = 0.02
TASKS = 20
LINES = {"a line that awaits": 2, "a line that blocks the loop": 4, "one that awaits a call": 6}
"""How far below the `async def` it is."""


async def work(marks: list[float]) -> None:
    marks.append(time.perf_counter())
    await asyncio.sleep(0.012)
    marks.append(time.perf_counter())
    time.sleep(0.010)
    marks.append(time.perf_counter())
    await called()
    marks.append(time.perf_counter())


async def called() -> None:
    await asyncio.sleep(0.008)
    await asyncio.sleep(0.008)


def off() -> dict[str, float]:
    """By which share of its wall time each line is off."""
    function: Callable[[list[float]], Awaitable[None]] = copy_of(work)
    marks: list[list[float]] = [[] for _ in range(TASKS)]

    async def all_tasks() -> None:
        await asyncio.gather(*(function(one) for one in marks))

    with txprof.profile(function, on_finding="ignore") as profile:
        asyncio.run(all_tasks())
    (found,) = profile.functions
    first = found.site.line
    shares = {}
    for number, (what, below) in enumerate(LINES.items()):
        wall = sum(one[number + 1] - one[number] for one in marks)
        seconds = found.lines[first + below].seconds
        assert seconds is not None
        shares[what] = abs(seconds - wall) / wall
    return shares


def main() -> None:
    options = arguments(__doc__)
    rounds = [off() for _ in range(2 if options.quick else 20)]
    table = Table(
        "Percent by which line times of coroutines are off the wall clock",
        *("what", "median", "most", "budget", "verdict"),
    )
    for what in LINES:
        shares = [one[what] * 100 for one in rounds]
        median = statistics.median(shares)
        row = Row("coroutine", what, max(shares), BUDGET * 100, "%", median=median)
        table.add(
            what,
            f"{median:.3f}",
            f"{row.figure:.3f}",
            f"{row.limit:.1f}",
            table.judge(row),
        )
    table.note(f"{TASKS} tasks at a time, {len(rounds)} rounds; what counts is the worst round")
    publish(table, options)


if __name__ == "__main__":
    main()
