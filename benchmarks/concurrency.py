"""What txprof adds where much goes on at once: on 1 to 32 threads, among 1 to 10,000 tasks.

Each thread executes statements on a connection of its own (SQLite in memory, one open
transaction); the time is that of the clock on the wall, in which threads wait for the interpreter
and would wait for a lock of ours. Budget: 3 us a statement, on however many.

Tasks are all alive, and in turn take a connection from a pool, execute a statement and give it
back, in a SQLAlchemy greenlet as under an async engine. Budget: among many, txprof adds at most
1.5 x what it adds to the only one.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from contextlib import ExitStack
from queue import SimpleQueue

import sqlalchemy
from databases import SELECT_1, in_memory
from harness import (
    MISSING,
    Samples,
    Table,
    Variant,
    arguments,
    installed_past_connections,
    measure,
    micros,
    micros_added,
    publish,
    times,
    watching,
)
from sqlalchemy.util import greenlet_spawn
from statements import BUDGET

THREADS = (1, 2, 8, 32)
TASKS = (1, 100, 10_000)
TASKS_BUDGET = 1.5


class Threads:
    """Some that execute statements when they are told to, until `close`."""

    def __init__(self, number: int) -> None:
        self._jobs: list[SimpleQueue[int]] = [SimpleQueue() for _ in range(number)]
        self._done: SimpleQueue[None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, args=(jobs,)) for jobs in self._jobs]
        for thread in self._threads:
            thread.start()
        self.run(1)  # each has its connection

    def _work(self, jobs: SimpleQueue[int]) -> None:
        engine = in_memory()
        with engine.connect() as connection, connection.begin():
            execute = connection.execute
            while count := jobs.get():
                for _ in range(count):
                    execute(SELECT_1).scalar()
                self._done.put(None)
        engine.dispose()

    def run(self, count: int) -> None:
        """So many statements on each of them."""
        for jobs in self._jobs:
            jobs.put(count)
        for _ in self._jobs:
            self._done.get()

    def close(self) -> None:
        for jobs in self._jobs:
            jobs.put(0)
        for thread in self._threads:
            thread.join()


class Tasks:
    """Some that each do one operation when it is their turn, until `close`."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = in_memory()
        self._loop = loop
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._left = 0
        self._done = asyncio.Event()
        self._tasks = [loop.create_task(self._serve()) for _ in range(number)]
        loop.run_until_complete(asyncio.sleep(0))  # each waits for its turn

    async def _serve(self) -> None:
        while True:
            turn = self._loop.create_future()
            self._waiting.append(turn)
            if not await turn:
                return
            await greenlet_spawn(self._operation)
            self._left -= 1
            if not self._left:
                self._done.set()

    def _operation(self) -> None:
        with self._engine.connect() as connection:
            connection.execute(SELECT_1).scalar()

    def run(self, count: int) -> None:
        """So many operations, each by the task that waits longest."""
        self._loop.run_until_complete(self._give_turns(count))

    async def _give_turns(self, count: int) -> None:
        while count:
            self._left = turns = min(count, len(self._waiting))
            self._done.clear()
            for _ in range(turns):
                self._waiting.popleft().set_result(True)
            await self._done.wait()
            await asyncio.sleep(0)  # the last of them waits again
            count -= turns

    def close(self) -> None:
        for turn in self._waiting:
            turn.set_result(False)
        self._loop.run_until_complete(asyncio.gather(*self._tasks))
        self._engine.dispose()


def main() -> None:
    options = arguments(__doc__)
    turns = 1 if options.quick else 30
    with ExitStack() as stack:
        loop = stack.enter_context(asyncio.Runner()).get_loop()

        def closed_at_the_end(one: Threads | Tasks) -> Threads | Tasks:
            stack.callback(one.close)
            return one

        def everyone() -> dict[tuple[str, int], Threads | Tasks]:
            return {
                **{("threads", number): closed_at_the_end(Threads(number)) for number in THREADS},
                **{("tasks", number): closed_at_the_end(Tasks(number, loop)) for number in TASKS},
            }

        bare = everyone()
        with installed_past_connections():
            watched = everyone()
        operations = {
            key: [
                Variant("bare", bare[key].run, warm_up=100),
                Variant("txprof", watched[key].run, watching, warm_up=100),
            ]
            for key in bare
        }
        publish(table_of(measure(operations, turns)), options)


def table_of(found: dict[tuple[str, int], Samples]) -> Table:
    """A row for each number of threads, and of tasks."""
    table = Table(
        f"Microseconds added where much goes on at once, SQLAlchemy {sqlalchemy.__version__}",
        *("what", "bare", "txprof", "spread", "that is", "budget", "verdict"),
    )
    for number in THREADS:
        samples = found["threads", number]
        what = f"a statement, {number} thread" + ("s" if number > 1 else "")
        row = samples.judged(
            "statement on threads",
            what,
            lambda one, number=number: one.added("txprof") / number * 1e6,  # type: ignore[misc]
            BUDGET * 1e6,
            "us",
        )
        table.add(
            what,
            micros(samples.figure("bare") / number),
            micros_added(samples.added("txprof") / number),
            "±" + micros(samples.spread("txprof") / number),
            MISSING,
            micros_added(BUDGET),
            table.judge(row),
        )
    alone = found["tasks", 1]
    for number in TASKS:
        samples = found["tasks", number]
        what = f"a checkout and a statement, {number:,} task" + ("s" if number > 1 else "")
        cells = (
            micros(samples.figure("bare")),
            micros_added(samples.added("txprof")),
            "±" + micros(samples.spread("txprof")),
        )
        if samples is alone:
            table.add(what, *cells, MISSING, MISSING, MISSING)
            continue
        both = Samples(
            {f"{name}, many": seconds for name, seconds in samples.seconds.items()} | alone.seconds
        )
        row = both.judged("tasks", what, next_to_one, TASKS_BUDGET, "x 1 task")
        table.add(
            what,
            *cells,
            times(row.figure, "1 task"),
            times(TASKS_BUDGET, "1 task"),
            table.judge(row),
        )
    return table


def next_to_one(found: Samples) -> float:
    """What is added among many tasks, as a multiple of what is added to one."""
    alone = found.added("txprof")
    return found.added("txprof, many", "bare, many") / alone if alone > 0 else math.inf


if __name__ == "__main__":
    main()
