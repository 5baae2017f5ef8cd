"""What rows of aggregates have in common, and how it is added up."""

from __future__ import annotations

from typing import Protocol

from txprof.locked import Inspected, Lock, all_locks, most_telling


class Timed(Protocol):
    """A row of what took time: how often, how long in all, and the longest."""

    count: int
    seconds: float
    longest: float


class Locking(Protocol):
    """A row of what went on while rows and tables were locked."""

    locks: tuple[Lock, ...]
    inspected: Inspected | None


def add_times(row: Timed, other: Timed) -> None:
    row.count += other.count
    row.seconds += other.seconds
    row.longest = max(row.longest, other.longest)


def add_locks(row: Locking, other: Locking) -> None:
    row.locks = all_locks(row.locks, other.locks)
    row.inspected = most_telling(row.inspected, other.inspected)
