"""What a recording says of a pool's workers: the times that a simulation draws from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from txprof.distribution import Distribution
from txprof.found import Finding
from txprof.model import CALL_RULES, Site, fingerprint
from txprof.pool.profiles import together
from txprof.pool.simulation import Job, Workload
from txprof.pooled import HoldRow, PoolRow
from txprof.recorded import CallRow, Recorded
from txprof.rules import rule_of, site_of
from txprof.rules.external_io import relative

MINIMUM = 20
"""Samples of each kind, without which nothing is said: of 20, p95 is the second largest."""


class NotEnough(ValueError):
    """The recording does not tell what was asked, and nobody guesses."""


@dataclass(frozen=True, slots=True)
class Worked:
    """What the workers of one pool did, by a recording."""

    pool: PoolRow
    holds: tuple[HoldRow, ...]
    total: HoldRow
    jobs: int | None
    """Profiled calls; None if that is not known."""

    @property
    def checkouts_per_job(self) -> float | None:
        """How many connections were asked for by each profiled call."""
        asked = self.total.held.count + self.pool.timeouts
        return asked / self.jobs if self.jobs else None

    @property
    def workers(self) -> int | None:
        """How many there were, on average, by Little's law; None if that was not measured.

        Each of them always holds, waits or does without: their seconds in all, by those of the
        clock (Little, "A proof for the queuing formula L = λW", 1961).
        """
        measured = sum(self.pool.busy.values())
        spent = self.total.held.seconds + self.total.waited.seconds + self.pool.thought.seconds
        return max(1, round(spent / measured)) if measured else None


def worked(recorded: Recorded, engine: str | None = None) -> Worked:
    """What is known of a pool; of the only one, if none is named.

    Raises:
        NotEnough: if there is none of that name, more than one to choose from, or fewer than 20
            holds, or pauses between them, were recorded.
    """
    pool = pool_row(recorded, engine)
    holds = tuple(row for row in recorded.holds if row.engine == pool.engine)
    total = together(pool.engine, list(holds))
    if not total.held.count:
        raise NotEnough(
            f"no hold of a connection of {pool.engine} is in the recording: was it made by an "
            "older txprof?"
        )
    for count, what in (
        (total.held.count, "holds of a connection"),
        (pool.thought.count, "pauses between a worker's holds"),
    ):
        if count < MINIMUM:
            raise NotEnough(
                f"{count} {what} are too few to say how they are distributed: {MINIMUM} is the "
                "least; record for longer"
            )
    return Worked(pool, holds, total, _jobs(recorded))


def pool_row(recorded: Recorded, engine: str | None = None) -> PoolRow:
    """A pool of a recording, by its engine's URL or a part of it; the only one by no name.

    Raises:
        NotEnough: unless it is exactly one.
    """
    rows = sorted(recorded.pools, key=PoolRow.key)
    found = [row for row in rows if row.engine == engine] or [
        row for row in rows if engine is None or engine in row.engine
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(row.engine for row in rows) or "none"
    if engine is not None:
        many = "no pool" if not found else f"{len(found)} pools"
        raise NotEnough(f"{many} in the recording with {engine!r} in the URL; there are: {known}")
    if not found:
        raise NotEnough("no connection pool is in the recording")
    raise NotEnough(f"{len(found)} pools are in the recording: name one of {known}")


def workload(work: Worked, moved: Mapping[Site | None, float] | None = None) -> Workload:
    """What to draw from; `moved` is the share of the holds taken at a site that moves out of them.

    Such a job holds a connection twice, for half of what is left each time, and does what was moved
    between the two: read, release, call, write.
    """
    jobs: list[Job] = []
    for row in work.holds:
        share = min(1.0, (moved or {}).get(row.site, 0.0))
        for seconds, weight in drawn(row.held):
            jobs.append(Job(seconds * (1 - share), seconds * share, weight))
    return Workload(jobs, drawn(work.pool.thought))


def drawn(found: Distribution) -> list[tuple[float, float]]:
    """Values and weights to draw from, whose mean is exactly the measured one."""
    values, weights = found.weighted()
    whole = sum(value * weight for value, weight in zip(values, weights, strict=True))
    scale = found.seconds / whole if whole else 1.0
    return [(value * scale, weight) for value, weight in zip(values, weights, strict=True)]


def moved_by(
    recorded: Recorded, work: Worked, fingerprints: Collection[str]
) -> dict[Site | None, float]:
    """The share of the holds, by the line that took them, spent in the calls of some findings."""
    seconds: dict[Site | None, float] = defaultdict(float)
    for row in recorded.external_calls:
        if row.engine == work.pool.engine and fingerprint_of(row) in fingerprints:
            seconds[row.hold[0] if row.hold else None] += row.seconds
    shares: dict[Site | None, float] = {}
    for hold in work.holds:
        # Calls side by side take less of the hold than their sum.
        moved = min(seconds.get(hold.site, 0.0), hold.external_seconds)
        if moved and hold.held.seconds:
            shares[hold.site] = min(1.0, moved / hold.held.seconds)
    return shares


def fingerprint_of(row: CallRow) -> str | None:
    """That of the finding behind an external call; None if it is none."""
    rule = rule_of(row)
    if rule is None or row.allowed is not None:
        return None
    site = site_of(row)
    return fingerprint(rule, relative(site.file), site.function, row.target)


def movable(findings: Collection[Finding], work: Worked) -> list[Finding]:
    """The findings whose calls could move out of this pool's holds, the longest first."""
    found = [
        finding
        for finding in findings
        if finding.rule in CALL_RULES and finding.details.get("engine") == work.pool.engine
    ]
    return sorted(found, key=lambda one: (-(one.seconds or 0.0), one.fingerprint))


def waiting_share(recorded: Recorded, work: Worked | None) -> float:
    """The part of the workers' time in which they wait for the database or the outside (0 to 1).

    Their time is that of the profiled calls, or of a block's only profiled function; else that in
    which they hold or do without a connection of `work`. Waits for the pool are no part of it:
    those go with the right pool.

    Raises:
        NotEnough: where it cannot be told: what was watched overlaps, or there is no time.
    """
    waiting = sum(row.seconds for row in recorded.statements)
    waiting += sum(row.seconds for row in recorded.external_calls)
    timed = [row for row in recorded.functions if row.calls and row.lines]
    if len(timed) == 1:
        spent: float | None = sum(line.seconds for line in timed[0].lines)
    elif recorded.calls:
        spent = recorded.seconds
    else:
        spent = None
    if spent is not None:
        spent -= sum(pool.wait_seconds for pool in recorded.pools)
    elif work is not None:
        spent = work.total.held.seconds + work.pool.thought.seconds
    if not spent or spent <= 0:
        raise NotEnough("the waiting share cannot be told: no worker's time was measured")
    if waiting > spent * 1.02:
        raise NotEnough(
            f"the waiting share cannot be told: statements and calls of {waiting:.3g} s in all ran "
            f"side by side within {spent:.3g} s"
        )
    return min(1.0, waiting / spent)


def held_at_once(recorded: Recorded, engine: str) -> int:
    """How many connections of a pool one worker was seen to hold at a time, at most."""
    nested = (row.held_at_once for row in recorded.checkouts if row.engine == engine)
    return max(1, *nested, 0)


def _jobs(recorded: Recorded) -> int | None:
    if recorded.calls:
        return recorded.calls
    called = [row.calls for row in recorded.functions if row.calls]
    return called[0] if len(called) == 1 else None
