"""Line times by sys.monitoring, CPython 3.12 and newer.

Only local events are used for lines, so that the libraries beneath a profiled line, and every other
thread, run at full speed. What cannot be local (leaving a frame by an exception, being thrown into)
is watched process-wide while any function is attached; it costs where exceptions pass, only.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from dis import opmap
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_ITERABLE_COROUTINE
from types import CodeType, FrameType, FunctionType
from typing import Any

from txprof import context
from txprof.clock import clock
from txprof.collector import Collector, active
from txprof.forking import new_lock
from txprof.lines.files import nested
from txprof.lines.running import PAUSED, Running, Tables
from txprof.recorded import FunctionRow

logger = logging.getLogger("txprof")

_TOOL_IDS = (4, 3, 5, 2)
"""In the order in which we take a free one; 0 is the debuggers', 1 coverage's."""

_THROW_REPEATS_LINE = sys.version_info >= (3, 13)
"""An exception thrown into an `await` or `yield from` fires its line's event once more."""


def _delegates(code: CodeType, offset: int) -> bool:
    """Whether what is resumed there was suspended in an `await` or `yield from`."""
    opcode, argument = code.co_code[offset : offset + 2]
    return opcode == opmap["RESUME"] and argument & 3 > 1


_COROUTINE = CO_COROUTINE | CO_ITERABLE_COROUTINE


class MonitoringTimer:
    """See `txprof.lines.LineTimer`."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._paused: dict[int, Running] = {}
        """Generators between two values, by the id of their frame."""
        self._lock = new_lock()
        self._tool: int | None = None

    def attach(
        self, functions: Iterable[FunctionType], collector: Collector, *, by_file: bool = False
    ) -> None:
        """From now on, calls of these functions are timed where `collector` watches."""
        codes = [function.__code__ for function in functions]
        if by_file:
            codes += [inner for code in codes for inner in nested(code)]
        self.attach_codes(codes, collector, by_name=not by_file)

    def attach_codes(
        self, codes: Iterable[CodeType], collector: Collector, *, by_name: bool = True
    ) -> None:
        """The same, of functions known by their code."""
        codes = list(codes)
        with self._lock:
            if not codes or (self._tool is None and not self._take_tool()):
                return
            assert self._tool is not None
            for code in codes:
                self._tables.want(code, collector, by_name=by_name)
                sys.monitoring.set_local_events(self._tool, code, self._local_events())

    def has(self, code: CodeType, collector: Collector) -> bool:
        """Whether `collector` has this code timed already."""
        timed = self._tables.timed.get(id(code))
        return timed is not None and collector in timed.collectors

    def rows(self, collector: Collector) -> list[FunctionRow]:
        """What was gathered for `collector` so far."""
        return self._tables.rows(collector)

    def release(self, collector: Collector) -> None:
        """Let go of a collector that has its rows, and of the functions that only it wanted."""
        with self._lock:
            for frame_id, record in list(self._paused.items()):
                # Dropped generators among them: no event told of their end.
                if record.table.watchers == (collector,):
                    self._paused.pop(frame_id, None)
            for code in self._tables.release(collector):
                if self._tool is not None:
                    sys.monitoring.set_local_events(self._tool, code, 0)
            if not self._tables.timed and self._tool is not None:
                self._give_tool_back()

    def _local_events(self) -> int:
        events = sys.monitoring.events
        return int(
            events.PY_START | events.PY_RESUME | events.PY_RETURN | events.PY_YIELD | events.LINE
        )

    def _take_tool(self) -> bool:
        monitoring = sys.monitoring
        for tool in _TOOL_IDS:
            if monitoring.get_tool(tool) is None:
                monitoring.use_tool_id(tool, "txprof")
                break
        else:
            owners = ", ".join(str(monitoring.get_tool(tool)) for tool in _TOOL_IDS)
            logger.warning(
                "txprof shows no line times: every sys.monitoring tool id is taken (%s)", owners
            )
            return False
        self._tool = tool
        events = monitoring.events
        for event, callback in (
            (events.PY_START, self._started),
            (events.PY_RESUME, self._resumed),
            (events.PY_THROW, self._thrown),
            (events.PY_RETURN, self._returned),
            (events.PY_YIELD, self._yielded),
            (events.PY_UNWIND, self._unwound),
            (events.LINE, self._line_callback()),
        ):
            monitoring.register_callback(tool, event, callback)
        monitoring.set_events(tool, events.PY_UNWIND | events.PY_THROW)
        return True

    def _give_tool_back(self) -> None:
        monitoring = sys.monitoring
        tool, self._tool = self._tool, None
        assert tool is not None
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)

    # The callbacks. `sys._getframe(1)` is the frame that the event is about.

    def _line_callback(self) -> Any:
        running = self._tables.running
        getframe = sys._getframe

        # Runs for every line: plain and fast (benchmarks/lines.py).
        def line(_code: CodeType, number: int) -> None:
            record = running.get(getframe(1))
            if record is not None:
                time = clock.now()
                record.column[record.index] += time - record.since
                record.since = time
                record.index = index = number - record.first
                record.hits[index] += 1

        return line

    def _started(self, code: CodeType, _offset: int) -> None:
        table = self._tables.table(code, active())
        if table is not None:
            table.calls += 1
            self._tables.running[sys._getframe(1)] = Running(table, context.own())

    def _returned(self, _code: CodeType, _offset: int, _value: object) -> None:
        record = self._tables.running.pop(sys._getframe(1), None)
        if record is not None:
            record.finish()

    def _unwound(self, code: CodeType, _offset: int, _error: BaseException) -> None:
        if id(code) in self._tables.timed:
            record = self._tables.running.pop(sys._getframe(1), None)
            if record is not None:
                record.finish()

    def _yielded(self, code: CodeType, _offset: int, value: object) -> None:
        frame = sys._getframe(1)
        record = self._tables.running.get(frame)
        if record is None:
            return
        now = clock.now()
        if code.co_flags & _COROUTINE or (
            code.co_flags & CO_ASYNC_GENERATOR
            and type(value).__name__ != "async_generator_wrapped_value"
        ):
            record.suspended = now  # an await: the line goes on until it is resumed
        else:
            record.column[record.index] += now - record.since
            record.since = PAUSED
            # A generator may be dropped here without any event: keep nothing of it alive.
            del self._tables.running[frame]
            self._paused[id(frame)] = record

    def _resumed(self, code: CodeType, _offset: int) -> None:
        self._go_on(code, sys._getframe(1))

    def _thrown(self, code: CodeType, offset: int, _error: BaseException) -> None:
        if id(code) in self._tables.timed:
            frame = sys._getframe(1)
            self._go_on(code, frame)
            record = self._tables.running.get(frame)
            if record is not None and _THROW_REPEATS_LINE and _delegates(code, offset):
                record.hits[record.index] -= 1  # the event that comes next is no new hit

    def _go_on(self, code: CodeType, frame: FrameType) -> None:
        record = self._tables.running.get(frame)
        if record is None:
            record = self._paused.pop(id(frame), None)
            if record is None or record.table.timed.code is not code:
                return  # began before it was attached; or left by a frame that had this id
            self._tables.running[frame] = record
            record.since = clock.now()
        elif record.suspended:
            record.table.awaited[record.index] += clock.now() - record.suspended
            record.suspended = 0.0
