"""The closed model: against SimPy wait for wait, and against the formulas of queueing theory."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from txprof.distribution import bucket_of
from txprof.pool import simulation
from txprof.pool.simulation import Job, Workload, connections_needed, simulate

JOBS = 2_000


class Reference:
    """The same model, as SimPy's users write it. It draws a job whenever a worker asks for one."""

    def __init__(self, workload: Workload, timeout: float, seed: int) -> None:
        self.source = random.Random(seed)
        self.workload = workload
        self.timeout = timeout
        self.drawn: list[int] = []
        self.waits: list[float] = []
        self.jobs = self.done = self.gave_up = 0
        self.since = self.until = 0.0
        self.over = False

    def run(self, first: list[float], connections: int) -> None:
        self.env = simpy.Environment()
        self.pool = simpy.Resource(self.env, connections)
        for start in first:
            self.env.process(self.worker(start))
        self.env.run()

    def job(self) -> Job:
        if self.jobs == JOBS // 10:
            self.since, self.waits, self.done, self.gave_up = self.env.now, [], 0, 0
        self.jobs += 1
        if not self.drawn:
            indices = range(len(self.workload.jobs))
            self.drawn = self.source.choices(
                indices, cum_weights=[*range(1, len(indices) + 1)], k=simulation._BATCH
            )
        return self.workload.jobs[self.drawn.pop()]

    def worker(self, start: float) -> Iterator[object]:
        yield self.env.timeout(start)
        while True:
            if self.jobs == JOBS and not self.over:
                self.over, self.until = True, self.env.now
            if self.over:
                return
            job = self.job()
            parts = [job.held / 2] * 2 if job.outside else [job.held]
            while parts:
                held = parts.pop()
                at = self.env.now
                with self.pool.request() as request:
                    got = yield request | self.env.timeout(self.timeout)
                    if self.over:
                        return
                    self.waits.append(self.env.now - at)
                    if request not in got:
                        self.gave_up += 1
                        break
                    yield self.env.timeout(held)
                if parts:
                    yield self.env.timeout(job.outside)
                elif not self.over:
                    self.done += 1
            yield self.env.timeout(self.workload.thinks[0][0])


def times(mean: float, count: int, seed: int) -> list[float]:
    source = random.Random(seed)
    return [source.expovariate(1 / mean) for _ in range(count)]


@pytest.mark.parametrize("hoisted", [False, True])
@pytest.mark.parametrize(
    ("workers", "connections", "timeout"), [(8, 2, 1e9), (8, 1, 0.05), (12, 4, 0.01), (3, 9, 1e9)]
)
def test_it_is_what_simpy_says(
    workers: int, connections: int, timeout: float, hoisted: bool
) -> None:
    # One time to think: SimPy's workers draw in another order.
    outside = 0.013 if hoisted else 0.0
    workload = Workload([Job(held, outside) for held in times(0.02, 500, 1)], [(0.0612345, 1.0)])
    first = [0.001 * number for number in range(workers)]
    reference = Reference(workload, timeout, 5)
    reference.run(first, connections)
    ours = _run_from(workload, first, workers, connections, timeout)
    waits = reference.waits
    assert ours.waited.count == len(waits)
    assert (ours.jobs, ours.gave_up) == (reference.done, reference.gave_up)
    assert ours.waited.seconds == pytest.approx(sum(waits), rel=1e-6, abs=1e-6)
    assert ours.seconds == pytest.approx(reference.until - reference.since, rel=1e-6)


def _run_from(
    workload: Workload,
    first: list[float],
    workers: int,
    connections: int,
    timeout: float,
    jobs: int = JOBS,
    thinks: Sequence[float] = (),
) -> simulation.Simulated:
    """Ours, with the workers' first asks spread out as given; `thinks` are drawn before others."""

    class Source(random.Random):
        def choices(self, population, weights=None, *, cum_weights=None, k=1):  # type: ignore[no-untyped-def]
            if starts:
                return [starts.pop(0)]
            drawn = super().choices(population, weights, cum_weights=cum_weights, k=k)
            if population == [think for think, _ in workload.thinks]:
                drawn += reversed(thinks)
            return drawn

    starts = list(first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulation.random, "Random", Source)
        return simulate(
            workload,
            workers=workers,
            connections=connections,
            timeout=timeout,
            jobs=jobs,
            seed=5,
        )


