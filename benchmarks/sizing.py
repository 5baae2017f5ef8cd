"""What sizing a pool costs: a large simulation, and a plan for many services.

The simulation is of 120 workers with 10,000 jobs each, on a pool that they wait for, with a
timeout and without. SimPy, beside it, runs the same model for a tenth of the jobs: its time is
told for all of them. Seconds of the processor. Budgets: 5 s for the simulation, 1 s for the plan.
"""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable, Generator
from typing import Any

from budgets import Row
from harness import MISSING, Table, arguments, publish

from txprof.pool.simulation import Job, Workload, simulate
from txprof.pool.sizing import Database, Measured, Service, plan

SIMULATION_SECONDS = 5.0
PLAN_SECONDS = 1.0

WORKERS, JOBS_A_WORKER, CONNECTIONS = 120, 10_000, 5
HELD, THOUGHT = 0.1, 1.0
"""Mean seconds, drawn from exponential times: a pool of 5 keeps up with half of what is asked."""

PATIENCE = 30.0
PEERS_SHARE = 10
SERVICES = 500


def workload() -> Workload:
    """Jobs and times between them, as a recording's distributions have them."""
    source = random.Random(0)
    jobs = [Job(source.expovariate(1 / HELD)) for _ in range(500)]
    return Workload(jobs, [(source.expovariate(1 / THOUGHT), 1.0) for _ in range(500)])


def in_simpy(simpy: Any, drawn: Workload, jobs: int, timeout: float | None) -> None:
    """The same model, as SimPy's users write it."""
    source = random.Random(0)
    holds = [job.held for job in drawn.jobs]
    thinks = [think for think, _ in drawn.thinks]
    environment = simpy.Environment()
    pool = simpy.Resource(environment, CONNECTIONS)
    waited: list[float] = []

    def worker() -> Generator[Any, Any, None]:
        while len(waited) < jobs:
            yield environment.timeout(source.choice(thinks))
            asked = environment.now
            with pool.request() as request:
                if timeout is None:
                    yield request
                    is_served = True
                else:
                    first = yield request | environment.timeout(timeout)
                    is_served = request in first
                waited.append(environment.now - asked)
                if is_served:
                    yield environment.timeout(source.choice(holds))

    for _ in range(WORKERS):
        environment.process(worker())
    environment.run()


def seconds(run: Callable[..., object], *arguments: object, **options: Any) -> float:
    """Of the processor."""
    started = time.process_time()
    run(*arguments, **options)
    return time.process_time() - started


def main() -> None:
    options = arguments(__doc__)
    jobs = WORKERS * (JOBS_A_WORKER // (100 if options.quick else 1))
    drawn = workload()
    try:
        simpy = importlib.import_module("simpy")
    except ImportError:
        simpy = None

    table = Table(
        "Seconds that sizing a pool takes", "what", "SimPy", "txprof", "budget", "verdict"
    )
    for name, timeout in (("", None), (f", who waits {PATIENCE:g} s gives up", PATIENCE)):
        what = f"{jobs:,} jobs of {WORKERS} workers on {CONNECTIONS} connections{name}"
        theirs = MISSING
        if simpy is not None:
            found = seconds(in_simpy, simpy, drawn, jobs // PEERS_SHARE, timeout)
            theirs = f"{found * PEERS_SHARE:.1f}"
        ours = seconds(
            simulate,
            drawn,
            workers=WORKERS,
            connections=CONNECTIONS,
            timeout=timeout,
            jobs=jobs,
        )
        row = Row("simulation", what, ours, SIMULATION_SECONDS, "s")
        table.add(what, theirs, f"{ours:.2f}", f"{SIMULATION_SECONDS:.1f}", table.judge(row))

    services = [
        Service(f"s{n}", "web", tasks=3, processes=4, threads=n % 60 + 1) for n in range(SERVICES)
    ]
    planned = seconds(plan, services, Database(4000, peak=1200), Measured(0.9, 2))
    what = f"a plan for {SERVICES} services"
    row = Row("plan", what, planned, PLAN_SECONDS, "s")
    table.add(what, MISSING, f"{planned:.3f}", f"{PLAN_SECONDS:.1f}", table.judge(row))
    table.note(
        f"SimPy: for a tenth of the jobs, times {PEERS_SHARE}"
        if simpy is not None
        else "SimPy is left out: it is not installed"
    )
    publish(table, options)


if __name__ == "__main__":
    main()
