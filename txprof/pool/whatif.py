"""A pool simulated as recorded, and with the calls of some findings moved out of the holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from txprof.found import Finding
from txprof.pool.simulation import Simulated, Workload, connections_needed, simulate
from txprof.pool.workload import NotEnough, Worked, movable, moved_by, worked, workload

if TYPE_CHECKING:
    from txprof.results import Profile


@dataclass(frozen=True, slots=True)
class Series:
    """Pools of several sizes under one workload; `needed` by number of workers."""

    runs: tuple[Simulated, ...]
    needed: dict[int, int]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What came of it. `without` is None if nothing was to be moved; `movable` is what could be.

    `jobs` are the checkouts simulated in all; of a `batch`, those of so many jobs again and again.
    """

    work: Worked
    timeout: float | None
    jobs: int
    batch: int | None
    seed: int
    now: Series
    without: Series | None
    hoisted: tuple[Finding, ...]
    movable: tuple[Finding, ...]


def compare(
    profile: Profile,
    *,
    engine: str | None = None,
    workers: Sequence[int] | None = None,
    connections: Sequence[int] | None = None,
    timeout: float | None = None,
    hoisted: Sequence[str] | None = (),
    jobs: int = 20_000,
    batch: int | None = None,
    seed: int = 0,
) -> WhatIf:
    """Simulate a profile's pool; see `txprof pool simulate --help` for the arguments.

    `hoisted`: the fingerprints of the findings whose calls are moved; None for all that can be.

    Raises:
        NotEnough: if the recording has not what it takes (see `workload.worked`), or no such
            finding whose calls are made while a connection of this pool is held.
    """
    recorded = profile.recorded
    work = worked(recorded, engine)
    could = movable(profile.findings, work)
    if hoisted is None:
        hoisted = [finding.fingerprint for finding in could]
    chosen = tuple(finding for finding in could if finding.fingerprint in hoisted)
    unknown = set(hoisted) - {finding.fingerprint for finding in chosen}
    if unknown:
        known = ", ".join(finding.fingerprint for finding in could) or "none"
        raise NotEnough(
            f"no finding {min(unknown)} of calls that are made while a connection of this pool is "
            f"held; there are: {known}"
        )
    if workers is None:
        if work.workers is None:
            raise NotEnough("how many workers there were is not in the recording: give --workers")
        workers = [work.workers]
    patience = work.pool.checkout_timeout if timeout is None else timeout
    asked, times = jobs, 0
    if batch is not None:
        asked = max(1, round(batch * (work.checkouts_per_job or 1.0)))
        times = max(1, round(jobs / asked))

    def series(drawn: Workload) -> Series:
        sizes = connections or _sizes(max(workers), work.pool.limit)
        runs = tuple(
            simulate(
                drawn,
                workers=count,
                connections=size,
                timeout=patience,
                jobs=asked,
                batches=times,
                seed=seed,
            )
            for count in workers
            for size in sizes
        )
        needed = {
            count: connections_needed(drawn, workers=count, timeout=patience, jobs=jobs, seed=seed)
            for count in workers
        }
        return Series(runs, needed)

    without = None
    if chosen:
        moved = moved_by(recorded, work, set(hoisted))
        without = series(workload(work, moved))
    done = asked * max(1, times)
    now = series(workload(work))
    return WhatIf(work, patience, done, batch, seed, now, without, chosen, tuple(could))


def _sizes(workers: int, limit: int | None) -> list[int]:
    """Powers of two up to the workers, and the pool as it is."""
    found = {workers}
    size = 1
    while size < workers:
        found.add(size)
        size *= 2
    if limit is not None:
        found.add(limit)
    return sorted(found)
