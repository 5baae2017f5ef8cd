"""Line times by line_profiler, CPython 3.11.

line_profiler traces a whole thread while one of its functions runs. To trace no more than that, and
in whichever thread a function is called, each attached function gets a small prologue in place of
its code: it switches line_profiler on, runs the original, and switches it off. References to the
function stay valid; its name, signature and defaults stay as they were.

Hits, seconds and the function's own held seconds are measured. The held share of a line is derived
from where holds opened and closed: line_profiler cannot split a running line.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from types import CodeType, FrameType, FunctionType
from typing import Any

from line_profiler import LineProfiler

from txprof import context
from txprof.callsite import frames as outer_frames
from txprof.collector import Collector, active
from txprof.context import Hold
from txprof.forking import new_lock
from txprof.lines.running import (
    FREE,
    HELD,
    IN_TRANSACTION,
    Running,
    Table,
    Tables,
    function_row,
    line_rows,
)
from txprof.lines.stepping import (
    ASYNC_GENERATOR_PROLOGUE,
    COROUTINE_PROLOGUE,
    GENERATOR_PROLOGUE,
    STEPPED,
    Begin,
    Stepper,
    driver,
)
from txprof.lines.tracer import Tracer, among_greenlets, may_trace
from txprof.recorded import FunctionRow, LineRow, added
from txprof.safety import drop_own_frame, note_once

_Span = tuple[int, int, int]
"""Instruction at which a state began, instruction at which it ended, the state."""


class _Call(Running):
    """A running call, with the instruction and state of each hold's last change in it."""

    __slots__ = ("marks",)

    def __init__(self, table: Table, holds: tuple[Hold, ...]) -> None:
        super().__init__(table, holds)
        self.index = table.timed.size  # line_profiler has its lines
        self.marks = {hold: (0, _state(hold)) for hold in self.holds}


def _state(hold: Hold) -> int:
    if not hold.is_open:
        return FREE
    return HELD if hold.transaction is None else IN_TRANSACTION


