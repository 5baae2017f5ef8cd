"""SQLAlchemy's statements: the wraps of a dialect's do_execute and its likes.

They run for each statement, plain and fast (benchmarks/statements.py). What is said here of an
ordinary one, `txprof/_fast.c` does as well.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

from txprof import collector, compiled, context, entries, policy, visits
from txprof.clock import Clock, clock
from txprof.collector import entries_here
from txprof.context import Hold, Transaction, holds_here
from txprof.model import N_PLUS_ONE, WRITE_LOOP, State
from txprof.places import Place, here, here_in_python
from txprof.safety import drop_own_frame, note_once
from txprof.sensors import exemplars
from txprof.sensors.checkouts import hold_of, holds
from txprof.sensors.exemplars import FAILED
from txprof.sensors.loading import load_of, touched
from txprof.sensors.transactions import sat
from txprof.sql import Effect, Text, text, texts

_LOCKING_TEXTS = 64
"""Distinct writing statements a transaction remembers, to name the tables it locks."""

_CONTROL = frozenset({Effect.BEGIN, Effect.COMMIT, Effect.ROLLBACK})


def execute(original: Any, _dialect: Any) -> Any:
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


def execute_no_params(original: Any, _dialect: Any) -> Any:
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
    statement: str,
    parameters: Any,
    execution: Any,
    since: float,
    until: float,
    failed: bool,
    entered: tuple[entries.Entry, ...] | None = None,
) -> None:
    """What `_fast.c` takes a short cut through; `entered`: what it asked the harness by then."""
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
                    from txprof.sensors.inspecting import inspect_long

                    inspect_long(hold, since)
                    until = clock.now()
        else:
            state = "held" if hold.autocommit and not what else "free"
        place = here(known)
        if what or state == "free":
            _apply(what, hold, statement, place, since, failed=failed)
            if what in _CONTROL:
                return
            transaction = hold.transaction
            state = "held" if transaction is None else "transaction"
        if watched:
            if entered is not None:
                watched = entered
            elif visits.current is not None:
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


def _apply(
    what: Effect, hold: Hold, statement: str, place: Place, since: float, *, failed: bool
) -> None:
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
        hold.begin(place.path)
    if what is Effect.MAY_LOCK and hold.transaction is not None:
        locking = hold.transaction.locking
        if len(locking) < _LOCKING_TEXTS and statement not in locking:
            locking[statement] = place.path


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
