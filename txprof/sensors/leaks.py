"""Connections that are not given back: still out at the end, or left to the garbage collector."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, Any

from txprof import collector, context, policy, rules
from txprof.context import Hold
from txprof.entries import Entry, sites
from txprof.model import LEAK
from txprof.recorded import CheckoutRow
from txprof.safety import note_once
from txprof.sensors import checkouts, exemplars, pooling
from txprof.sensors.checkouts import Guard
from txprof.visits import OWN

if TYPE_CHECKING:
    from txprof.boundary import Boundary
    from txprof.found import Finding

_HAND_OVER = ("__enter__", "__aenter__", "__init__")
"""Methods that take a connection for somebody else to give back."""


def guard(hold: Hold, fairy: Any) -> None:
    """A connection was taken here: if it is not given back, these are told."""
    entries = collector.entries()
    if hold.by is OWN:
        entries = tuple(entry for entry in entries if entry.collector.harness is None)
    entries = tuple(entry for entry in entries if not policy.expected_of(LEAK, entry.collector))
    if entries:
        allowed = next((e.reason for e in policy.allowances.get() if e.rule == LEAK), None)
        hold.guard = Guard(weakref.ref(fairy), entries, allowed)


def tell_collected() -> None:
    """Tell of connections that the garbage collector gave back.

    Not from within its call of us: it may come while locks are held.
    """
    try:
        exemplars.tell_late()
        while checkouts.collected:
            hold = checkouts.collected.popleft()
            watchers = {entry.collector for entry in hold.guard.entries} if hold.guard else ()
            row = _row(hold, collected=True)
            for watcher in watchers:
                watcher.checkout(_row(hold, collected=True))
                for finding in rules.of_checkouts([watcher.redact.row(row)]):
                    pooling.tell(watcher, finding, late=True)
            hold.guard = None
    except Exception as error:
        note_once("the garbage collector's connections", error)


class Leaks:
    """What is out when a profiled call or block ends that was taken in it, here."""

    __slots__ = ("_sessions",)

    def __init__(self) -> None:
        self._sessions = _next_session()

    def at_end(
        self, entry: Entry, functions: Sequence[FunctionType] = (), *, late: bool = False
    ) -> list[Finding]:
        """It ends; what is found has been counted, and is still to be told.

        A session made before it began is its caller's to close; so is what an object's
        `__enter__` or constructor takes, where that is what was profiled. Where there is a harness,
        it may yet close any session that lives, until it is asked again (`late`); and what its own
        objects keep is its own to give back.
        """
        found: list[CheckoutRow] = []
        try:
            found += self._collected(entry)
            tell_collected()
            names = {f.__qualname__ for f in functions if f.__name__ in _HAND_OVER}
            harness = entry.collector.harness is not None
            for hold in _of_nobody_else() if harness else context.own():
                guard = hold.guard
                if (
                    guard is not None
                    and guard.is_of(entry)
                    and names.isdisjoint(frame[2] for frame in hold.path)
                    and not self._is_the_callers(hold, all_are=harness and not late)
                    and not (harness and entry.collector.harness.keeps(guard.fairy()))
                ):
                    guard.entries = tuple(one for one in guard.entries if not _same(one, entry))
                    found.append(_row(hold, collected=False, boundary=entry.collector.harness))
            for row in found:
                entry.collector.checkout(replace(row))
        except Exception as error:
            note_once("the leak sensor", error)
        return rules.of_checkouts(map(entry.collector.redact.row, found)) if found else []

    def _collected(self, entry: Entry) -> Iterator[CheckoutRow]:
        """Of what was collected, what was taken in this entry: told with the rest."""
        for hold in list(checkouts.collected):
            guard = hold.guard
            if guard is not None and guard.is_of(entry):
                guard.entries = tuple(one for one in guard.entries if not _same(one, entry))
                yield _row(hold, collected=True, boundary=entry.collector.harness)

    def _is_the_callers(self, hold: Hold, *, all_are: bool) -> bool:
        """Whether a session has it that was there before, or any session, if `all_are`."""
        orm = sys.modules.get("sqlalchemy.orm.session")
        if orm is None:
            return False
        try:
            for session in list(orm._sessions.values()):  # private, as all of the below
                transaction = session.get_transaction()
                if transaction is None or (session.hash_key > self._sessions and not all_are):
                    continue
                for connection, *_ in list(transaction._connections.values()):
                    fairy = connection._dbapi_connection
                    known = fairy and checkouts.holds.get(id(fairy.dbapi_connection))
                    if known is hold:
                        return True
        except AttributeError:
            return True
        return False


def _of_nobody_else() -> Iterator[Hold]:
    """Every open hold, but for those of threads and tasks that go on."""
    if not checkouts.holds:
        return
    others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    for hold in list(checkouts.holds.values()):
        task = None if hold.task is None else hold.task()
        if hold.is_open and hold.thread not in others and (task is None or task.done()):
            yield hold


def _next_session() -> int:
    """A number between those of the sessions that there are and those to come."""
    orm = sys.modules.get("sqlalchemy.orm.session")
    following = getattr(orm, "_new_sessionid", None)
    return 0 if following is None else int(following())


def _same(one: Entry, entry: Entry) -> bool:
    return one.collector is entry.collector


def _row(hold: Hold, *, collected: bool, boundary: Boundary | None = None) -> CheckoutRow:
    path = sites(hold.path if boundary is None else boundary.cut(hold.path))
    allowed = hold.guard.allowed if hold.guard is not None else None
    return CheckoutRow(
        LEAK,
        hold.engine,
        path,
        allowed=allowed or pooling.allowed(LEAK, path),
        count=1,
        collected=int(collected),
    )
