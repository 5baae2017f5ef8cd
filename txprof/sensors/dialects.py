"""SQLAlchemy's dialects: what is sent to a database, seen in the dialect object's own methods.

Here are transactions; statements are in `txprof.sensors.statements`.

Only the object that an engine uses is wrapped, never a class; listeners for Engine events would
slow every statement down (docs/decisions/0002-observing-sqlalchemy.md).
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

from txprof import context, visits
from txprof.clock import clock
from txprof.forking import new_lock
from txprof.places import Start, here
from txprof.safety import drop_own_frame, note_once
from txprof.sensors import exemplars, sessions
from txprof.sensors.autocommit import is_autocommit
from txprof.sensors.checkouts import hold_of, holds, under_way
from txprof.sensors.exemplars import FAILED
from txprof.sensors.statements import execute, execute_no_params
from txprof.sensors.transactions import ended, sat

_BEGIN = Start()

_wrapped: weakref.WeakSet[Any] = weakref.WeakSet()
_lock = new_lock()


def _began(dialect: Any, fairy: Any, frame: FrameType) -> None:
    try:
        hold = hold_of(fairy, frame)
        if hold is not None:
            hold.autocommit = is_autocommit(dialect, fairy.dbapi_connection)
            if not hold.autocommit:
                place = here(_BEGIN)
                hold.begin(place.path)
                if visits.current is not None and hold.transaction is not None:
                    hold.transaction.by = visits.current.opens(place, _BEGIN)
    except Exception as error:
        note_once("the BEGIN sensor", error)


def _ends(fairy: Any, since: float) -> None:
    """COMMIT or ROLLBACK is about to be sent: the last moment to ask who waits."""
    try:
        hold = holds.get(id(fairy.dbapi_connection))
        if hold is not None and hold.session is not None:
            from txprof.sensors.inspecting import inspect_long

            inspect_long(hold, since)
    except Exception as error:
        note_once("the inspection of locks", error)


def _finished(fairy: Any, outcome: str, since: float, frame: FrameType) -> None:
    """COMMIT or ROLLBACK was sent, from `since` on."""
    try:
        hold = holds.get(id(fairy.dbapi_connection))
        if hold is not None and hold.transaction is not None:
            transaction = hold.transaction
            if since - transaction.last >= context.GAP:
                sat(transaction, since, frame)
            hold.end_transaction()
            ended(hold, transaction)
            exemplars.ended(hold, transaction, outcome, since)
    except Exception as error:
        note_once("the COMMIT sensor", error)


def _finishes(fairy: Any, outcome: str, since: float) -> None:
    """A dialect may end a two-phase transaction by other statements, such as its own ROLLBACK."""
    try:
        hold = holds.get(id(fairy.dbapi_connection))
        if hold is not None and hold.transaction is not None:
            hold.transaction.finishing = (outcome, since)
    except Exception as error:
        note_once("the two-phase sensor", error)


def _begin(original: Any, dialect: Any) -> Any:
    reference = weakref.ref(dialect)

    def do_begin(fairy: Any) -> None:
        try:
            original(fairy)
        except BaseException as error:
            drop_own_frame(error)
            raise
        _began(reference(), fairy, sys._getframe())

    return do_begin


def _begin_twophase(original: Any, dialect: Any) -> Any:
    reference = weakref.ref(dialect)

    def do_begin_twophase(connection: Any, xid: Any) -> None:
        try:
            original(connection, xid)
        except BaseException as error:
            drop_own_frame(error)
            raise
        _began(reference(), connection.connection, sys._getframe())

    return do_begin_twophase


def _finish(original: Any, _dialect: Any, outcome: str) -> Any:
    def do_finish(fairy: Any) -> None:
        since = clock.now()
        _ends(fairy, since)
        came = FAILED
        try:
            original(fairy)
            came = outcome
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            _finished(fairy, came, since, sys._getframe())

    return do_finish


def _finish_twophase(original: Any, _dialect: Any, outcome: str) -> Any:
    def do_finish_twophase(connection: Any, xid: Any, *args: Any, **kwargs: Any) -> None:
        fairy = connection.connection
        since = clock.now()
        _ends(fairy, since)
        _finishes(fairy, outcome, since)
        came = FAILED
        try:
            original(connection, xid, *args, **kwargs)
            came = outcome
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            _finished(fairy, came, since, sys._getframe())

    return do_finish_twophase


def _aside(original: Any, _dialect: Any) -> Any:
    """connect and do_ping: their time is not a wait for somebody else's connection."""

    def aside(*args: Any, **kwargs: Any) -> Any:
        checkout = under_way.get()
        if checkout is not None and checkout.aside is None:
            checkout.aside = clock.now()
        try:
            return original(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise

    return aside


def _savepoint(original: Any, _dialect: Any) -> Any:
    def do_savepoint(connection: Any, name: str) -> None:
        try:
            original(connection, name)
        except BaseException as error:
            drop_own_frame(error)
            raise
        if visits.current is not None:
            sessions.began(connection.connection, name)

    return do_savepoint


def _end_savepoint(original: Any, _dialect: Any) -> Any:
    """It is released, or rolled back to, after which SQLAlchemy leaves it."""

    def do_end_savepoint(connection: Any, name: str) -> None:
        try:
            original(connection, name)
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            if visits.current is not None:
                sessions.ended(name)

    return do_end_savepoint


_WRAPS: dict[str, Callable[[Any, Any], Any]] = {
    "do_execute": execute,
    "do_executemany": execute,
    "do_execute_no_params": execute_no_params,
    "do_begin": _begin,
    "do_commit": functools.partial(_finish, outcome="commit"),
    "do_rollback": functools.partial(_finish, outcome="rollback"),
    "do_begin_twophase": _begin_twophase,
    "do_commit_twophase": functools.partial(_finish_twophase, outcome="commit"),
    "do_rollback_twophase": functools.partial(_finish_twophase, outcome="rollback"),
    "do_savepoint": _savepoint,
    "do_release_savepoint": _end_savepoint,
    "do_rollback_to_savepoint": _end_savepoint,
    "connect": _aside,
    "do_ping": _aside,
}

_BEFORE = "_txprof_before"
"""On a wrap of ours: what the dialect object itself had under that name, or None."""


def wrap(dialect: Any) -> None:
    """Put our methods on a dialect object."""
    with _lock:
        if dialect in _wrapped:
            return
        for name, make in _WRAPS.items():
            wrapper = make(getattr(dialect, name), dialect)
            setattr(wrapper, _BEFORE, vars(dialect).get(name))
            setattr(dialect, name, wrapper)
        _wrapped.add(dialect)


def unwrap_all() -> None:
    """Give every dialect object its own methods back."""
    for dialect in list(_wrapped):
        for name in _WRAPS:
            unwrap(dialect, name)
    _wrapped.clear()


def unwrap(dialect: Any, name: str) -> None:
    """Give one of them back."""
    current = vars(dialect).get(name)
    if not hasattr(current, _BEFORE):
        return  # somebody wrapped it again since: theirs would break
    before = getattr(current, _BEFORE)
    if before is None:
        delattr(dialect, name)
    else:
        setattr(dialect, name, before)
