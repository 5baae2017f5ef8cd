"""SQLAlchemy's dialects: transactions and statements, seen in the dialect object's own methods.

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

from txprof import collector, compiled, context, entries, policy, visits
from txprof.clock import Clock, clock
from txprof.collector import entries_here
from txprof.context import Hold, Transaction, holds_here
from txprof.forking import new_lock
from txprof.model import State
from txprof.places import Place, Start, here, here_in_python
from txprof.rules.queries import N_PLUS_ONE, WRITE_LOOP
from txprof.safety import drop_own_frame, note_once
from txprof.sensors import exemplars, sessions
from txprof.sensors.autocommit import is_autocommit
from txprof.sensors.checkouts import hold_of, holds, under_way
from txprof.sensors.exemplars import FAILED
from txprof.sensors.inspecting import inspect_long
from txprof.sensors.loading import load_of, touched
from txprof.sensors.transactions import ended, sat
from txprof.sql import Effect, Text, text, texts

_LOCKING_TEXTS = 64
"""Distinct writing statements a transaction remembers, to name the tables it locks."""

_BEGIN, _BEGIN_TEXT, _LOCK = Start(), Start(), Start()

_CONTROL = frozenset({Effect.BEGIN, Effect.COMMIT, Effect.ROLLBACK})

_wrapped: weakref.WeakSet[Any] = weakref.WeakSet()
_lock = new_lock()


def _began(dialect: Any, fairy: Any, frame: FrameType) -> None:
    try:
        hold = hold_of(fairy, frame)
        if hold is not None:
            hold.autocommit = is_autocommit(dialect, fairy.dbapi_connection)
            if not hold.autocommit:
                hold.begin(here(_BEGIN).path)
                if visits.current is not None and hold.transaction is not None:
                    hold.transaction.by = visits.current.opens(frame)
    except Exception as error:
        note_once("the BEGIN sensor", error)


def _ends(fairy: Any, since: float) -> None:
    """COMMIT or ROLLBACK is about to be sent: the last moment to ask who waits."""
    try:
        hold = holds.get(id(fairy.dbapi_connection))
        if hold is not None and hold.session is not None:
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
            sessions.began(connection.connection, name, sys._getframe())

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


# --- statements: run for each of them, plain and fast (benchmarks/statements.py) -----------------


def _execute(original: Any, _dialect: Any) -> Any:
    """do_execute and do_executemany."""

    def do_execute(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        since = clock.now()
        try:
            original(cursor, statement, parameters, context)
        except BaseException as error:
            _executed(statement, parameters, context, since, clock.now(), True)
            drop_own_frame(error)
            raise
        _executed(statement, parameters, context, since, clock.now(), False)

    return _compiled(original, do_execute, 4)


def _execute_no_params(original: Any, _dialect: Any) -> Any:
    def do_execute_no_params(cursor: Any, statement: str, context: Any = None) -> None:
        since = clock.now()
        try:
            original(cursor, statement, context)
        except BaseException as error:
            _executed(statement, (), context, since, clock.now(), True)
            drop_own_frame(error)
            raise
        _executed(statement, (), context, since, clock.now(), False)

    return _compiled(original, do_execute_no_params, 3)


def _compiled(original: Any, wrap: Any, arguments: int) -> Any:
    """The same wrap in `_fast.c`, where that was built: without a frame of its own."""
    if compiled.fast is None:
        return wrap
    short_cut = functools.partial(compiled.fast.execute, original, wrap, arguments)
    return functools.update_wrapper(short_cut, wrap)


# What `_fast.c` asks. `here` counts frames: these stand where the wrap's and `_executed`'s would.


def _out_of_the_ordinary(*seen: Any) -> None:
    _executed(*seen)


def _find(known: Text) -> Place:
    return _found(known)


def _found(known: Text) -> Place:
    return here_in_python(known)


def _executed(
    statement: str, parameters: Any, execution: Any, since: float, until: float, failed: bool
) -> None:
    """What `_fast.c` takes a short cut through."""
    try:
        watched = entries_here.get()
        if collector.blocks:
            watched = collector.with_blocks(watched) if watched else collector.blocks
        try:
            known = texts[statement]
        except KeyError:
            known = text(statement)
        what = known.effect
        if (not watched and not what) or execution is None:
            return
        connection = execution.root_connection
        try:
            fairy = connection._dbapi_connection  # private, and what `.connection` returns
        except AttributeError:
            fairy = connection.connection
        try:
            hold = holds[id(fairy.dbapi_connection)]
        except KeyError:
            opened = hold_of(fairy, sys._getframe(2))
            if opened is None:
                return
            hold = opened
        hold.statement = statement
        if hold not in holds_here.get():
            context.adopt(hold)
        seconds = until - since
        hold.statement_seconds += seconds
        state: State
        transaction = hold.transaction
        if transaction is not None:
            state = "transaction"
            if since - transaction.last >= context.GAP and watched:
                sat(transaction, since, sys._getframe(2))  # before what this statement locks
                if hold.session is not None:
                    inspect_long(hold, since)
                    until = clock.now()
        else:
            state = "held" if hold.autocommit and not what else "free"
        if what or state == "free":
            _apply(what, hold, statement, since, failed=failed)
            if what in _CONTROL:
                return
            transaction = hold.transaction
            state = "held" if transaction is None else "transaction"
        if watched:
            place = here(known)
            if visits.current is not None:
                watched = visits.current.entered(watched, hold, place, known, 2)
            key = (statement, state, place)
            if transaction is not None:
                transaction.last = until
                transaction.key = key
                transaction.statement_seconds += seconds
                if len(ran := transaction.ran) < context.RAN:
                    ran += (since, until, key, watched, failed)
                else:
                    transaction.dropped += 1
            for entry in watched:
                new = entry.statement(key, seconds, parameters, known.writes)
                if new is not None:
                    new.load = load_of(execution)
                    touched(new)
                    rule = N_PLUS_ONE if known.reads else WRITE_LOOP
                    new.allowed = policy.allowed_here(rule, entry.collector)
    except Exception as error:
        note_once("the statement sensor", error)


def _apply(what: Effect, hold: Hold, statement: str, since: float, *, failed: bool) -> None:
    """What the text itself does to the transaction; SQLAlchemy's own calls are seen above."""
    if what is Effect.COMMIT or what is Effect.ROLLBACK:
        transaction = hold.transaction
        hold.end_transaction()
        if transaction is not None:
            outcome = "commit" if what is Effect.COMMIT else "rollback"
            exemplars.ended(hold, transaction, FAILED if failed else outcome, since)
    elif failed:
        return
    elif what is Effect.BEGIN or (hold.transaction is None and not hold.autocommit):
        # The second: after a COMMIT sent as text the driver begins anew by itself.
        hold.begin(here(_BEGIN_TEXT).path)
    if what is Effect.MAY_LOCK and hold.transaction is not None:
        locking = hold.transaction.locking
        if len(locking) < _LOCKING_TEXTS and statement not in locking:
            locking[statement] = here(_LOCK).path


compiled.bind(
    Clock=Clock,
    Entry=entries.Entry,
    Hold=Hold,
    Statement=entries.Statement,
    Text=Text,
    Transaction=Transaction,
    clock=clock,
    collector=vars(collector),
    context=vars(context),
    entries=vars(entries),
    entries_here=entries_here,
    executed=_out_of_the_ordinary,
    find=_find,
    flush_here=entries.flush_here,
    held_state="held",
    holds=holds,
    holds_here=holds_here,
    locking_texts=_LOCKING_TEXTS,
    may_lock=Effect.MAY_LOCK,
    no_parameters=(),
    note_once=note_once,
    plain=Effect.NONE,
    texts=texts,
    transaction_state="transaction",
    visits=vars(visits),
    with_blocks=collector.with_blocks,
)

_WRAPS: dict[str, Callable[[Any, Any], Any]] = {
    "do_execute": _execute,
    "do_executemany": _execute,
    "do_execute_no_params": _execute_no_params,
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