def machine_repair(workers: int, connections: int, held: float, thought: float) -> float:
    """Mean wait of the M/M/c//N queue, by its steady-state probabilities."""
    ratio = held / thought
    weights = []
    for n in range(workers + 1):
        weight = math.comb(workers, n) * ratio**n
        if n > connections:
            weight *= math.factorial(n) / math.factorial(connections)
            weight /= connections ** (n - connections)
        weights.append(weight)
    shares = [weight / sum(weights) for weight in weights]
    queue = sum((n - connections) * share for n, share in enumerate(shares) if n > connections)
    rate = sum((workers - n) / thought * share for n, share in enumerate(shares))
    return queue / rate


def exponential(mean: float) -> list[float]:
    """Values in the middle of 2,000 equal shares, whose mean is exact."""
    values = [-math.log(1 - (index + 0.5) / 2000) for index in range(2000)]
    scale = mean * len(values) / sum(values)
    return [value * scale for value in values]


@pytest.mark.parametrize(("workers", "connections"), [(8, 2), (16, 4), (8, 1), (4, 4), (32, 8)])
def test_exponential_times_wait_as_theory_says(workers: int, connections: int) -> None:
    workload = Workload(
        [Job(held) for held in exponential(0.02)], [(think, 1.0) for think in exponential(0.06)]
    )
    found = simulate(workload, workers=workers, connections=connections, jobs=200_000, seed=1)
    expected = machine_repair(workers, connections, 0.02, 0.06)
    assert found.waited.mean == pytest.approx(expected, rel=0.03, abs=1e-4)
    assert found.throughput == pytest.approx(workers / (0.08 + expected), rel=0.01)
    assert found.busy == pytest.approx(found.throughput * 0.02, rel=0.01)


def test_constant_times_on_one_connection_fill_it() -> None:
    found = simulate(Workload([Job(1.0)], [(3.0, 1.0)]), workers=8, connections=1, jobs=1_000)
    assert found.throughput == pytest.approx(1.0, rel=1e-3)
    assert found.busy == pytest.approx(1.0, rel=1e-3)
    assert found.waited.mean == pytest.approx(4.0, rel=1e-3)  # 8 turns of 1 s, less 1 + 3 s


def test_as_many_connections_as_workers_let_nobody_wait() -> None:
    found = simulate(Workload([Job(1.0)], [(3.0, 1.0)]), workers=8, connections=8, jobs=1_000)
    assert (found.waited.seconds, found.gave_up) == (0.0, 0)
    assert found.throughput == pytest.approx(2.0, rel=1e-2)


def test_who_waits_too_long_gives_up_and_goes_on() -> None:
    workload = Workload([Job(10.0)], [(1.0, 1.0)])
    found = simulate(workload, workers=4, connections=1, timeout=0.5, jobs=1_000)
    assert found.gave_up > found.jobs
    assert found.waited.longest == 0.5
    assert found.throughput == pytest.approx(1 / 10, rel=0.1)


def test_who_asks_again_at_once_has_the_connection_before_one_that_waits() -> None:
    # Two workers: the second waits its second in vain, again and again.
    soon = Workload([Job(10.0)], [(simulation.HANDOVER / 2, 1.0)])
    found = simulate(soon, workers=2, connections=1, timeout=1.0, jobs=1_000)
    assert found.gave_up > 9 * found.jobs
    assert {key for key, count in found.waited.buckets.items() if count} == {
        bucket_of(0.0),
        bucket_of(1.0),
    }
    later = Workload([Job(10.0)], [(simulation.HANDOVER * 2, 1.0)])
    found = simulate(later, workers=2, connections=1, timeout=30.0, jobs=1_000)
    assert found.gave_up == 0
    assert found.waited.mean == pytest.approx(10.0, rel=0.01)  # they take turns


