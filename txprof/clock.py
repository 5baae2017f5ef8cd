"""Where txprof reads the time.

The references live on an object, not in a module: freezegun replaces `time`'s functions in every
module that names one, and a profiler must not stand still with the program it watches. Tests put a
fake clock here.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Two readings: `now()` in seconds for durations, `wall()` in seconds since the epoch."""

    __slots__ = ("now", "wall")

    def __init__(self, now: Callable[[], float], wall: Callable[[], float]) -> None:
        self.now = now
        self.wall = wall


clock = Clock(time.perf_counter, time.time)
