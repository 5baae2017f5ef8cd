"""The trace function that times lines on CPython 3.11 where line_profiler cannot.

line_profiler knows threads, not greenlets and not coroutines: what is suspended in the middle of a
call loses its tracing, or takes another's. This one knows the frames that run; which of them does
is told by the event itself. It costs more a line, so it is used for these only.
"""

from __future__ import annotations

import logging
import sys
from types import FrameType
from typing import Any

from txprof.clock import clock
from txprof.lines.running import Running
from txprof.perthread import thread_local

logger = logging.getLogger("txprof")

_gave_way = False


class Tracer:
    """Times the lines of the frames that are in `running`."""

    def __init__(self, running: dict[FrameType, Running]) -> None:
        self._running = running
        self._entering: dict[FrameType, TracedCall] = {}
        self._thread = thread_local()

    def called(self, frame: FrameType, _event: str, _value: Any) -> Any:
        """The global trace function: a frame starts, or goes on."""
        if frame in self._running:
            return self.line
        if frame.f_back is not None:
            call = self._entering.pop(frame.f_back, None)
            if call is not None:
                call.frame = frame
                self._running[frame] = call.record
                return self.line
        return None

    def line(self, frame: FrameType, event: str, _value: Any) -> Any:
        """The local one."""
        if event == "line":
            record = self._running.get(frame)
            if record is not None:
                time = clock.now()
                record.column[record.index] += time - record.since
                record.since = time
                record.index = index = frame.f_lineno - record.first
                record.hits[index] += 1
        return self.line

    def start(self) -> None:
        """Trace this thread, until `stop`.

        The greenlets of a thread share its trace function: it stays until all of them have
        stopped. Each has a switch of its own for it, hence `settrace` every time.
        """
        calls = getattr(self._thread, "calls", 0)
        if calls == 0:
            self._thread.before = sys.gettrace()
        self._thread.calls = calls + 1
        sys.settrace(self.called)

    def stop(self) -> None:
        """As often as `start`."""
        self._thread.calls -= 1
        if self._thread.calls == 0:
            sys.settrace(self._thread.before)

    def enter(self, caller: FrameType, record: Running) -> TracedCall:
        """`caller` is about to call a function, whose lines go to `record`."""
        call = self._entering[caller] = TracedCall(self, caller, record)
        self.start()
        return call

    def leave(self, call: TracedCall) -> None:
        """It returned or raised."""
        self.stop()
        self._entering.pop(call.caller, None)
        if call.frame is not None:
            self._running.pop(call.frame, None)
        call.record.finish()


class TracedCall:
    """A call of a plain function whose lines a `Tracer` times."""

    __slots__ = ("_tracer", "caller", "frame", "record")

    def __init__(self, tracer: Tracer, caller: FrameType, record: Running) -> None:
        self._tracer = tracer
        self.caller = caller
        self.frame: FrameType | None = None
        self.record = record

    def leave(self) -> None:
        """It returned or raised."""
        self._tracer.leave(self)


def may_trace() -> bool:
    """Whether no foreign tracer has this thread; says so, once, if one has."""
    global _gave_way
    tracer = sys.gettrace()
    if tracer is None or isinstance(getattr(tracer, "__self__", None), Tracer):
        return True
    if type(tracer).__module__.startswith("line_profiler"):
        return True  # a profiled function further out: it goes on after us
    if not _gave_way:
        _gave_way = True
        logger.warning(
            "txprof shows no line times of coroutines, generators and greenlets: %r traces this "
            "thread, and Python 3.11 has room for one tracer (3.12 and newer have sys.monitoring)",
            tracer,
        )
    return False


def among_greenlets() -> bool:
    """Whether what runs here may be suspended in the middle of a line, and others run."""
    if "gevent" in sys.modules:
        return True
    greenlet = sys.modules.get("greenlet")
    try:
        return greenlet is not None and greenlet.getcurrent().parent is not None
    except AttributeError:  # half imported
        return False
