"""What the user asks of pools: pool_status, log_pool, explain_timeouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txprof.pool.explain import Explanation
    from txprof.pool.logged import PoolLog
    from txprof.profiled import PoolStatus


def pool_status(engine: Any) -> PoolStatus:
    """What an engine's connection pool looks like now; never checks a connection out.

    Raises:
        TypeError: for what is not a SQLAlchemy engine, async engine or pool.
    """
    from txprof.pool.status import pool_status

    return pool_status(engine)


def log_pool(engine: Any, every: float = 10) -> PoolLog:
    """Log a pool's gauges every so many seconds, one line of one shape, to `txprof.pool` at INFO.

    `postgresql+psycopg://app@db/shop: stats (size=5, busy=3, idle=2, waiting=0)`, where "-" is what
    this kind of pool cannot tell. Ends with the engine, or by the result's `stop()`, or at the end
    of its block. Never checks a connection out.

    Raises:
        TypeError: for what is not a SQLAlchemy engine, async engine or pool.
        ValueError: unless `every` is above 0.
    """
    from txprof.pool.logged import log_pool

    return log_pool(engine, every)


def explain_timeouts(engine: Any) -> Explanation:
    """Let a checkout that times out say who had the connections.

    The program's own `sqlalchemy.exc.TimeoutError`, otherwise unchanged, gets a note (PEP 678) that
    lists them, the longest first: thread or task, since when, the line that took it, the line where
    it is now, the statement. Made to be left on in production, without a profile: nothing but a
    small record of each checkout is kept, and no statement is watched. So the statement is the one
    that runs just then; beside a profile, the last one.

    Until the result's `close()`, or the end of its block; also for the pools that
    `Engine.dispose()` makes. Does nothing under TXPROF=0.

    Raises:
        TypeError: for what is not a SQLAlchemy engine, async engine or pool.
    """
    from txprof.pool.explain import explain_timeouts

    return explain_timeouts(engine)
