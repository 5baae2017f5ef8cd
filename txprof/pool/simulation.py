"""A closed model of workers on a connection pool: how long they wait, how much they get done.

Each of N workers does the same over and over: it thinks, asks for one of c connections, waits its
turn or gives up, holds it, and gives it back. Both times are drawn from measured distributions. So
what a worker does depends on how long the others make it wait: the machine-repair model of queueing
theory (Harchol-Balter, "Performance Modeling and Design of Computer Systems", 2013, chapters 6 and
7 on closed systems), without its exponential times.

Who waits first is served first, but for one thing that threads do: a worker that asks again right
after giving back is there before a waiting one has woken up (`HANDOVER`).

It needs no event loop: one heap of what happens next. tests/pool/test_simulation.py compares it
with SimPy, wait for wait.
"""

from __future__ import annotations

import math
import random
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate
from typing import TypeVar

from txprof.distribution import Distribution

T = TypeVar("T")

_BATCH = 4096
"""Draws made at a time."""

_WARM_UP = 0.1
"""Of the jobs: until the queue is as long as it tends to be, nothing is counted."""

HANDOVER = 0.002
"""Seconds. A worker that asks again so soon after giving a connection back has it again.

A thread that waits for it has to get the interpreter first, which one that computes gives up after
5 ms (`sys.getswitchinterval`), a task of asyncio at its next `await`. One that sleeps or reads from
a socket gives it up at once: that takes longer than this, mostly. Whoever woke up in vain stands
last in the queue: SQLAlchemy's pool waits on a `threading.Condition`.
"""


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
    batches: int = 0,
    seed: int = 0,
) -> Simulated:
    """Let the workers work until so many jobs were asked for in all.

    Args:
        workload: what they draw from.
        workers: how many there are.
        connections: how many the pool has, with its overflow.
        timeout: seconds after which a worker gives up; None: never.
        jobs: how many, with those of the warm-up.
        batches: if not 0, so many batches of as many jobs, one after the other: all workers start
            on one at once, and it ends with the last job. How a batch begins and ends is part of
            it, so there is no warm-up.
        seed: the same seed gives the same waits.

    Raises:
        ValueError: for numbers below 1, a timeout below 0, or nothing to draw from.
    """
    for name, number in (("workers", workers), ("connections", connections), ("jobs", jobs)):
        if number < 1:
            raise ValueError(f"{name} must be 1 or more, not {number!r}")
    if batches < 0:
        raise ValueError(f"batches must be 0 or more, not {batches!r}")
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout must be 0 seconds or more, not {timeout!r}")
    if not workload.jobs or not workload.thinks:
        raise ValueError("a workload needs at least one job and one time between jobs")
    source = random.Random(seed)
    runs = [
        _run(workload, workers, connections, timeout, jobs, source, whole=bool(batches))
        for _ in range(batches or 1)
    ]
    return runs[0] if len(runs) == 1 else _together(runs)


def _run(
    workload: Workload,
    workers: int,
    connections: int,
    timeout: float | None,
    jobs: int,
    source: random.Random,
    *,
    whole: bool,
) -> Simulated:
    # 1.2 million jobs in some seconds: one plain loop, four heap operations a hold.
    jobs_drawn = _draws(
        source,
        [(job.held / 2 if job.outside else job.held, job.outside) for job in workload.jobs],
        [job.weight for job in workload.jobs],
    )
    times = [think for think, _ in workload.thinks]
    weights = [weight for _, weight in workload.thinks]
    thinks_drawn = _draws(source, times, weights)
    patience = math.inf if timeout is None else timeout

    # What happens next, and when: worker n asks (n), or gives back (~n).
    events: list[tuple[float, int]] = [
        (0.0 if whole else source.choices(times, weights)[0], worker) for worker in range(workers)
    ]
    heapify(events)
    free = useful = min(connections, workers)
    waiting: OrderedDict[int, float] = OrderedDict()  # since when, the next in turn first
    deadlines: deque[tuple[float, int, float]] = deque()  # also of some who wait no more
    held = [0.0] * workers  # for how long each holds, or wants to
    outside = [0.0] * workers  # and does without after that, if the job has a second hold
    second = [False] * workers
    waited = Distribution()
    asked = done = gave_up = unwaited = 0
    held_seconds = since = until = 0.0
    warm_up = -1 if whole else int(jobs * _WARM_UP)
    while events:
        now, who = events[0]
        if deadlines and deadlines[0][0] <= now:
            until, who, asked_at = deadlines.popleft()
            if waiting.get(who) == asked_at:
                del waiting[who]
                waited.note(patience)
                gave_up += 1
                second[who] = False
                heappush(events, (until + next(thinks_drawn), who))
            continue
        if who >= 0 and not second[who] and asked == jobs:
            if not whole:
                until = now
                break
            heappop(events)  # nothing is left for it to do
        elif who >= 0:
            if not second[who]:
                if asked == warm_up:
                    since, done, gave_up, unwaited, held_seconds = now, 0, 0, 0, 0.0
                    waited = Distribution()
                asked += 1
                held[who], outside[who] = next(jobs_drawn)
            if free:
                free -= 1
                unwaited += 1
                held_seconds += held[who]
                heapreplace(events, (now + held[who], ~who))
            else:
                heappop(events)
                waiting[who] = now
                if timeout is not None:
                    deadlines.append((now + patience, who, now))
            continue
        else:
            who = ~who
            pause = outside[who]
            if pause:
                outside[who], second[who] = 0.0, True
            else:
                done += 1
                second[who] = False
                pause = next(thinks_drawn)
            heapreplace(events, (now + pause, who))
            until = now
            free += 1
            if waiting and pause < HANDOVER:
                waiting.move_to_end(next(iter(waiting)))
                continue
        if free and waiting:
            free -= 1
            woken, asked_at = waiting.popitem(last=False)
            waited.note(now - asked_at)
            held_seconds += held[woken]
            heappush(events, (now + held[woken], ~woken))
    if unwaited:
        waited = waited.plus(_nothing(unwaited))
    seconds = until - since
    return Simulated(
        workers,
        connections,
        done,
        seconds,
        gave_up,
        waited,
        min(float(useful), held_seconds / seconds) if seconds else 0.0,
    )


def _draws(source: random.Random, choices: Sequence[T], weights: Sequence[float]) -> Iterator[T]:
    """Without an end, many at a time: that is quicker."""
    accumulated = list(accumulate(weights))
    while True:
        yield from reversed(source.choices(choices, cum_weights=accumulated, k=_BATCH))


def _together(runs: Sequence[Simulated]) -> Simulated:
    """One after the other."""
    seconds = sum(run.seconds for run in runs)
    waited = Distribution()
    for run in runs:
        waited = waited.plus(run.waited)
    return replace(
        runs[0],
        jobs=sum(run.jobs for run in runs),
        seconds=seconds,
        gave_up=sum(run.gave_up for run in runs),
        waited=waited,
        busy=sum(run.busy * run.seconds for run in runs) / seconds if seconds else 0.0,
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
