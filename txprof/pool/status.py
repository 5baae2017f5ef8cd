"""The gauges of a pool. Looking never checks a connection out."""

from __future__ import annotations

import sys
from typing import Any

from txprof.model import PoolStatus


def pool_status(engine: Any) -> PoolStatus:
    """See `txprof.pool_status`."""
    pool = _pool_of(engine)
    known = _known(pool)
    alive = set(sys._current_frames())  # by thread id: a thread that ended is not in it
    busy_out = _number(pool, "checkedout")
    idle = _number(pool, "checkedin")
    dead = None
    waiting = None
    if known is not None:
        holds = list(known.busy)
        dead = sum(1 for hold in holds if hold.thread not in alive)
        waiting = sum(1 for checkout in list(known.asking) if checkout.waits)
        if busy_out is None:
            busy_out = len(holds)
    busy = (busy_out or 0) - (dead or 0)
    timeout = getattr(pool, "timeout", None)
    found = timeout() if callable(timeout) else getattr(pool, "_timeout", None)
    return PoolStatus(
        size=_number(pool, "size"),
        connections=(busy_out or 0) + (idle or 0),
        busy=busy,
        idle=idle,
        dead=dead,
        waiting=waiting,
        checkout_timeout=float(found) if isinstance(found, int | float) else None,
    )


def _pool_of(engine: Any) -> Any:
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import Pool

    engine = getattr(engine, "sync_engine", engine)
    if isinstance(engine, Pool):
        return engine
    if isinstance(engine, Engine):
        return engine.pool
    raise TypeError(f"pool_status() takes a SQLAlchemy Engine, AsyncEngine or Pool, not {engine!r}")


def _known(pool: Any) -> Any:
    from txprof.sensors import checkouts, placing

    return checkouts.pools.get(pool) if placing.installed() else None


def _number(pool: Any, name: str) -> int | None:
    value = getattr(pool, name, None)
    if callable(value):
        value = value()
    return value if isinstance(value, int) else None