def test_who_woke_up_in_vain_stands_last_in_the_queue() -> None:
    # The first has the connection twice, until 2 s: asking at 0.1 s and 0.2 s, two wait meanwhile.
    workload = Workload([Job(1.0)], [(10.0, 1.0)])
    found = _run_from(workload, [0.0, 0.1, 0.2], 3, 1, 60.0, jobs=4, thinks=[0.0])
    assert found.waited.seconds == pytest.approx((2.0 - 0.2) + (3.0 - 0.1))
    assert found.waited.longest == pytest.approx(3.0 - 0.1)


def test_a_batch_has_a_beginning_and_an_end() -> None:
    workload = Workload([Job(1.0)], [(0.5, 1.0)])
    found = simulate(workload, workers=8, connections=5, jobs=8, batches=3)
    # At once five hold, three wait for 1 s; then nothing is left to do.
    assert (found.jobs, found.seconds, found.gave_up) == (24, 3 * 2.0, 0)
    assert found.waited.count == 24
    assert found.waited.seconds == 3 * 3.0
    assert found.busy == pytest.approx(4.0)


def test_the_last_of_a_batch_hand_over_though_they_do_not_ask_again() -> None:
    workload = Workload([Job(1.0)], [(0.0, 1.0)])
    found = simulate(workload, workers=3, connections=1, jobs=3, batches=1)
    assert (found.jobs, found.seconds) == (3, 3.0)


def test_batches_differ_and_the_seed_gives_them_again() -> None:
    workload = Workload([Job(t) for t in times(0.02, 50, 2)], [(0.06, 1.0)])

    def seconds(batches: int, seed: int) -> float:
        return simulate(
            workload, workers=4, connections=2, jobs=40, batches=batches, seed=seed
        ).seconds

    assert seconds(9, 1) == seconds(9, 1)
    assert seconds(9, 1) != pytest.approx(9 * seconds(1, 1), rel=1e-6)


def test_a_call_moved_out_of_the_hold_frees_the_connection() -> None:
    inside = Workload([Job(10.0)], [(0.1, 1.0)])
    outside = Workload([Job(0.1, 9.9)], [(0.1, 1.0)])
    before = simulate(inside, workers=120, connections=5, jobs=20_000)
    after = simulate(outside, workers=120, connections=5, jobs=20_000)
    assert before.throughput == pytest.approx(0.5, rel=0.02)
    assert after.throughput == pytest.approx(120 / 10.1, rel=0.02)
    assert connections_needed(inside, workers=120) == 119  # of 120 on 1 % of the time it thinks
    assert connections_needed(outside, workers=120) <= 5


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 99))
def test_the_same_seed_gives_the_same_waits(workers: int, connections: int, seed: int) -> None:
    workload = Workload(
        [Job(t) for t in times(0.02, 50, 2)], [(t, 1.0) for t in times(0.06, 50, 3)]
    )
    runs = [
        simulate(workload, workers=workers, connections=connections, jobs=300, seed=seed)
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert runs[0].jobs == pytest.approx(270, abs=workers)


@given(st.integers(2, 20), st.integers(1, 19))
def test_one_connection_more_never_slows_down(workers: int, connections: int) -> None:
    workload = Workload([Job(0.02)], [(0.06, 1.0)])
    one, more = (
        simulate(workload, workers=workers, connections=c, jobs=2_000)
        for c in (connections, connections + 1)
    )
    assert more.throughput >= one.throughput * 0.98


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"workers": 0}, "workers must be 1 or more, not 0"),
        ({"connections": -1}, "connections must be 1 or more, not -1"),
        ({"jobs": 0}, "jobs must be 1 or more, not 0"),
        ({"batches": -1}, "batches must be 0 or more, not -1"),
        ({"timeout": -1.0}, "timeout must be 0 seconds or more, not -1.0"),
        ({"timeout": math.nan}, "timeout must be 0 seconds or more, not nan"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(changed: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(
            Workload([Job(1.0)], [(1.0, 1.0)]),
            **({"workers": 1, "connections": 1} | changed),  # type: ignore[arg-type]
        )


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one job and one time between jobs"):
        simulate(Workload([], []), workers=1, connections=1)
