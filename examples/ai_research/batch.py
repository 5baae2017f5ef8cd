"""The batch on threads: a function over many products, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import TimeoutError as PoolTimeout

from . import models

THREADS = 8


@dataclass
class Outcome:
    """How a batch went; `error` is what the first product that failed died of."""

    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    error: str = ""

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the product of this block: one that gets no connection from the pool has failed."""
        try:
            yield
        except PoolTimeout as error:
            self.failed += 1
            self.error = self.error or str(error.args[0])
        else:
            self.done += 1


@contextmanager
def connected(url: str) -> Iterator[Threads]:
    """The threads, with the database at `url` while the block runs."""
    engine = models.connect(url)
    try:
        yield Threads(engine)
    finally:
        engine.dispose()


class Threads:
    """Where `naive.process` and `fixed.process` run."""

    count = THREADS
    described = f"{THREADS} threads"
    pool_size = models.POOL["pool_size"]

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def within(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function with a connection, in a transaction."""
        with self._engine.begin() as connection:
            function(connection, *arguments)

    def run(
        self,
        process: Callable[[int], object],
        product_ids: Iterable[int],
        progress: Callable[[Outcome], object] = lambda _: None,
        on_abort: Callable[[], object] = lambda: None,
    ) -> Outcome:
        """Process every product; one that gets no connection from the pool has failed.

        `on_abort` is called when the batch is given up (Ctrl-C, an error), before it waits for what
        its threads have begun.
        """
        outcome = Outcome()
        started = time.perf_counter()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="batch") as executor:
            try:
                futures = [executor.submit(process, product_id) for product_id in product_ids]
                for future in as_completed(futures):
                    with outcome.counted():
                        future.result()
                    outcome.seconds = time.perf_counter() - started
                    progress(outcome)
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                on_abort()
                raise
        return outcome
