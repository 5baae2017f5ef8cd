"""`lines="auto"`: functions that were seen to open a hold or a transaction are line-profiled.

Without being decorated, from their next call on: every application function on the path that
opened.
CPython 3.12 and newer: on 3.11 a code object cannot be timed without its function.
"""

from __future__ import annotations

import logging
import sys

from txprof import callsite, context
from txprof.collector import active
from txprof.context import Hold
from txprof.forking import new_lock
from txprof.safety import note_once

logger = logging.getLogger("txprof")

_lock = new_lock()
_watching = False


def watch() -> None:
    """From now on, look who opens holds and transactions."""
    global _watching
    with _lock:
        if _watching:
            return
        _watching = True
    if sys.version_info >= (3, 12):
        context.edges.append(_opened)
    else:
        logger.warning('txprof: lines="auto" needs CPython 3.12 or newer: no line times')


def _opened(hold: Hold) -> None:
    """A hold or its transaction opened or ended."""
    if not hold.is_open or (hold.transaction is None and hold.transaction_seconds):
        return  # it ended
    wanted = [collector for collector in active() if collector.settings.lines == "auto"]
    if not wanted:
        return
    try:
        from txprof.lines import timer
        from txprof.lines.monitoring import MonitoringTimer

        line_timer = timer()
        assert isinstance(line_timer, MonitoringTimer)
        codes = [each.f_code for each in callsite.application_frames(sys._getframe(1))]
        for collector in wanted:
            new = [code for code in codes if not line_timer.has(code, collector)]
            if new:
                line_timer.attach_codes(new, collector, by_name=False)
    except Exception as error:
        note_once('lines="auto"', error)
