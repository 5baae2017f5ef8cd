"""The pools of a recording, as a reader sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from math import ldexp

from txprof.course import Course
from txprof.distribution import Distribution
from txprof.pooled import HoldRow, PoolRow
from txprof.profiled import Durations, HoldProfile, PoolMoment, PoolProfile
from txprof.recorded import Recorded


def profiles(recorded: Recorded) -> list[PoolProfile]:
    """Every pool, by engine."""
    holds: dict[str, list[HoldRow]] = defaultdict(list)
    for row in recorded.holds:
        holds[row.engine].append(row)
    rows = sorted(recorded.pools, key=lambda row: row.engine)
    return [_profile(row, holds[row.engine]) for row in rows]


def together(engine: str, holds: list[HoldRow]) -> HoldRow:
    """The holds of a pool in one row, wherever they were taken."""
    total = HoldRow(engine, None)
    for row in holds:
        total.add(row)
    return total


def durations(found: Distribution) -> Durations:
    """Its quantiles."""
    return Durations(
        found.count,
        found.mean,
        found.quantile(0.5),
        found.quantile(0.95),
        found.quantile(0.99),
        found.longest if found.count else None,
    )


def _profile(row: PoolRow, holds: list[HoldRow]) -> PoolProfile:
    total = together(row.engine, holds)
    return PoolProfile(
        engine=row.engine,
        size=row.size,
        checkouts=row.checkouts,
        held_seconds=row.held_seconds,
        transaction_seconds=row.transaction_seconds,
        peak_busy=row.peak_busy,
        waits=row.waits,
        wait_seconds=row.wait_seconds,
        longest_wait=row.longest_wait,
        timeouts=row.timeouts,
        limit=row.limit,
        checkout_timeout=row.checkout_timeout,
        busy=dict(row.busy),
        held=durations(total.held),
        waited=durations(total.waited),
        thought=durations(row.thought),
        statement_seconds=total.statement_seconds if holds else None,
        external_seconds=total.external_seconds if holds else None,
        holds=tuple(
            _hold(one) for one in sorted(holds, key=lambda one: (-one.held.seconds, one.site or ()))
        ),
        over_time=tuple(_moments(row.course)),
    )


def _moments(course: Course) -> Iterator[PoolMoment]:
    width = ldexp(1.0, course.exponent)
    for number, cell in sorted(course.cells.items()):
        # Who waits may have begun before anything else was watched.
        seconds = max(cell.seconds, min(width, cell.waiting)) or width
        yield PoolMoment(
            number * width, width, cell.busy / seconds, cell.peak, cell.waiting / seconds
        )


def _hold(row: HoldRow) -> HoldProfile:
    return HoldProfile(
        row.site,
        durations(row.held),
        durations(row.waited),
        row.transaction_seconds,
        row.statement_seconds,
        row.external_seconds,
    )
