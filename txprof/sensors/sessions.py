"""The application's transactions inside one of the harness's: savepoints, and those of Sessions.

A Session that is bound to a connection with an open transaction may tell nobody but its listeners
that it began one of its own (`join_transaction_mode`). Listened to only once a harness runs:
they are asked once a transaction, never for a statement.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import wrapt

from txprof import context, visits
from txprof.places import Start, here
from txprof.safety import note_once
from txprof.sensors.checkouts import holds
from txprof.visits import OWN, Inner

_BEGIN = Start()

_hooked = False

_heard: Any = None
"""The `sqlalchemy.orm` whose Sessions are listened to."""


def listen() -> None:
    """Hear of every Session's transactions, once the ORM is imported."""
    global _hooked
    if not _hooked:
        _hooked = True
        wrapt.register_post_import_hook(lambda _module: _attach(), "sqlalchemy.orm")
    elif sys.modules.get("sqlalchemy.orm") is not _heard:  # else it is asked for each test
        _attach()


def unlisten() -> None:
    """No more."""
    global _heard
    _heard = None
    if "sqlalchemy.orm" in sys.modules:
        from sqlalchemy import event
        from sqlalchemy.orm import Session

        for name, listener in _LISTENERS.items():
            if event.contains(Session, name, listener):
                event.remove(Session, name, listener)


def _attach() -> None:
    global _heard
    if "sqlalchemy.orm" not in sys.modules:
        return
    try:
        from sqlalchemy import event
        from sqlalchemy.orm import Session

        for name, listener in _LISTENERS.items():
            if not event.contains(Session, name, listener):
                event.listen(Session, name, listener)
        _heard = sys.modules["sqlalchemy.orm"]
    except Exception as error:
        note_once("the sensor of Sessions", error)


def began(fairy: Any, key: Any, alive: Any = None) -> None:
    """A savepoint or a Session's transaction began: kept if it is inside the harness's."""
    try:
        hold = None if fairy is None else holds.get(id(fairy.dbapi_connection))
        if visits.current is None or hold is None or hold.transaction is None:
            return
        outer = hold.transaction
        if isinstance(outer.by, visits.Visit):
            return
        place = here(_BEGIN)
        by = visits.current.opens(place, _BEGIN)
        if by is not None and by is not OWN:
            inner = Inner(key, by, place.path, len(outer.locking), alive)
            hold.inner = [*hold.inner, inner]
            context.notify(hold)
    except Exception as error:
        note_once("the sensor of inner transactions", error)


def ended(key: Any) -> None:
    """It was released, rolled back or closed; whatever nests in it as well."""
    try:
        for hold in list(holds.values()):
            for index, inner in enumerate(hold.inner):
                if inner.key == key:
                    hold.inner = hold.inner[:index]
                    break
    except Exception as error:
        note_once("the sensor of inner transactions", error)


def _after_begin(_session: Any, transaction: Any, connection: Any) -> None:
    if visits.current is not None:
        fairy = getattr(connection, "_dbapi_connection", None)  # private
        began(fairy, id(transaction), transaction)


def _after_transaction_end(_session: Any, transaction: Any) -> None:
    if visits.current is not None:
        ended(id(transaction))


_LISTENERS: dict[str, Callable[..., None]] = {
    "after_begin": _after_begin,
    "after_transaction_end": _after_transaction_end,
}
