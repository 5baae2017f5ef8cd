"""The line timer: hits and times per line, the held share, threads, on each Python."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from helpers import FakeClock, lines_of
from line_profiler import LineProfiler
from sqlalchemy import Engine, text

import txprof
from txprof import lines as line_timer
from txprof.collector import Collector
from txprof.settings import Settings

only_monitoring = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="on 3.11 line_profiler does the timing, with its own clock"
)


def branches(number: int) -> int:
    total = 0
    for i in range(number):
        if i % 2:
            total += i
        else:
            total -= 1
    try:
        total += 1 // (number - 3)
    except ZeroDivisionError:
        total = 0
    finally:
        total += 1
    with threading.Lock():
        total += sum(x for x in range(3))
    while total > 100:
        total -= 50
    squares = [x * x for x in range(number)]
    match number:
        case 3:
            return total
        case _:
            return total + len(squares)


def hits_of(profile: txprof.Profile, name: str) -> dict[int, int]:
    return {number: line.hits for number, line in lines_of(profile, name).items()}


def reference_hits(function: Any, *arguments: Any) -> dict[int, int]:
    """line_profiler's own."""
    copy = type(function)(function.__code__, function.__globals__, function.__name__)
    profiler = LineProfiler()
    profiler.add_function(copy)
    profiler.enable_by_count()
    for argument in arguments:
        copy(argument)
    profiler.disable_by_count()
    (lines,) = profiler.get_stats().timings.values()
    return {line: hits for line, hits, _ in lines}


def test_hits_are_line_profilers() -> None:
    with txprof.profile(branches) as prof:
        for number in (3, 4, 50):
            branches(number)
    assert hits_of(prof, "branches") == reference_hits(branches, 3, 4, 50)


def test_line_seconds_add_up_to_the_calls(fake: FakeClock) -> None:
    def work() -> None:
        fake.tick(1)
        for _ in range(3):
            fake.tick(2)
        fake.tick(4)

    with txprof.profile(work) as prof:
        work()
    (function,) = prof.functions
    assert prof.seconds == 11
    if sys.version_info >= (3, 12):
        assert function.seconds == 11


@only_monitoring
def test_each_line_gets_the_time_until_the_next(fake: FakeClock) -> None:
    def work() -> None:
        fake.tick(1)  # one
        fake.tick(2)  # two

    with txprof.profile(work) as prof:
        work()
        work()
    lines = lines_of(prof, "work")
    one = next(n for n, line in lines.items() if line.source.endswith("# one"))
    assert [(lines[n].hits, lines[n].seconds) for n in (one, one + 1)] == [(2, 2), (2, 4)]


def test_lines_carry_their_source() -> None:
    with txprof.profile(branches) as prof:
        branches(1)
    lines = lines_of(prof, "branches")
    assert lines[branches.__code__.co_firstlineno + 1].source == "    total = 0"


def test_an_exception_out_of_the_function_ends_its_last_line(fake: FakeClock) -> None:
    def fail() -> None:
        fake.tick(3)
        raise LookupError

    def work() -> None:
        try:
            fail()
        except LookupError:
            fake.tick(5)

    with txprof.profile(work, fail) as prof:
        work()
    assert {f.site.function.rpartition(".")[2]: f.calls for f in prof.functions} == {
        "work": 1,
        "fail": 1,
    }
    if sys.version_info >= (3, 12):
        by_name = {f.site.function.rpartition(".")[2]: f.seconds for f in prof.functions}
        assert by_name == {"work": 8, "fail": 3}


def test_recursion_counts_every_call() -> None:
    def down(n: int) -> int:
        if n == 0:
            return 0
        return 1 + down(n - 1)

    with txprof.profile(down) as prof:
        down(10)
    assert prof.functions[0].calls == 11
    assert sorted(line.hits for line in lines_of(prof, "down").values()) == [1, 10, 11]


def test_one_line_functions_and_lambdas() -> None:
    double = lambda x: x * 2  # noqa: E731

    with txprof.profile(double) as prof:
        assert [double(i) for i in range(3)] == [0, 2, 4]
    assert prof.functions[0].calls == 3


def test_a_function_decorated_anew_at_each_call_does_not_grow() -> None:
    def outer() -> int:
        def inner() -> int:
            return 1

        with txprof.profile(inner):
            return inner()

    timer: Any = line_timer.timer()
    outer()
    before = len(timer._tables.timed)
    for _ in range(50):
        outer()
    assert len(timer._tables.timed) == before
    assert timer._tables.running == {}


def test_eight_threads_by_two_hundred_jobs_all_succeed_and_are_counted() -> None:
    def job(number: int) -> int:
        total = 0
        for i in range(10):
            total += i
        return total + number

    with txprof.profile(job) as prof, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(job, range(1600)))
    assert results == [45 + number for number in range(1600)]
    (function,) = prof.functions
    assert function.calls == 1600
    by_offset = {n - function.site.line: line.hits for n, line in function.lines.items()}
    assert by_offset == {1: 1600, 2: 17600, 3: 16000, 4: 1600}


def test_decorated_jobs_on_eight_threads_all_succeed_and_are_counted() -> None:
    @txprof.profile(report=None)
    def job(number: int) -> int:
        return number + 1

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(job, range(1600))) == list(range(1, 1601))
    profile = job.__txprof__  # type: ignore[attr-defined]
    assert profile.functions[0].calls == 1600
    assert profile.recorded.calls == 1600


