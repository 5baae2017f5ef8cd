"""The line timer: where the time goes, line by line.

Two engines behind one small protocol: `monitoring` (sys.monitoring, CPython 3.12 and newer) and
`tracing` (line_profiler, 3.11). `timer()` chooses.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable
from types import FunctionType
from typing import Protocol

from txprof.collector import Collector
from txprof.recorded import FunctionRow


class LineTimer(Protocol):
    """Times the lines of functions, in place, for whichever collectors watch where they run.

    A record is kept per running call and folded into its function's totals.
    """

    def attach(
        self, functions: Iterable[FunctionType], collector: Collector, *, by_file: bool = False
    ) -> None:
        """From now on, calls of these functions are timed where `collector` watches.

        `by_file`: named by their file. Those that are never called are not shown, and those that
        are nested in them are timed too, where the interpreter can (3.12 and newer).
        """

    def rows(self, collector: Collector) -> list[FunctionRow]:
        """What was gathered for `collector` so far."""

    def release(self, collector: Collector) -> None:
        """Let go of a collector that has its rows, and of the functions that only it wanted."""


@functools.cache
def timer() -> LineTimer:
    """The engine for this interpreter."""
    if sys.version_info >= (3, 12):
        from txprof.lines.monitoring import MonitoringTimer

        return MonitoringTimer()
    # line_profiler's tracing core is thread-safe and right on 3.11, where there is no
    # sys.monitoring; its sys.monitoring core, on 3.12 and newer, is neither.
    from txprof.lines.tracing import TracingTimer

    return TracingTimer()


def rows(collector: Collector) -> list[FunctionRow]:
    """What the engine gathered for `collector`; most profiles of a test suite time nothing."""
    return timer().rows(collector) if timer.cache_info().currsize else []


def release(collector: Collector) -> None:
    """Have the engine let go of a collector, if there is one."""
    if timer.cache_info().currsize:
        timer().release(collector)
