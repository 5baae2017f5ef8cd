"""`txprof.log_pool`: a pool's gauges in the log, one line of one shape."""

from __future__ import annotations

import logging
import math
import threading
import weakref
from typing import Any

from txprof.pool.status import pool_of, pool_status
from txprof.profiled import PoolStatus
from txprof.safety import note_once
from txprof.settings import enabled

logger = logging.getLogger("txprof.pool")

LINE = "%s: stats (size=%s, busy=%s, idle=%s, waiting=%s)"
"""Always in this order, and "-" for what the pool cannot tell: made to be cut up by machines."""


class PoolLog:
    """Logs until `stop()`, the end of its block, or the end of the engine."""

    def __init__(self, engine: Any, every: float) -> None:
        engine = getattr(engine, "sync_engine", engine)
        self._engine = weakref.ref(engine)
        self._name = _name(engine)
        self._every = every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="txprof-log-pool", daemon=True)
        # The thread ends with the engine, and not up to `every` seconds later.
        self._finalizer = weakref.finalize(engine, self._stopped.set)
        self._finalizer.atexit = False

    def stop(self) -> None:
        """Log no more."""
        self._stopped.set()
        self._finalizer.detach()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    @property
    def is_running(self) -> bool:
        """Whether there is another line to come."""
        return self._thread.is_alive() and not self._stopped.is_set()

    def start(self) -> PoolLog:
        self._thread.start()
        return self

    def __enter__(self) -> PoolLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped.is_set() and self._log():
            self._stopped.wait(self._every)

    def _log(self) -> bool:
        engine = self._engine()
        if engine is None:
            return False
        try:
            logger.info(LINE, *_shown(self._name, pool_status(engine)))
        except Exception as error:
            note_once("the pool's log", error)
        return True


def log_pool(engine: Any, every: float) -> PoolLog:
    """See `txprof.log_pool`."""
    pool_of(engine, "log_pool")
    if isinstance(every, bool) or not isinstance(every, int | float):
        raise TypeError(f"every must be a number of seconds, not {every!r}")
    if not 0 < every <= threading.TIMEOUT_MAX or math.isnan(every):
        raise ValueError(f"every must be a number of seconds above 0, not {every!r}")
    log = PoolLog(engine, every)
    return log.start() if enabled() else log


def _name(engine: Any) -> str:
    """The pool's own name for logs, where the program gave it one; else the engine's URL."""
    pool = pool_of(engine, "log_pool")
    url = getattr(engine, "url", None)
    name = getattr(pool, "logging_name", None)
    if name is None and url is not None:
        name = url.set(query={}).render_as_string(hide_password=True)
    return str(name or type(pool).__name__)


def _shown(name: str, status: PoolStatus) -> tuple[object, ...]:
    gauges = (status.size, status.busy, status.idle, status.waiting)
    return (name, *("-" if gauge is None else gauge for gauge in gauges))