# The held share


@only_monitoring
def test_a_line_before_begin_and_after_commit_shows_its_held_share_only(
    engine: Engine, fake: FakeClock
) -> None:
    def work() -> None:
        for _ in range(2):
            fake.tick(1)  # mixed
            connection = engine.connect()
            fake.tick(2)  # held
            connection.execute(text("SELECT 1"))
            fake.tick(4)  # inside
            connection.commit()
            fake.tick(8)  # held again
            connection.close()
            fake.tick(16)  # free

    with txprof.profile(work) as prof:
        work()
    lines = {
        line.source.rpartition("# ")[2]: line
        for line in lines_of(prof, "work").values()
        if "# " in line.source
    }
    shares = {
        name: (line.seconds, line.held_seconds, line.transaction_seconds)
        for name, line in lines.items()
    }
    assert shares == {
        "mixed": (2, 0, 0),
        "held": (4, 4, 0),
        "inside": (8, 8, 8),
        "held again": (16, 16, 0),
        "free": (32, 0, 0),
    }
    (function,) = prof.functions
    assert (function.seconds, function.held_seconds, function.transaction_seconds) == (62, 28, 8)


@only_monitoring
def test_one_line_is_split_where_the_transaction_begins_and_ends(
    engine: Engine, fake: FakeClock
) -> None:
    def inner() -> None:
        fake.tick(1)
        with engine.begin() as connection:
            fake.tick(2)
            connection.execute(text("SELECT 1"))
        fake.tick(4)

    def outer() -> None:
        inner()  # call

    with txprof.profile(outer) as prof:
        outer()
    (line,) = lines_of(prof, "outer").values()
    assert (line.seconds, line.held_seconds, line.transaction_seconds) == (7, 2, 2)


@only_monitoring
def test_a_function_called_while_a_transaction_is_open_is_inside_all_along(
    engine: Engine, fake: FakeClock
) -> None:
    def helper() -> None:
        fake.tick(3)

    with txprof.profile(helper) as prof, engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        helper()
        connection.commit()
    with txprof.profile(helper) as after:
        helper()
    assert prof.functions[0].transaction_seconds == 3
    assert after.functions[0].held_seconds == 0


def test_the_held_share_of_a_function_is_measured(engine: Engine) -> None:
    def work() -> None:
        threading.Event().wait(0.02)
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            threading.Event().wait(0.06)  # inside
        threading.Event().wait(0.02)

    with txprof.profile(work) as prof:
        work()
    (function,) = prof.functions
    assert function.held_seconds is not None
    assert 0.06 <= function.held_seconds < function.seconds - 0.04
    inside = next(line for line in function.lines.values() if line.source.endswith("# inside"))
    assert inside.transaction_seconds == pytest.approx(inside.seconds, rel=0.1)
    outside = [line for line in function.lines.values() if "0.02" in line.source]
    assert [line.held_seconds for line in outside] == [0, 0]


def test_a_transaction_that_opens_when_the_block_is_left_marks_that_line_only(
    engine: Engine,
) -> None:
    def work() -> None:
        with Flushing(engine):  # block
            threading.Event().wait(0.005)  # body

    with txprof.profile(work) as prof:
        work()
    (function,) = prof.functions
    lines = {line.source.rpartition("# ")[2]: line for line in function.lines.values()}
    assert lines["body"].transaction_seconds == 0
    assert lines["block"].transaction_seconds


class Flushing:
    """A unit of work that writes when it is left, as a Session's does."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("SELECT 1"))


# Beside others


def test_statements_and_calls_are_charged_to_the_line_that_made_them(engine: Engine) -> None:
    def fetch() -> None:
        with txprof.external_call("rpc", "billing"):
            pass

    def work() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))  # query
        fetch()  # call

    with txprof.profile(work) as prof:
        work()
        work()
    lines = lines_of(prof, "work")
    by_mark = {line.source.rpartition("# ")[2]: line for line in lines.values()}
    assert (by_mark["query"].queries, by_mark["query"].external_calls) == (2, 0)
    assert (by_mark["call"].queries, by_mark["call"].external_calls) == (0, 2)
    assert by_mark["query"].query_seconds > 0


@only_monitoring
def test_the_timer_lets_go_of_a_function_after_the_block() -> None:
    monitoring = sys.monitoring

    def wanted() -> list[int]:
        """The events of the function that our tools ask for."""
        ours = [tool for tool in range(6) if monitoring.get_tool(tool) == "txprof"]
        return [monitoring.get_local_events(tool, branches.__code__) for tool in ours]

    with txprof.profile(branches):
        assert any(wanted())
    assert not any(wanted())


@only_monitoring
def test_when_every_tool_id_is_taken_the_program_runs_and_txprof_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from txprof.lines.monitoring import MonitoringTimer  # cannot be imported on 3.11

    monitoring = sys.monitoring
    taken = [tool for tool in range(6) if monitoring.get_tool(tool) is None]
    for tool in taken:
        monitoring.use_tool_id(tool, f"other{tool}")
    try:
        timer = MonitoringTimer()
        timer.attach([branches], Collector("x", Settings()))  # type: ignore[list-item]
    finally:
        for tool in taken:
            monitoring.free_tool_id(tool)
    assert "no line times: every sys.monitoring tool id is taken" in caplog.text
