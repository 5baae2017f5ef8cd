"""Line times of coroutines and generators on CPython 3.11.

line_profiler cannot time these: it closes a line at each suspension, and misses what runs between
a resumption and the next line. Here a driver resumes them, and a trace function of our own, set
only while a step runs, times their lines as sys.monitoring does on 3.12. Where another tracer
(coverage, a debugger) has the thread, it keeps it, and the call goes without line times.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Generator
from types import CodeType, FrameType
from typing import Any

from txprof.around import first_step
from txprof.clock import clock
from txprof.lines.running import PAUSED, Running
from txprof.lines.tracer import Tracer
from txprof.safety import drop_own_frame

STEPPED = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Stepper:
    """Times the lines of one call of a coroutine function or generator function."""

    __slots__ = ("_awaits", "_frame", "_record", "_running", "_tracer", "_yields_by_stop")

    def __init__(
        self,
        frame: FrameType,
        record: Running,
        running: dict[FrameType, Running],
        tracer: Tracer,
    ) -> None:
        flags = frame.f_code.co_flags
        self._awaits = not flags & inspect.CO_GENERATOR
        self._yields_by_stop = bool(flags & inspect.CO_ASYNC_GENERATOR)
        self._frame = frame
        self._record = record
        self._running = running
        self._tracer = tracer
        record.since = PAUSED

    def step(self, resume: Callable[[Any], Any], argument: Any) -> Any:
        """Run to the next suspension, value or end."""
        record = self._record
        now = clock.now()
        if record.suspended:
            record.table.awaited[record.index] += now - record.suspended
            record.suspended = 0.0
        if record.since is PAUSED:
            record.since = now
        self._running[self._frame] = record
        self._tracer.start()
        try:
            value = resume(argument)
        except BaseException as error:
            self._tracer.stop()
            if self._yields_by_stop and isinstance(error, StopIteration):
                self._pause()  # how an async generator's step gives its value
            else:
                self.finish()
            drop_own_frame(error)
            raise
        self._tracer.stop()
        if self._awaits:
            record.suspended = clock.now()
        else:
            self._pause()
        return value

    def finish(self) -> None:
        """It will not run again."""
        self._running.pop(self._frame, None)
        self._record.finish()
        self._record.since = PAUSED

    def _pause(self) -> None:
        """The consumer has the value; its time is not ours."""
        record = self._record
        record.column[record.index] += clock.now() - record.since
        record.since = PAUSED
        self._running.pop(self._frame, None)


Begin = Callable[[CodeType, FrameType], Stepper | None]


def driver(code: CodeType, inner: Callable[..., Any], begin: Begin) -> Callable[..., Any]:
    """What an attached function's prologue calls: `inner`, with its lines timed.

    For an async generator function: the generator, its first step, and what drives one step of it.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        made = inner(*args, **kwargs)
        if code.co_flags & inspect.CO_ASYNC_GENERATOR:
            stepper = begin(code, made.ag_frame)
            return made, first_step(made), lambda step: _awaitable(step, stepper)
        if code.co_flags & inspect.CO_COROUTINE:
            return _awaitable(made, begin(code, made.cr_frame))
        return _steps(made, begin(code, made.gi_frame))

    return call


def _steps(driven: Any, stepper: Stepper | None) -> Generator[Any, Any, Any]:
    """Drive a generator, or what stands behind an `await`, step by step."""
    resume, argument = driven.send, None
    while True:
        try:
            value = resume(argument) if stepper is None else stepper.step(resume, argument)
        except StopIteration as stop:
            return stop.value
        except BaseException as error:
            drop_own_frame(error)
            raise
        try:
            argument = yield value
            resume = driven.send
        except GeneratorExit:
            if stepper is None:
                driven.close()
            else:
                stepper.step(lambda _: driven.close(), None)
                stepper.finish()
            raise
        except BaseException as error:
            drop_own_frame(error)
            resume, argument = driven.throw, error


_awaitable = types.coroutine(_steps)


# The prologues: each of the nature of the function whose code it stands in for, with "call"
# replaced by what `driver` made. They run with the globals of that function: builtins only.

GENERATOR_PROLOGUE = """
def _prologue({parameters}):
    _txprof_call = "call"
    try:
        return (yield from _txprof_call({arguments}))
    except BaseException as error:
        error.__traceback__ = error.__traceback__.tb_next
        raise
"""

COROUTINE_PROLOGUE = """
async def _prologue({parameters}):
    _txprof_call = "call"
    try:
        return await _txprof_call({arguments})
    except BaseException as error:
        error.__traceback__ = error.__traceback__.tb_next
        raise
"""

ASYNC_GENERATOR_PROLOGUE = """
async def _prologue({parameters}):
    _txprof_call = "call"
    generator, step, drive = _txprof_call({arguments})
    while True:
        try:
            value = await drive(step)
        except StopAsyncIteration:
            return
        except BaseException as error:
            error.__traceback__ = error.__traceback__.tb_next
            raise
        try:
            step = generator.asend((yield value))
        except BaseException as error:
            error.__traceback__ = error.__traceback__.tb_next
            step = generator.athrow(error)
"""
