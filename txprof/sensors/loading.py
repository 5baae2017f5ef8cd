"""What the ORM sent a statement for: a load, as its execution context tells, or a flush.

No ORM event is listened to: those slow every statement down.
The names of SQLAlchemy's that start with an underscore, and `current_path`, are private: where one
is gone, a load is a plain SELECT, and bursts of it are found as such (tests/test_n_plus_one.py).
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from txprof import callsite, collector
from txprof.entries import Statement, flush_here
from txprof.recorded import Load
from txprof.safety import drop_own_frame, passing_for
from txprof.sensors.placing import Target, only_where

_PLAIN = Load()
_EAGER = Load("eager")


def load_of(execution: Any) -> Load:
    """Asked once for each distinct statement and call path in an entry."""
    try:
        options = execution.execution_options.get("_sa_orm_load_options")
        if options is None:
            return _PLAIN
        state = getattr(execution.compiled, "compile_state", None)
        parent = options._lazy_loaded_from
        path = [] if state is None else _properties(state.current_path.path)
        if parent is not None:
            return _relationship(path, _properties(parent.load_path.path))
        if options._refresh_state is not None:
            return _attribute(options._refresh_state, state)
        return _EAGER if path else _PLAIN
    except Exception:  # another version of SQLAlchemy
        return _PLAIN


def touched(row: Statement) -> None:
    """Let the path of a lazy load begin at the line that touched the attribute.

    A Session of the application's own, with an `execute` that the ORM calls, stands further in.
    """
    if row.load.kind not in ("relationship", "attribute"):
        return
    inner = 0
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") != "sqlalchemy.orm.attributes":
        inner += callsite.is_application(frame.f_code.co_filename)
        frame = frame.f_back
    if inner and frame is not None:
        row.path, row.asking = row.path[inner:], row.asking[inner:]


def _properties(path: Any) -> list[Any]:
    """The relationships on a path of mappers and relationships by turns."""
    return [step for step in path if hasattr(step, "uselist") and hasattr(step, "key")]


def _relationship(path: list[Any], parents: list[Any]) -> Load:
    relationship = path[-1]
    steps = [*parents, relationship]
    # Where it was loaded within an eager load, the one path begins with the other.
    option = ".".join(
        f"{'selectinload' if step.uselist else 'joinedload'}({_named(step)})" for step in steps
    )
    return Load("relationship", _named(relationship), option)


def _attribute(refreshed: Any, state: Any) -> Load:
    """Expired or deferred attributes of one object, loaded when one of them was read."""
    mapper = refreshed.mapper
    owner = mapper.class_.__name__
    wanted = getattr(state.compile_options, "_only_load_props", None) if state is not None else None
    names = sorted(wanted or ())
    deferred = [name for name in names if getattr(mapper.attrs[name], "deferred", False)]
    if deferred and len(deferred) == len(names):
        option = ", ".join(f"undefer({owner}.{name})" for name in deferred)
        return Load("attribute", f"{owner}.{deferred[0]}", option)
    name = f"{owner}.{names[0]}" if len(names) == 1 else owner
    return Load("attribute", name, None)


def _named(relationship: Any) -> str:
    return f"{relationship.parent.class_.__name__}.{relationship.key}"


def _flush(wrapped: Any, _session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The writes of one flush are one write, and what it probes for is none of the program's."""
    token = flush_here.set(object())
    try:
        return wrapped(*args, **kwargs)
    except BaseException as error:
        drop_own_frame(error)
        raise
    finally:
        flush_here.reset(token)


_FLUSH = only_where(collector.watches)(passing_for("sqlalchemy.orm.session", _flush))

# `flush` runs before each statement of the ORM (autoflush), and calls `_flush` where there is
# something to write.
TARGETS = (Target("sqlalchemy.orm.session", "Session._flush", _FLUSH),)
