"""What a profile tells of lines and pools, as its reader sees it; more of `model.py`.

Apart from it because most programs that are watched never ask, and Python takes milliseconds to
make these classes, each time that it starts. `txprof` itself has them once they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from txprof.model import CallPath, Holder, Site


@dataclass(frozen=True, slots=True)
class LineProfile:
    """One line of a profiled function; seconds are totals over all its hits.

    None is what was not measured: line_profiler's recordings hold hits and seconds alone.
    """

    line: int
    source: str
    hits: int
    seconds: float
    await_seconds: float | None
    held_seconds: float | None
    transaction_seconds: float | None
    queries: int | None
    query_seconds: float | None
    external_calls: int | None
    external_seconds: float | None


@dataclass(frozen=True, slots=True)
class FunctionProfile:
    """A profiled function: totals over its calls, and its lines by number.

    `note` says, in a sentence, what keeps the listing from being complete (source that changed
    since the run, a timer that had to give way), or is None.
    """

    site: Site
    calls: int | None
    seconds: float
    held_seconds: float | None
    transaction_seconds: float | None
    lines: dict[int, LineProfile]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Durations:
    """How durations were distributed, in seconds: quantiles within 1 % of themselves.

    None where there were none.
    """

    count: int = 0
    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class HoldProfile:
    """The connections that were taken at one line: for how long, and after which waits.

    `site` is None for those of which no application line is known. Of `held.count * held.mean`
    seconds so many were spent in statements and in external calls; the rest in neither.
    """

    site: Site | None
    held: Durations
    waited: Durations
    transaction_seconds: float
    statement_seconds: float
    external_seconds: float


class PoolMoment(NamedTuple):
    """How a pool was used during `seconds` from `start` on (seconds since the epoch).

    `busy` connections were out and `waiting` threads or tasks stood before the pool, on average,
    and `peak` connections were out at most. Of several processes: of each, on average; the most of
    one.
    """

    start: float
    seconds: float
    busy: float
    peak: int
    waiting: float


@dataclass(frozen=True, slots=True)
class PoolProfile:
    """What the profiled run asked of one connection pool.

    `limit` is how many connections it may have, overflow included (None: any number). `busy` has
    the seconds during which so many were out. `held`, `waited` (those that gave up, too) and
    `thought` (from giving a connection back to asking for the next, by the same thread or task) are
    in all; `holds` has the first two by the line that took the connection, the most held first.
    `over_time` are moments of equal length, at most 240, without those that nobody watched. Where a
    recording is older than these they are None and empty.
    """

    engine: str
    size: int | None
    checkouts: int
    held_seconds: float
    transaction_seconds: float
    peak_busy: int
    waits: int
    wait_seconds: float
    longest_wait: float
    timeouts: int
    limit: int | None = None
    checkout_timeout: float | None = None
    busy: dict[int, float] = field(default_factory=dict)
    held: Durations = field(default_factory=Durations)
    waited: Durations = field(default_factory=Durations)
    thought: Durations = field(default_factory=Durations)
    statement_seconds: float | None = None
    external_seconds: float | None = None
    holds: tuple[HoldProfile, ...] = ()
    over_time: tuple[PoolMoment, ...] = ()

    @property
    def mean_busy(self) -> float | None:
        """Connections out on average, from the first checkout to the last return that was seen."""
        seconds = sum(self.busy.values())
        return sum(level * s for level, s in self.busy.items()) / seconds if seconds else None


@dataclass(frozen=True, slots=True)
class OpenConnection:
    """A connection that is checked out: `call_path` opened its transaction, or else took it.

    `owner` is a thread or task by name; `of_harness` whether the `txprof.Harness` has it, and the
    application ran nothing on it.
    """

    engine: str
    in_transaction: bool
    call_path: CallPath
    owner: str
    of_harness: bool


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A pool at one moment; None is a number that this kind of pool, or this moment, cannot tell.

    `busy` connections are checked out by threads that live, `dead` ones by threads and tasks that
    ended without giving them back; `waiting` threads or tasks stand before an empty pool;
    `checkout_timeout` is in seconds. `overflow` of the `connections` are beyond `size`;
    `max_overflow` may be, None where nothing limits them.
    """

    size: int | None
    connections: int | None
    busy: int | None
    idle: int | None
    dead: int | None
    waiting: int | None
    checkout_timeout: float | None
    overflow: int | None = None
    max_overflow: int | None = None
    held_by: tuple[Holder, ...] = field(default=(), repr=False, compare=False)

    def holders(self) -> tuple[Holder, ...]:
        """Who held connections then, the longest first; those whose checkout was seen.

        It is seen while a profile has put the sensors in, and from `txprof.explain_timeouts` on.
        """
        return self.held_by
