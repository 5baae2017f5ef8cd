"""The connections that are checked out, by pool and by the driver's connection."""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from txprof import collector, context, visits
from txprof.clock import clock
from txprof.context import Hold
from txprof.places import Start, here
from txprof.safety import note_once
from txprof.sensors import exemplars
from txprof.sensors.occupancy import Occupancy, Returns

if TYPE_CHECKING:
    from txprof.entries import Entry


class Checkout(Protocol):
    """A request for a connection, until it is answered."""

    since: float
    """When it was asked for."""

    aside: float | None
    """Since when it has been making or pinging a connection, and no longer waits for one."""

    @property
    def waits(self) -> bool:
        """Whether it has to wait for somebody to give a connection back."""

    def waited(self) -> float:
        """Seconds so far, without what it took to make or ping a connection."""


class Guard:
    """Who is told if a connection is not given back, and why that may be."""

    __slots__ = ("allowed", "entries", "fairy")

    def __init__(
        self, fairy: weakref.ref[Any], entries: tuple[Entry, ...], allowed: str | None
    ) -> None:
        self.fairy = fairy
        self.entries = entries
        self.allowed = allowed

    def is_of(self, entry: Entry) -> bool:
        """Whether it was taken in this entry; or, of a block, in a call within it."""
        if entry.is_block:
            return any(one.collector is entry.collector for one in self.entries)
        return entry in self.entries


class Pool:
    """What we know of a connection pool: its engine's URL, who holds, who asks."""

    __slots__ = ("asking", "busy", "engine", "occupancy", "returns", "source")

    def __init__(self, engine: str, source: weakref.ref[Any] | None = None) -> None:
        self.engine = engine
        self.source = source
        """The engine itself."""
        self.busy: set[Hold] = set()
        self.asking: set[Checkout] = set()
        self.occupancy = Occupancy(engine)
        self.returns = Returns()


_CHECKOUT = Start()

collected: deque[Hold] = deque()
"""Holds that the garbage collector ended, of which nobody was told yet."""

pools: weakref.WeakKeyDictionary[Any, Pool] = weakref.WeakKeyDictionary()

holds: dict[int, Hold] = {}
"""Open holds by the id of the driver's connection, which lives at least as long."""

under_way: ContextVar[Checkout | None] = ContextVar("txprof_checkout", default=None)
"""The checkout that runs in this context, if any."""


def pool_of(engine: Any) -> Pool:
    """What we know of an engine's pool; known from now on."""
    known = pools.get(engine.pool)
    if known is None:
        known = pools.setdefault(engine.pool, Pool(_shown(engine.url), weakref.ref(engine)))
    return known


def _shown(url: Any) -> str:
    """Without the password. The rest of the query may have one too, or a whole ODBC string."""
    query = {name: url.query[name] for name in ("host", "port") if name in url.query}
    return str(url.set(query=query).render_as_string(hide_password=True))


def runs_out(pool: Any) -> bool:
    """Whether those who ask for connections of a pool may have to wait for each other."""
    return hasattr(pool, "timeout") and getattr(pool, "_max_overflow", 0) != -1  # private


_numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_next_number = itertools.count(1)


def _number(record: Any) -> int:
    """The number of a connection: of its place in the pool, when it is made anew."""
    try:
        return _numbers.get(record) or _numbers.setdefault(record, next(_next_number))
    except TypeError:  # None, or a pool of somebody's own
        return 0


def opened(dbapi_connection: Any, record: Any, pool: Any, frame: FrameType | None) -> Hold:
    """A connection was checked out of a pool."""
    returned(dbapi_connection)  # a pool that hands one connection to two at a time
    known = pools.get(pool)
    if known is None:  # a pool that is used without an engine
        known = pools.setdefault(pool, Pool(type(pool).__name__))
    place = None if frame is None else here(_CHECKOUT)
    hold = context.open_hold(known.engine, () if place is None else place.path, known)
    hold.connection = _number(record)
    if visits.current is not None and place is not None:
        hold.by = visits.current.opens(place, _CHECKOUT)
    checkout = under_way.get()
    thought = None
    if checkout is not None:
        hold.waited = checkout.waited()
        thought = known.returns.since(hold.task or hold.thread, checkout.since)
    holds[id(dbapi_connection)] = hold
    known.busy.add(hold)
    watchers = collector.active()
    known.occupancy.changed(1, hold.since, watchers)
    for watcher in watchers:
        row = watcher.pool(known.engine)
        row.checkouts += 1
        row.peak_busy = max(row.peak_busy, len(known.busy))
        if thought is not None:
            row.thought.note(thought)
        if hold.waited is not None:
            watcher.hold(known.engine, hold.path).waited.note(hold.waited)
        if watcher.settings.locks == "inspect":
            from txprof.sensors import inspecting

            hold.session = inspecting.session_of(dbapi_connection)
    return hold


# The pool events' listeners: whichever of them comes first ends the hold.


def returned(dbapi_connection: Any, *_rest: Any) -> None:
    """It went back."""
    _ended(dbapi_connection, "reset")


def lost(dbapi_connection: Any, *_rest: Any) -> None:
    """It is of no use any more."""
    _ended(dbapi_connection, "lost")


def detached(dbapi_connection: Any, *_rest: Any) -> None:
    """It is no longer the pool's."""
    _ended(dbapi_connection, "detached")


def _ended(dbapi_connection: Any, outcome: str) -> None:
    try:
        hold = holds.pop(id(dbapi_connection), None)
        transaction = None if hold is None else hold.transaction
        if hold is None or not hold.close():
            return
        if transaction is not None:
            exemplars.ended_with_hold(hold, transaction, outcome)
        now, watchers = clock.now(), collector.active()
        if isinstance(hold.pool, Pool):
            hold.pool.busy.discard(hold)
            hold.pool.occupancy.changed(-1, now, watchers)
            hold.pool.returns.note(hold.task or hold.thread, now)
        if hold.guard is not None and hold.guard.fairy() is None:  # nobody can have closed it
            collected.append(hold)
        else:
            hold.guard = None
        seconds = now - hold.since
        for watcher in watchers:
            row = watcher.pool(hold.engine)
            row.held_seconds += seconds
            row.transaction_seconds += hold.transaction_seconds
            at_site = watcher.hold(hold.engine, hold.path)
            at_site.held.note(seconds)
            at_site.transaction_seconds += hold.transaction_seconds
            at_site.statement_seconds += hold.statement_seconds
            # Tasks that the owner waits for may call side by side.
            at_site.external_seconds += min(
                hold.external_seconds, max(0.0, seconds - hold.statement_seconds)
            )
    except Exception as error:
        note_once("the checkin listener", error)


def hold_of(fairy: Any, frame: FrameType | None) -> Hold | None:
    """The hold of a connection in use; opened now if its checkout was not seen.

    None for a detached one, which is no longer the pool's, and for the connection that a dialect
    looks at while the pool makes it.
    """
    hold = holds.get(id(fairy.dbapi_connection))
    if hold is not None or fairy.dbapi_connection is None or under_way.get() is not None:
        return hold
    pool = getattr(fairy, "_pool", None)
    if pool is None or fairy.is_detached:
        return None
    record = getattr(fairy, "_connection_record", None)  # private
    return opened(fairy.dbapi_connection, record, pool, frame)


def forget_all() -> None:
    """Close what is open, for us."""
    for hold in list(holds.values()):
        hold.close()
    holds.clear()
    collected.clear()
    exemplars.forget_all()
    pools.clear()
