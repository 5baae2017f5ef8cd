"""Whatever the program: its lines are hit as line_profiler says, and their times add up.

The reference is line_profiler's own core for each interpreter. Generators are not in it: txprof
times them on purpose where line_profiler does not, see test_lines_suspended.py.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections import Counter
from types import CodeType, FunctionType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from line_profiler import LineProfiler
from programs import FUNCTIONS, Manager, OutOfTicks, Ticks, programs

import txprof
from txprof.clock import clock

only_monitoring = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="on 3.11 line_profiler does the timing, with its own clock"
)

# Many small choices make a program: hypothesis finds that slow, and many of them too large.
whatever = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

Lines = dict[tuple[str, int], int]
"""A number for each line of each function, by the function's name."""


class Program:
    """A generated program, compiled anew: a profiler may have left something in its code.

    `wall` is how long each function's calls took, `spent` how often the clock ticked while they
    stood at each line, by their frames.
    """

    def __init__(self, source: str) -> None:
        self.ticks = Ticks()
        self.wall: Counter[str] = Counter()
        self.spent: Counter[tuple[str, int]] = Counter()
        names: dict[str, Any] = {
            "tick": self.ticks,
            "manager": functools.partial(Manager, self.ticks),
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # `return` in `finally`
            exec(compile(source, "<generated>", "exec"), names)
        self.functions: list[FunctionType] = [names[f"f{n}"] for n in range(FUNCTIONS)]
        self._codes: dict[CodeType, str] = {}
        for function in self.functions:
            names[function.__name__] = self._measured(function)
        self._main = names["f0"]

    def run(self) -> None:
        """Call f0 a few times."""
        self._codes = {function.__code__: function.__name__ for function in self.functions}
        self.ticks.seen = self._spend
        for x in range(6):
            try:
                self._main(x, 2)
            except (Exception, OutOfTicks):
                pass

    def _measured(self, function: FunctionType) -> Any:
        def call(*args: Any) -> Any:
            before = self.ticks.now
            try:
                return function(*args)
            finally:
                self.wall[function.__name__] += self.ticks.now - before

        return call

    def _spend(self) -> None:
        frame = sys._getframe(2)
        while frame is not None:
            if frame.f_code in self._codes:
                self.spent[self._codes[frame.f_code], frame.f_lineno] += 1
            frame = frame.f_back


def profiled(source: str) -> tuple[Program, txprof.Profile]:
    program = Program(source)
    with pytest.MonkeyPatch.context() as patch:
        if sys.version_info >= (3, 12):
            patch.setattr(clock, "now", program.ticks.time)
        with txprof.profile(*program.functions) as prof:
            program.run()
    return program, prof


def hits_by_line_profiler(source: str) -> Lines:
    program = Program(source)
    profiler = LineProfiler(*program.functions)
    profiler.enable_by_count()
    program.run()
    profiler.disable_by_count()
    return {
        (name, line): hits
        for (_, _, name), lines in profiler.get_stats().timings.items()
        for line, hits, _ in lines
    }


def hits_by_txprof(profile: txprof.Profile) -> Lines:
    return {
        (function.site.function, number): line.hits
        for function in profile.functions
        for number, line in function.lines.items()
    }


@whatever
@given(programs())
def test_hits_are_line_profilers_whatever_the_program(source: str) -> None:
    _, prof = profiled(source)
    assert hits_by_txprof(prof) == hits_by_line_profiler(source)


@only_monitoring
@whatever
@given(programs())
def test_each_tick_goes_to_its_line_and_lines_add_up_to_the_calls(source: str) -> None:
    program, prof = profiled(source)
    lines = {
        (function.site.function, number): line.seconds
        for function in prof.functions
        for number, line in function.lines.items()
        if line.seconds
    }
    assert lines == program.spent
    seconds = {function.site.function: function.seconds for function in prof.functions}
    assert seconds == {f.__name__: program.wall[f.__name__] for f in program.functions}


def test_a_loop_on_one_line_is_hit_as_the_interpreter_tells() -> None:
    # sys.monitoring reports a line once when a jump stays on it; sys.settrace each time. So does
    # line_profiler: its core on 3.12 and newer is the one, `LINE_PROFILER_CORE=legacy` the other.
    source = "\n".join(f"def f{n}(x, depth):\n    while x < 9: x += 1" for n in range(FUNCTIONS))
    _, prof = profiled(source)
    assert hits_by_txprof(prof) == hits_by_line_profiler(source)
    (hits,) = hits_by_txprof(prof).values()
    assert hits == (6 if sys.version_info >= (3, 12) else sum(9 - x for x in range(6)))
