"""SQLAlchemy: the connections that are checked out of every engine's pool, and the waits for them.

Holds come from the pool's events. Each engine's dialect is wrapped (`txprof.sensors.dialects`) when
a connection is first asked of the engine.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import wrapt

from txprof import callsite, collector, context, waiting
from txprof.clock import clock
from txprof.safety import drop_own_frame, note_once
from txprof.sensors import checkouts, dialects, leaks, placing, pooling
from txprof.sensors.autocommit import is_autocommit

_A_WAIT = 0.001
"""Seconds from which a checkout of an empty pool counts as a wait; an idle one takes 20 us."""

_hooked = False


def install() -> None:
    """Observe every engine there is and will be, once SQLAlchemy is imported."""
    global _hooked
    if not _hooked:
        _hooked = True
        wrapt.register_post_import_hook(lambda _module: _attach(), "sqlalchemy")
    elif "sqlalchemy" in sys.modules:
        _attach()


def uninstall() -> None:
    """Forget all holds and give every dialect its own methods back."""
    if "sqlalchemy" not in sys.modules:
        return
    from sqlalchemy import event, pool

    for name, listener in _LISTENERS.items():
        if event.contains(pool.Pool, name, listener):
            event.remove(pool.Pool, name, listener)
    dialects.unwrap_all()
    checkouts.forget_all()


def _attach() -> None:
    if not placing.installed():
        return
    try:
        from sqlalchemy import engine, event, pool

        for name, listener in _LISTENERS.items():
            if not event.contains(pool.Pool, name, listener):
                event.listen(pool.Pool, name, listener)
        placing.place(engine.Engine, "raw_connection", _raw_connection)
        _adopt_what_is_out()
    except Exception as error:
        note_once("the SQLAlchemy sensor", error)


class _Checkout:
    """See `checkouts.Checkout`."""

    __slots__ = ("_from", "_is_async", "_path", "_pool", "_starved", "_token", "aside", "since")

    def __init__(self, engine: Any) -> None:
        self._from = engine.pool
        self._pool = checkouts.pool_of(engine)
        dialects.wrap(engine.dialect)
        idle = getattr(self._from, "checkedin", None)
        self._starved = idle is not None and idle() == 0
        self._path: callsite.Path | None = None
        if self._starved and collector.active():
            # Now: a timeout is thrown into a task, past the frames that await.
            self._path = callsite.path(sys._getframe(1))
        self._is_async = engine.dialect.is_async
        self.aside: float | None = None
        self._pool.asking.add(self)
        self._token = checkouts.under_way.set(self)
        self.since = clock.now()

    @property
    def waits(self) -> bool:
        return self._starved and self.aside is None

    def waited(self) -> float:
        # What it makes or pings, it does after the wait.
        return (clock.now() if self.aside is None else self.aside) - self.since

    def end(self, *, timed_out: bool) -> None:
        waited = self.waited()
        checkouts.under_way.reset(self._token)
        self._pool.asking.discard(self)
        try:
            self._count(waited, timed_out=timed_out)
        except Exception as error:
            note_once("the end of a checkout", error)

    def _count(self, waited: float, *, timed_out: bool) -> None:
        waits = timed_out or (self._starved and waited >= _A_WAIT)
        path: callsite.Path = ()
        if waits:
            path = callsite.path(sys._getframe(2)) if self._path is None else self._path
        watchers = collector.active()
        if timed_out:
            self._gave_up(waited, path, watchers)
        for watcher in watchers:
            row = watcher.pool(self._pool.engine)
            row.size = _size(self._from)
            row.limit, row.checkout_timeout = _limits(self._from, row.size)
            row.timeouts += timed_out
            if waits:
                row.waits += 1
                row.wait_seconds += waited
                row.longest_wait = max(row.longest_wait, waited)
                self._pool.occupancy.waited(row, self.since, waited)
        if waits:
            tell = pooling.gave_up if timed_out else pooling.waited
            tell(self._pool, waited, path, is_async=self._is_async)

    def _gave_up(
        self, waited: float, path: callsite.Path, watchers: Sequence[collector.Collector]
    ) -> None:
        """What a hold would have noted."""
        task = waiting.current_task()
        worker = threading.get_ident() if task is None else weakref.ref(task)
        thought = self._pool.returns.since(worker, self.since)
        self._pool.returns.note(worker, self.since + waited)
        for watcher in watchers:
            watcher.hold(self._pool.engine, path).waited.note(waited)
            if thought is not None:
                watcher.pool(self._pool.engine).thought.note(thought)


def _pool_with_a_hold_here(engine: Any) -> checkouts.Pool | None:
    """The engine's pool if what asks for a connection of it may hold one."""
    try:
        if context.holds_here.get() and checkouts.runs_out(engine.pool):
            return checkouts.pool_of(engine)
    except Exception as error:
        note_once("the nested checkout sensor", error)
    return None


