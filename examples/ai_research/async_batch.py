"""The batch in asyncio: a coroutine function over many products, a hundred at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from . import models
from .batch import Outcome

TASKS = 100

T = TypeVar("T")


@contextmanager
def connected(url: str) -> Iterator[Tasks]:
    """The tasks, and a loop to run them in, with the database at `url` while the block runs."""
    engine = models.connect_async(url)
    with asyncio.Runner() as runner:
        try:
            yield Tasks(engine, runner.get_loop())
        finally:
            runner.run(engine.dispose())


class Tasks:
    """Where `async_naive.process` and `async_fixed.process` run."""

    count = TASKS
    described = f"{TASKS} asyncio tasks"
    pool_size = models.ASYNC_POOL["pool_size"]

    def __init__(self, engine: AsyncEngine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine = engine
        self._loop = loop

    def within(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function with a connection, in a transaction."""
        self._wait(self._within(function, *arguments))

    async def _within(self, function: Callable[..., object], *arguments: Any) -> None:
        async with self._engine.begin() as connection:
            await connection.run_sync(function, *arguments)

    def run(
        self,
        process: Callable[[int], Awaitable[object]],
        product_ids: Iterable[int],
        progress: Callable[[Outcome], object] = lambda _: None,
        on_abort: Callable[[], object] = lambda: None,
    ) -> Outcome:
        """Process every product; one that gets no connection from the pool has failed.

        `on_abort` is called when the batch is given up (Ctrl-C, an error).
        """
        try:
            return self._wait(_process_all(process, product_ids, progress))
        except BaseException:
            on_abort()
            raise

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        except BaseException:
            # Ctrl-C leaves the loop at once: what is under way gives its connections back first.
            if not task.done():  # a loop that waits for one that Ctrl-C ended never stops
                task.cancel()
                with suppress(BaseException):
                    self._loop.run_until_complete(task)
            raise


async def _process_all(
    process: Callable[[int], Awaitable[object]],
    product_ids: Iterable[int],
    progress: Callable[[Outcome], object],
) -> Outcome:
    outcome = Outcome()
    started = time.perf_counter()
    turn = asyncio.Semaphore(TASKS)

    async def one(product_id: int) -> None:
        async with turn:
            with outcome.counted():
                await process(product_id)
        outcome.seconds = time.perf_counter() - started
        progress(outcome)

    try:
        async with asyncio.TaskGroup() as group:
            for product_id in product_ids:
                group.create_task(one(product_id))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the one that ended the others
    return outcome
