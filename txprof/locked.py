"""What a transaction locked, as plain data: by its statements, and as the server says."""

from __future__ import annotations

from typing import Any, NamedTuple

from txprof.model import Site


class Lock(NamedTuple):
    """A table in which a transaction locked rows, or that it locked: what did first, and where."""

    table: str
    site: Site | None
    statement: str


def all_locks(*several: tuple[Lock, ...]) -> tuple[Lock, ...]:
    """One for each table, by its name: the same one in whatever order they are given."""
    if len(set(several)) == 1:
        return several[0]
    first: dict[str, Lock] = {}
    for lock in (lock for locks in several for lock in locks):
        known = first.setdefault(lock.table, lock)
        first[lock.table] = min(known, lock, key=_order)
    return tuple(first[table] for table in sorted(first))


def _order(lock: Lock) -> tuple[Any, ...]:
    return (lock.site or (), lock.statement)


class Waiter(NamedTuple):
    """Who waited for a transaction, with which statement's shape, for how long by then."""

    who: str
    statement: str
    seconds: float


class Inspected(NamedTuple):
    """What the server said at one moment: the locks held (table, mode), and who waits for them.

    Or why it was not asked, or did not answer.
    """

    holds: tuple[tuple[str, str], ...] = ()
    waiting: tuple[Waiter, ...] = ()
    skipped: str | None = None


def most_telling(*several: Inspected | None) -> Inspected | None:
    """The one with most waiters: the same one in whatever order they are given."""
    known = [one for one in several if one is not None]
    return max(known, key=_telling, default=None)


def _telling(one: Inspected) -> tuple[Any, ...]:
    return (len(one.waiting), len(one.holds), one.waiting, one.holds, one.skipped or "")


def tables_of(locks: tuple[Lock, ...]) -> tuple[str, ...]:
    """Their names."""
    return tuple(lock.table for lock in locks)
