"""A closed model of workers on a connection pool: how long they wait, how much they get done.

Each of N workers does the same over and over: it thinks, asks for one of c connections, waits its
turn (first come, first served) or gives up, holds it, and gives it back. Both times are drawn from
measured distributions. So what a worker does depends on how long the others make it wait: the
machine-repair model of queueing theory (Harchol-Balter, "Performance Modeling and Design of
Computer Systems", 2013, chapters 6 and 7 on closed systems), without its exponential times.

It is exact, and needs no event loop: asks are taken in the order of time, and whoever asks gets the
connection that is free first (the Kiefer-Wolfowitz recursion; "On the theory of queues with many
servers", 1955). tests/pool/test_simulation.py compares it with SimPy, wait for wait.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import accumulate

from txprof.distribution import Distribution

_BATCH = 4096
"""Draws made at a time."""

_WARM_UP = 0.1
"""Of the jobs: until the queue is as long as it tends to be, nothing is counted."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker does with one connection, in seconds: hold it, and what comes before that.

    `outside` is spent in the middle of it without the connection, which is then taken once more,
    for as long as the first time. `weight` is how often such a job is drawn.
    """

    held: float
    outside: float = 0.0
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Workload:
    """What the workers do: the jobs to draw from, and times between them, as (seconds, weight)."""

    jobs: Sequence[Job]
    thinks: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Simulated:
    """What came of it: `jobs` were done in `seconds`, by a clock that nobody waits for.

    `waited` are the waits for a connection, also of those that gave up after it. `busy` is the mean
    number of connections that were out.
    """

    workers: int
    connections: int
    jobs: int
    seconds: float
    gave_up: int
    waited: Distribution
    busy: float

    @property
    def throughput(self) -> float:
        """Jobs done a second; those that gave up are not."""
        return self.jobs / self.seconds if self.seconds else 0.0


def simulate(
    workload: Workload,
    *,
    workers: int,
    connections: int,
    timeout: float | None = None,
    jobs: int = 20_000,
    seed: int = 0,
) -> Simulated:
    """Let the workers work until so many jobs were asked for in all.

    Args:
        workload: what they draw from.
        workers: how many there are.
        connections: how many the pool has, with its overflow.
        timeout: seconds after which a worker gives up; None: never.
        jobs: how many, with those of the warm-up.
        seed: the same seed gives the same waits.

    Raises:
        ValueError: for numbers below 1, a timeout below 0, or nothing to draw from.
    """
    for name, number in (("workers", workers), ("connections", connections), ("jobs", jobs)):
        if number < 1:
            raise ValueError(f"{name} must be 1 or more, not {number!r}")
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout must be 0 seconds or more, not {timeout!r}")
    if not workload.jobs or not workload.thinks:
        raise ValueError("a workload needs at least one job and one time between jobs")
    return _run(workload, workers, min(connections, workers), connections, timeout, jobs, seed)


def _run(
    workload: Workload,
    workers: int,
    useful: int,
    connections: int,
    timeout: float | None,
    jobs: int,
    seed: int,
) -> Simulated:
    # 1.2 million jobs in about 2 s: one plain loop, two heap operations a hold.
    source = random.Random(seed)
    holds = [job.held / 2 if job.outside else job.held for job in workload.jobs]
    outsides = [job.outside for job in workload.jobs]
    job_weights = list(accumulate(job.weight for job in workload.jobs))
    thinks = [think for think, _ in workload.thinks]
    think_weights = list(accumulate(weight for _, weight in workload.thinks))
    indices = range(len(holds))
    drawn_jobs: list[int] = []
    drawn_thinks: list[float] = []
    patience = math.inf if timeout is None else timeout

    asks: list[tuple[float, int]] = [
        (source.choices(thinks, cum_weights=think_weights)[0], worker) for worker in range(workers)
    ]
    heapify(asks)
    free = [0.0] * useful
    second: list[float | None] = [None] * workers  # the second hold of a job that has one
    waited = Distribution()
    asked = done = gave_up = unwaited = 0
    held_seconds = since = now = 0.0
    warm_up = int(jobs * _WARM_UP)
    while True:
        now, worker = asks[0]
        hold = second[worker]
        outside = 0.0
        if hold is None:
            if asked == jobs:
                break
            if asked == warm_up:
                since, done, gave_up, unwaited, held_seconds = now, 0, 0, 0, 0.0
                waited = Distribution()
            asked += 1
            if not drawn_jobs:
                drawn_jobs = source.choices(indices, cum_weights=job_weights, k=_BATCH)
            job = drawn_jobs.pop()
            hold, outside = holds[job], outsides[job]
        else:
            second[worker] = None
        first = free[0]
        wait = first - now
        if wait <= 0.0:
            unwaited += 1
            end = now + hold
        elif wait <= patience:
            waited.note(wait)
            end = first + hold
        else:
            waited.note(patience)
            gave_up += 1
            if not drawn_thinks:
                drawn_thinks = source.choices(thinks, cum_weights=think_weights, k=_BATCH)
            heapreplace(asks, (now + patience + drawn_thinks.pop(), worker))
            continue
        heapreplace(free, end)
        held_seconds += hold
        if outside:
            second[worker] = hold
            heapreplace(asks, (end + outside, worker))
            continue
        done += 1
        if not drawn_thinks:
            drawn_thinks = source.choices(thinks, cum_weights=think_weights, k=_BATCH)
        heapreplace(asks, (end + drawn_thinks.pop(), worker))
    if unwaited:
        waited = waited.plus(_nothing(unwaited))
    seconds = now - since
    return Simulated(
        workers,
        connections,
        done,
        seconds,
        gave_up,
        waited,
        min(float(useful), held_seconds / seconds) if seconds else 0.0,
    )


def _nothing(times: int) -> Distribution:
    """That many waits of no time."""
    one = Distribution()
    one.note(0.0)
    return Distribution(times, 0.0, 0.0, dict.fromkeys(one.buckets, times))


ENOUGH = 0.99
"""Of the jobs that would be done if nobody waited."""


def connections_needed(
    workload: Workload,
    *,
    workers: int,
    timeout: float | None = None,
    jobs: int = 20_000,
    seed: int = 0,
) -> int:
    """The smallest pool on which nobody gives up and 99 % of the jobs are done.

    That is, of those that as many connections as workers would do.
    """

    def run(connections: int) -> Simulated:
        return simulate(
            workload,
            workers=workers,
            connections=connections,
            timeout=timeout,
            jobs=jobs,
            seed=seed,
        )

    wanted = run(workers).throughput * ENOUGH
    low, high = 1, workers
    while low < high:
        middle = (low + high) // 2
        found = run(middle)
        if found.throughput >= wanted and not found.gave_up:
            high = middle
        else:
            low = middle + 1
    return low
