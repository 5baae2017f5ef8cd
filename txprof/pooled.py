"""What a run asked of its connection pools: the rows of `recorded.py` about them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from txprof.course import Course
from txprof.distribution import Distribution
from txprof.model import Site
from txprof.plain import Plain


@dataclass(slots=True, repr=False, eq=False)
class PoolRow(Plain):
    """What one pool was asked for.

    `limit` is how many connections it may have at once, overflow included; None where nothing
    limits it. `busy` has the seconds during which so many connections were out, while the profiled
    calls or the block ran. `thought` are the times from a worker's giving a connection back to its
    next asking for one (a worker is a thread or a task). `course` has connections and waiting
    workers over time.
    """

    engine: str
    size: int | None = None
    checkouts: int = 0
    held_seconds: float = 0.0
    transaction_seconds: float = 0.0
    peak_busy: int = 0
    waits: int = 0
    wait_seconds: float = 0.0
    longest_wait: float = 0.0
    timeouts: int = 0
    limit: int | None = None
    checkout_timeout: float | None = None
    busy: dict[int, float] = field(default_factory=dict)
    thought: Distribution = field(default_factory=Distribution)
    course: Course = field(default_factory=Course)

    def key(self) -> str:
        return self.engine

    def add(self, other: PoolRow) -> None:
        self.size = _largest(self.size, other.size)
        self.limit = _largest(self.limit, other.limit)
        self.checkout_timeout = _largest(self.checkout_timeout, other.checkout_timeout)
        self.checkouts += other.checkouts
        self.held_seconds += other.held_seconds
        self.transaction_seconds += other.transaction_seconds
        self.peak_busy = max(self.peak_busy, other.peak_busy)
        self.waits += other.waits
        self.wait_seconds += other.wait_seconds
        self.longest_wait = max(self.longest_wait, other.longest_wait)
        self.timeouts += other.timeouts
        busy = dict(self.busy)
        for level, seconds in list(other.busy.items()):
            busy[level] = busy.get(level, 0.0) + seconds
        self.busy = dict(sorted(busy.items()))
        self.thought = self.thought.plus(other.thought)
        self.course = self.course.plus(other.course)

    def copy(self) -> PoolRow:
        """One that nobody else touches."""
        return replace(
            self, busy=dict(self.busy), thought=self.thought.copy(), course=self.course.copy()
        )


@dataclass(slots=True, repr=False, eq=False)
class HoldRow(Plain):
    """The holds of one pool's connections that were taken at one line, and the waits for them.

    `waited` has those that gave up too, which `held` has not. The seconds are those of the ended
    holds: in transactions, in statements, in external calls.
    """

    engine: str
    site: Site | None
    held: Distribution = field(default_factory=Distribution)
    waited: Distribution = field(default_factory=Distribution)
    transaction_seconds: float = 0.0
    statement_seconds: float = 0.0
    external_seconds: float = 0.0

    def key(self) -> tuple[Any, ...]:
        return (self.engine, self.site)

    def add(self, other: HoldRow) -> None:
        self.held = self.held.plus(other.held)
        self.waited = self.waited.plus(other.waited)
        self.transaction_seconds += other.transaction_seconds
        self.statement_seconds += other.statement_seconds
        self.external_seconds += other.external_seconds

    def copy(self) -> HoldRow:
        """One that nobody else touches."""
        return replace(self, held=self.held.copy(), waited=self.waited.copy())


def _largest(one: Any, other: Any) -> Any:
    known = [value for value in (one, other) if value is not None]
    return max(known, default=None)
