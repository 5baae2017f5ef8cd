"""The gauges of a pool. Looking never checks a connection out."""

from __future__ import annotations

from typing import Any

from txprof.pool.holders import holders, out_of, sensed
from txprof.profiled import PoolStatus


def pool_status(engine: Any) -> PoolStatus:
    """See `txprof.pool_status`."""
    pool = pool_of(engine, "pool_status")
    known = sensed(pool)
    out = out_of(pool)
    size, idle = _number(pool, "size"), _number(pool, "checkedin")
    checked_out = _number(pool, "checkedout")
    if checked_out is None and out is not None:
        checked_out = len(out)
    dead = None if out is None else sum(1 for one in out if one.is_dead)
    connections = checked_out if idle is None or checked_out is None else checked_out + idle
    timeout = getattr(pool, "timeout", None)
    found = timeout() if callable(timeout) else getattr(pool, "_timeout", None)
    limit = getattr(pool, "_max_overflow", None)  # private
    return PoolStatus(
        size=size,
        connections=connections,
        busy=None if checked_out is None else max(0, checked_out - (dead or 0)),
        idle=idle,
        dead=dead,
        waiting=_waiting(pool, known),
        checkout_timeout=float(found) if isinstance(found, int | float) else None,
        overflow=_overflow(pool, connections, size),
        max_overflow=limit if isinstance(limit, int) and limit >= 0 else None,
        held_by=() if out is None else holders(out),
    )


def pool_of(engine: Any, who: str) -> Any:
    """The pool of an engine; or the pool itself."""
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import Pool

    engine = getattr(engine, "sync_engine", engine)
    if isinstance(engine, Pool):
        return engine
    if isinstance(engine, Engine):
        return engine.pool
    raise TypeError(f"{who}() takes a SQLAlchemy Engine, AsyncEngine or Pool, not {engine!r}")


def _overflow(pool: Any, connections: int | None, size: int | None) -> int | None:
    if not hasattr(pool, "overflow") or connections is None or size is None:
        return None
    return max(0, connections - size)


def _waiting(pool: Any, known: Any) -> int | None:
    if known is not None:
        return sum(1 for checkout in list(known.asking) if checkout.waits)
    queue = getattr(pool, "_pool", None)  # private, as what follows: else nobody can tell
    threads = getattr(getattr(queue, "not_empty", None), "_waiters", None)
    if threads is not None:
        return len(threads)
    if hasattr(type(queue), "_queue"):  # asyncio's, made when it is first asked
        tasks = getattr(vars(queue).get("_queue"), "_getters", ())
        return sum(1 for task in list(tasks) if not task.done())
    return None


def _number(pool: Any, name: str) -> int | None:
    value = getattr(pool, name, None)
    if callable(value):
        value = value()
    return value if isinstance(value, int) else None