def _raw_connection(
    wrapped: Any, engine: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    checkout = None
    if placing.installed():
        pool = _pool_with_a_hold_here(engine)
        if pool is not None:
            pooling.asked(pool, sys._getframe())
        try:
            checkout = _Checkout(engine)
        except Exception as error:
            note_once("the checkout sensor", error)
    timed_out = False
    try:
        return wrapped(*args, **kwargs)
    except BaseException as error:
        timed_out = isinstance(error, sys.modules["sqlalchemy.exc"].TimeoutError)
        drop_own_frame(error)
        raise
    finally:
        if checkout is not None:
            checkout.end(timed_out=timed_out)


def _size(pool: Any) -> int | None:
    size = getattr(pool, "size", None)  # a method of QueuePool, a number of SingletonThreadPool
    found = size() if callable(size) else size
    return found if isinstance(found, int) else None


def _limits(pool: Any, size: int | None) -> tuple[int | None, float | None]:
    """How many connections it may have at once, and how many seconds one is waited for."""
    overflow = getattr(pool, "_max_overflow", None)  # private
    if size is None or not isinstance(overflow, int) or not checkouts.runs_out(pool):
        return None, None
    timeout = pool.timeout()
    return size + overflow, float(timeout) if isinstance(timeout, int | float) else None


def _checked_out(dbapi_connection: Any, record: Any, fairy: Any) -> None:
    try:
        pool = getattr(fairy, "_pool", None)
        hold = checkouts.opened(dbapi_connection, record, pool, sys._getframe(1))
        leaks.guard(hold, fairy)
        if checkouts.collected:
            leaks.tell_collected()
    except Exception as error:
        note_once("the checkout listener", error)


_LISTENERS: dict[str, Callable[..., None]] = {
    "checkout": _checked_out,
    "checkin": checkouts.returned,
    "reset": checkouts.returned,
    "invalidate": checkouts.lost,
    "close": checkouts.lost,
    "detach": checkouts.detached,
    "close_detached": checkouts.detached,
}


def _is_out(connection: Any) -> bool:
    try:
        return not connection.closed and not connection.invalidated
    except AttributeError:  # it got no connection, and was never made in full
        return False


def _none_is_out() -> bool:
    """Whether SQLAlchemy's own lists of what is checked out say that nothing is. They are private:
    False where they are not found."""
    try:
        base = sys.modules["sqlalchemy.pool.base"]
        if "_finalizer" in base._ConnectionFairy.__slots__:  # from 2.1 on
            finalizers = list(weakref.finalize._registry.values())  # type: ignore[attr-defined]
            return not any(each.func is base._finalize_fairy for each in finalizers)
        return not base._strong_ref_connection_records
    except (AttributeError, KeyError):
        return False


def _adopt_what_is_out() -> None:
    """Take over connections checked out before we came, where it is plain whose they are."""
    # The scan of all objects takes a third of what the plugin adds to the start of a test suite
    # (benchmarks/plugin.py).
    if threading.active_count() > 1 or _none_is_out():
        return
    connection_type = sys.modules["sqlalchemy.engine"].Connection
    for found in gc.get_referrers(connection_type):  # an instance refers to its class
        if type(found) is connection_type and _is_out(found):
            fairy, dialect = found.connection, found.engine.dialect
            dialects.wrap(dialect)
            checkouts.pool_of(found.engine)
            hold = checkouts.hold_of(fairy, None)
            if hold is not None and found.in_transaction():
                hold.autocommit = is_autocommit(dialect, fairy.dbapi_connection)
                if not hold.autocommit:
                    hold.begin(())