class _Attached:
    """A function with its prologue in place, and the function that it was.

    Keeps neither alive: a nested function, and what its closure holds, may go at any time.
    """

    __slots__ = ("_function", "_inner", "code", "collectors")

    def __init__(self, function: FunctionType, run: Callable[..., Any], begin: Begin) -> None:
        self.collectors: set[Collector] = set()
        self.code = code = function.__code__
        inner = types.FunctionType(
            _padded(code),
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        inner.__kwdefaults__ = function.__kwdefaults__
        inner.__qualname__ = function.__qualname__
        call = driver(code, inner, begin) if code.co_flags & STEPPED else _call(code, inner, run)
        function.__code__ = _prologue_for(code, call)
        self._function = weakref.ref(function)
        self._inner = weakref.ref(inner)

    def add_to(self, profiler: LineProfiler) -> None:
        """Have line_profiler time it."""
        inner = self._inner()
        if inner is not None:
            profiler.add_function(inner)
            # It goes by the code; this list (missing from its stubs) would keep closures alive.
            getattr(profiler, "functions").clear()  # noqa: B009

    def restore(self) -> None:
        """Give the function its own code back."""
        function = self._function()
        if function is not None:
            function.__code__ = self.code


_paddings: dict[int, tuple[weakref.ref[CodeType], CodeType]] = {}
"""id of a code -> the code, and as line_profiler pads it. By the id: its hash is its bytecode's."""


def _padded(code: CodeType) -> CodeType:
    """The code as line_profiler pads it to tell it from its twins.

    Once for each code: it would add one more NOP each time a nested function is decorated anew.
    """
    key = id(code)
    known = _paddings.get(key)
    if known is None:
        cells = tuple(types.CellType() for _ in code.co_freevars)
        twin = types.FunctionType(code, {}, code.co_name, None, cells)
        LineProfiler().add_function(twin)
        gone = weakref.ref(code, lambda _: _paddings.pop(key, None))
        known = _paddings[key] = (gone, twin.__code__)
    return known[1]


def _call(code: CodeType, inner: FunctionType, run: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        leave = run(code, sys._getframe())
        try:
            return inner(*args, **kwargs)
        except BaseException as error:
            drop_own_frame(error)
            raise
        finally:
            if leave is not None:
                leave()

    return call


_PROLOGUE = """
def _prologue({parameters}):
    _txprof_call = "call"
    try:
        return _txprof_call({arguments})
    except BaseException as error:
        error.__traceback__ = error.__traceback__.tb_next
        raise
"""


def _prologue_for(code: CodeType, call: Callable[..., Any]) -> CodeType:
    """A code that takes what `code` takes, and calls `call` with it.

    Its parameters have the names of the function's own: they are in the code, where a web framework
    or `inspect.signature` looks for them.
    """
    source = _PROLOGUE
    if code.co_flags & inspect.CO_ASYNC_GENERATOR:
        source = ASYNC_GENERATOR_PROLOGUE
    elif code.co_flags & inspect.CO_COROUTINE:
        source = COROUTINE_PROLOGUE
    elif code.co_flags & inspect.CO_GENERATOR:
        source = GENERATOR_PROLOGUE
    parameters, arguments = _parameters(code)
    prologue = _compiled(source.format(parameters=parameters, arguments=arguments))
    return prologue.replace(
        co_consts=tuple(call if const == "call" else const for const in prologue.co_consts),
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_freevars=code.co_freevars,  # must be as many as the function has cells
    )


@functools.lru_cache(maxsize=1_000)
def _compiled(source: str) -> CodeType:
    made: dict[str, Any] = {}
    exec(compile(source, __file__, "exec", dont_inherit=True), made)
    prologue: CodeType = made["_prologue"].__code__
    return prologue


def _parameters(code: CodeType) -> tuple[str, str]:
    """The parameters of a code as source, without defaults, and the arguments that pass them on."""
    names = list(code.co_varnames)
    positional, keyword = code.co_argcount, code.co_kwonlyargcount
    parameters, arguments = names[:positional], names[:positional]
    if code.co_posonlyargcount:
        parameters.insert(code.co_posonlyargcount, "/")
    keywords = names[positional : positional + keyword]
    rest = names[positional + keyword :]
    if code.co_flags & inspect.CO_VARARGS:
        variable = f"*{rest.pop(0)}"
        parameters.append(variable)
        arguments.append(variable)
    elif keywords:
        parameters.append("*")
    parameters += keywords
    arguments += [f"{name}={name}" for name in keywords]
    if code.co_flags & inspect.CO_VARKEYWORDS:
        variable = f"**{rest.pop(0)}"
        parameters.append(variable)
        arguments.append(variable)
    return ", ".join(parameters), ", ".join(arguments)


class TracingTimer:
    """See `txprof.lines.LineTimer`."""

    def __init__(self) -> None:
        self._tables = Tables()
        self._tracer = Tracer(self._tables.running)
        self._attached: weakref.WeakKeyDictionary[FunctionType, _Attached] = (
            weakref.WeakKeyDictionary()
        )
        self._profilers: dict[Collector, LineProfiler] = {}
        self._spans: dict[int, set[_Span]] = {}
        self._lock = new_lock()
        context.edges.append(self._edge)

    def attach(
        self, functions: Iterable[FunctionType], collector: Collector, *, by_file: bool = False
    ) -> None:
        """From now on, calls of these functions are timed where `collector` watches."""
        with self._lock:
            profiler = self._profilers.get(collector)
            if profiler is None:
                profiler = self._profilers[collector] = LineProfiler()
                # A debugger or coverage that traces this thread goes on tracing.
                setattr(profiler, "wrap_trace", True)  # noqa: B010  (missing from its stubs)
            for function in functions:
                attached = self._attached.get(function)
                if attached is None:
                    attached = _Attached(function, self._run, self._begin)
                    self._attached[function] = attached
                attached.collectors.add(collector)
                self._tables.want(attached.code, collector, by_name=not by_file)
                attached.add_to(profiler)

    def rows(self, collector: Collector) -> list[FunctionRow]:
        """What was gathered for `collector` so far."""
        profiler = self._profilers.get(collector)
        if profiler is None:
            return []
        stats = profiler.get_stats()
        by_place = {(file, first): lines for (file, first, _), lines in stats.timings.items()}
        rows = []
        for table in self._tables.totals(collector):
            code = table.timed.code
            row = function_row(table, line_rows(table))
            profiled = [
                LineRow(line, hits, ticks * stats.unit)
                for line, hits, ticks in by_place.get((code.co_filename, code.co_firstlineno), ())
                if hits
            ]
            _, held, inside = (seconds[-1] for seconds in table.seconds)
            spans = self._spans.get(id(code), set())
            _derive_held(profiled, held + inside, inside, code, spans)
            row.lines = sorted(added([*row.lines, *profiled]), key=LineRow.key)
            rows.append(row)
        return rows

    def release(self, collector: Collector) -> None:
        """Let go of a collector that has its rows, and of the functions that only it wanted."""
        with self._lock:
            for function, attached in list(self._attached.items()):
                attached.collectors.discard(collector)
                if not attached.collectors:
                    attached.restore()
                    del self._attached[function]
            for code in self._tables.release(collector):
                self._spans.pop(id(code), None)
            self._profilers.pop(collector, None)

    def _run(self, code: CodeType, frame: FrameType) -> Callable[[], None] | None:
        """A call starts: switch on what wants it; returns how to switch it off."""
        try:
            table = self._tables.table(code, active())
            if table is None:
                return None
            table.calls += 1
            if among_greenlets():
                if not may_trace():
                    return None
                return self._tracer.enter(frame, Running(table, context.own())).leave
            profilers = [self._profilers[watcher] for watcher in table.watchers]
            record = self._tables.running[frame] = _Call(table, context.own())
            for profiler in profilers:
                profiler.enable_by_count()
        except Exception as error:
            note_once("the line timer", error)
            return None

        def leave() -> None:
            for profiler in reversed(profilers):
                profiler.disable_by_count()
            self._tables.running.pop(frame, None)
            for hold in list(record.marks):
                self._span(record, hold, len(code.co_code), FREE)
            record.finish()

        return leave

    def _begin(self, code: CodeType, frame: FrameType) -> Stepper | None:
        """A call of a coroutine function or generator function starts."""
        try:
            table = self._tables.table(code, active())
            if table is None:
                return None
            table.calls += 1
            if not may_trace():
                return None
            record = Running(table, context.own())
            return Stepper(frame, record, self._tables.running, self._tracer)
        except Exception as error:
            note_once("the line timer", error)
            return None

    def _edge(self, hold: Hold) -> None:
        """Note at which instruction of each running function a hold's state changed."""
        running = self._tables.running
        if not running:
            return
        inner: FrameType | None = None
        for frame in outer_frames(sys._getframe(2)):
            record = running.get(frame)
            if isinstance(record, _Call) and inner is not None:
                self._span(record, hold, inner.f_lasti, _state(hold))
            inner = frame

    def _span(self, record: _Call, hold: Hold, instruction: int, state: int) -> None:
        before = record.marks.pop(hold, None)
        if before is not None:
            began, was = before
            code = record.table.timed.code
            self._spans.setdefault(id(code), set()).add((began, instruction, was))
        if state != FREE:
            record.marks[hold] = (instruction, state)


def _derive_held(
    lines: list[LineRow], held: float, inside: float, code: CodeType, spans: set[_Span]
) -> None:
    """Share the seconds held and in transactions out over the lines at which something was open."""
    for state, total, attribute in (
        (HELD, held, "held_seconds"),
        (IN_TRANSACTION, inside, "transaction_seconds"),
    ):
        ranges = [_lines_of(code, span) for span in spans if span[2] >= state]
        open_at = [line for line in lines if any(line.line in numbers for numbers in ranges)]
        spent = sum(line.seconds for line in open_at)
        share = min(1.0, total / spent) if spent else 0.0
        for line in lines:
            setattr(line, attribute, line.seconds * share if line in open_at else 0.0)


def _lines_of(code: CodeType, span: _Span) -> set[int]:
    """The lines that run between two instructions; up to the end where a loop went round."""
    began, ended, _ = span
    last = ended if ended >= began else len(code.co_code)
    found = {line for start, end, line in code.co_lines() if line and start <= last and end > began}
    if ended < began:
        found |= {line for start, end, line in code.co_lines() if line and start <= ended < end}
    return found
