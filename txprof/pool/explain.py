"""`txprof.explain_timeouts`: a checkout's TimeoutError says who had the connections.

Two methods of the pool object are wrapped, no more: `connect`, to note who takes what (and to add
the note to the error), and `recreate`, by which `Engine.dispose` makes the next pool. Events of the
pool would do; but to remove a listener while another thread's checkout walks the listeners would
break that checkout.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from txprof.model import Holder
from txprof.pool.holders import holders_of
from txprof.pool.status import pool_of
from txprof.pool.taken import Checkouts
from txprof.safety import drop_own_frame, note_once
from txprof.settings import enabled

_LISTED = 20
"""Holders in a note: the longest."""

_WIDTH = 200
"""Characters of a statement in it."""

_OURS = "_txprof_wraps"

records: weakref.WeakKeyDictionary[Any, Checkouts] = weakref.WeakKeyDictionary()
"""By pool, of those that are watched."""

_lock = threading.RLock()


class Explanation:
    """Timeouts are explained until it is closed: by `close()`, or at the end of its block."""

    __slots__ = ("is_open",)

    def __init__(self, *, is_open: bool = True) -> None:
        self.is_open = is_open
        """Whether timeouts are explained on its behalf."""

    def close(self) -> None:
        """From now on errors are as they were, and the pool's methods its own."""
        with _lock:
            self.is_open = False
            for pool, noted in list(records.items()):
                if self in noted.users:
                    noted.users.remove(self)
                    _unwrap_unused(pool, noted)

    def __enter__(self) -> Explanation:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def explain_timeouts(engine: Any) -> Explanation:
    """See `txprof.explain_timeouts`."""
    pool = pool_of(engine, "explain_timeouts")
    if not enabled():
        return Explanation(is_open=False)
    explanation = Explanation()
    with _lock:
        _watch(pool, [explanation])
    return explanation


def undo_all() -> None:
    """Close every explanation that there is."""
    with _lock:
        for pool, noted in list(records.items()):
            for explanation in noted.users:
                if isinstance(explanation, Explanation):
                    explanation.is_open = False
            noted.users.clear()
            _unwrap_unused(pool, noted)


def _watch(pool: Any, users: Iterable[object]) -> None:
    noted = records.get(pool)
    if noted is None:
        noted = records[pool] = Checkouts()
        pool.connect = _connect(pool.connect, noted, weakref.ref(pool))
        pool.recreate = _recreate(pool.recreate, noted)
    noted.users.extend(users)


def _unwrap_unused(pool: Any, noted: Checkouts) -> None:
    if noted.users:
        return
    del records[pool]
    for name in ("connect", "recreate"):
        # Where somebody wrapped it again since, ours stays beneath, and does nothing.
        if hasattr(vars(pool).get(name), _OURS):
            before = getattr(vars(pool)[name], _OURS)
            if getattr(before, "__self__", None) is pool:
                delattr(pool, name)
            else:
                setattr(pool, name, before)


def _connect(original: Callable[[], Any], noted: Checkouts, pool: weakref.ref[Any]) -> Any:
    note, users = noted.note, noted.users

    def connect() -> Any:
        try:
            fairy = original()
        except BaseException as error:
            if users and isinstance(error, sys.modules["sqlalchemy.exc"].TimeoutError):
                _explain(error, pool())
            drop_own_frame(error)
            raise
        if users:
            try:
                note(fairy)
            except Exception as error:
                note_once("the record of a checkout", error)
        return fairy

    setattr(connect, _OURS, original)
    return connect


def _recreate(original: Callable[[], Any], noted: Checkouts) -> Any:
    def recreate() -> Any:
        new = original()
        with _lock:
            if noted.users:
                _watch(new, noted.users)
        return new

    setattr(recreate, _OURS, original)
    return recreate


def _explain(error: BaseException, pool: Any) -> None:
    try:
        if not any(note.startswith(_HEAD) for note in getattr(error, "__notes__", ())):
            error.add_note("\n".join(lines(holders_of(pool))))
    except Exception as problem:
        note_once("the explanation of a timeout", problem)


_HEAD = "txprof: "


def lines(found: tuple[Holder, ...]) -> Iterator[str]:
    """What the note says, a line a holder, the longest first."""
    if not found:
        yield f"{_HEAD}nobody was seen to take a connection; those that are out were taken before"
        return
    many = f"{len(found)} connections were" if len(found) > 1 else "1 connection was"
    yield f"{_HEAD}{many} held, the longest first:"
    for holder in found[:_LISTED]:
        places = []
        if holder.taken is not None:
            places.append("taken at {}:{} {}".format(*holder.taken))
        if holder.now is not None:
            places.append("now at {}:{} {}".format(*holder.now))
        if holder.statement is not None:
            statement = " ".join(holder.statement.split())
            short = statement if len(statement) <= _WIDTH else statement[: _WIDTH - 3] + "..."
            places.append(f"statement: {short}")
        yield "  " + ", ".join([f"{holder.owner} for {holder.seconds:.3f} s", *places])
    if len(found) > _LISTED:
        yield f"  and {len(found) - _LISTED} more"
