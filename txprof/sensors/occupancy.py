"""How many connections of a pool are out over time, and how long workers do without one."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Sequence

from txprof.clock import clock
from txprof.collector import Collector
from txprof.pooled import PoolRow

_SWEPT = 256
"""Workers from which on those that ended are looked for."""


class Occupancy:
    """The connections of a pool that are out, and who is told for how long they were so many."""

    __slots__ = ("_changed_at", "_engine", "_epoch", "_level", "_lock", "_watching")

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._level = 0
        self._changed_at = 0.0
        self._epoch = clock.wall() - clock.now()
        self._lock = threading.Lock()  # threads change it, each after having read it
        self._watching: dict[int, weakref.ref[Collector]] = {}

    def changed(self, by: int, now: float, watchers: Sequence[Collector]) -> None:
        """One more is out, or one less. Those who watched the last change learn of the time since.

        Whoever holds is counted, whether it is watched or not: they share the pool.
        """
        with self._lock:
            level, since = self._level, self._changed_at
            self._level = level + by
            self._changed_at = max(now, self._changed_at)
        for key, reference in tuple(self._watching.items()):
            watcher = reference()
            if watcher is None or not watcher.is_running:
                self._watching.pop(key, None)
                continue
            row = watcher.pool(self._engine)
            begin = max(since, watcher.running_since)
            if begin <= now:
                row.busy[level] = row.busy.get(level, 0.0) + now - begin
                row.course.note(begin + self._epoch, now + self._epoch, level)
        for watcher in watchers:
            if id(watcher) not in self._watching:
                self._watching[id(watcher)] = weakref.ref(watcher)

    def waited(self, row: PoolRow, since: float, seconds: float) -> None:
        """A checkout did, before it was answered or gave up."""
        row.course.note_wait(since + self._epoch, since + seconds + self._epoch)


Worker = int | weakref.ref[object]
"""A thread's number, or weakly an asyncio task."""


class Returns:
    """When workers that hold nothing gave their last connection back."""

    __slots__ = ("_at", "_limit")

    def __init__(self) -> None:
        self._at: dict[Worker, float] = {}
        self._limit = _SWEPT

    def note(self, worker: Worker, now: float) -> None:
        """It gave one back."""
        if not isinstance(worker, int) and worker() is None:
            return  # a task that ended: it asks for none any more
        self._at[worker] = now
        if len(self._at) > self._limit:
            self._sweep()

    def since(self, worker: Worker, now: float) -> float | None:
        """Seconds since it did, as it asks anew; None if that was never seen, or it holds one."""
        at = self._at.pop(worker, None)
        return None if at is None else max(0.0, now - at)

    def _sweep(self) -> None:
        alive = sys._current_frames()
        for worker in list(self._at):
            if (worker not in alive) if isinstance(worker, int) else worker() is None:
                self._at.pop(worker, None)
        alive.clear()  # our own frame is in it: a cycle
        self._limit = max(_SWEPT, 2 * len(self._at))
