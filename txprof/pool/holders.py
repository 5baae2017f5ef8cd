"""Who holds a pool's connections now: what the sensors saw, and what `explain_timeouts` noted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from txprof import owners
from txprof.clock import clock
from txprof.model import Holder, Site
from txprof.pool.taken import Out


def out_of(pool: Any) -> list[Out] | None:
    """The connections of a pool that are out, the longest first; None if nobody looks."""
    noted, known = records_of(pool), sensed(pool)
    if noted is None and known is None:
        return None
    found = {} if noted is None else dict(noted.out())
    found.update(_holds(known))
    return sorted(found.values(), key=lambda out: out.since)


def holders_of(pool: Any, limit: int | None = None) -> tuple[Holder, ...]:
    """Who has them, and where they are now."""
    return holders((out_of(pool) or [])[:limit])


def holders(found: list[Out]) -> tuple[Holder, ...]:
    """The same of connections that are out."""
    now = clock.now()
    frames = sys._current_frames()
    try:
        return tuple(
            Holder(
                now - out.since,
                owners.name(out.thread, out.task),
                out.taken,
                owners.stands_at(out.thread, out.task, frames),
                owners.runs(out.thread, out.task, frames) or out.statement,
            )
            for out in found
        )
    finally:
        frames.clear()  # our own is in it: a cycle that would keep the program's frames alive


def records_of(pool: Any) -> Any:
    """The `taken.Checkouts` of a pool that `explain_timeouts` watches."""
    explain = sys.modules.get("txprof.pool.explain")
    return None if explain is None else explain.records.get(pool)


def sensed(pool: Any) -> Any:
    """The `checkouts.Pool` of a pool that the sensors have seen."""
    placing = sys.modules.get("txprof.sensors.placing")
    if placing is None or not placing.installed():
        return None
    return sys.modules["txprof.sensors.checkouts"].pools.get(pool)


def _holds(known: Any) -> Iterator[tuple[int, Out]]:
    if known is None:
        return
    for key, hold in list(sys.modules["txprof.sensors.checkouts"].holds.items()):
        if hold.pool is known and hold.is_open:
            taken = Site(*hold.path[0]) if hold.path else None
            yield key, Out(hold.thread, hold.task, hold.since, taken, hold.statement)
