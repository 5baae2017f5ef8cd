"""One record per running call, and the tables that its time goes to.

A table has three columns of seconds per line: free, held, in a transaction. A running record points
at the column of its present state, so that a line costs one addition whatever is open; at the edges
of holds and transactions the running line is split and the pointer moves.
"""

from __future__ import annotations

import sys
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from types import CodeType, FrameType
from typing import Any, TypeVar

from txprof import context
from txprof.callsite import frames as outer_frames
from txprof.clock import clock
from txprof.collector import Collector, begin_calls, end_calls
from txprof.context import Hold
from txprof.forking import new_lock
from txprof.perthread import PerThread
from txprof.recorded import FunctionRow, LineRow
from txprof.source import function_source

FREE, HELD, IN_TRANSACTION = 0, 1, 2

PAUSED = float("inf")
"""The `since` of a generator that gave control to its consumer."""


class Timed:
    """A function whose lines are timed: its code, the lines it has, who wants them."""

    __slots__ = ("code", "collectors", "first", "size", "source")

    def __init__(self, code: CodeType) -> None:
        self.code = code
        numbers = [line for _, _, line in code.co_lines() if line]
        self.first = min([code.co_firstlineno, *numbers])
        self.size = max([code.co_firstlineno, *numbers]) - self.first + 1
        self.source = function_source(code)
        self.collectors: dict[Collector, bool] = {}
        """Who wants it, and whether by name: then it is shown even if it is never called."""


class Table:
    """Totals of one function, written by one thread, for the collectors that watched there."""

    __slots__ = ("awaited", "blocks", "calls", "hits", "seconds", "timed", "watchers")

    def __init__(self, timed: Timed, watchers: tuple[Collector, ...]) -> None:
        self.timed = timed
        self.watchers = watchers
        # A generator runs by turns with its consumer: its calls are no entries.
        generator = timed.code.co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR)
        self.blocks = () if generator else tuple(each for each in watchers if each.is_block)
        self.calls = 0
        slots = timed.size + 1  # one more, for calls whose lines another times
        self.hits = [0] * slots
        self.seconds = [[0.0] * slots for _ in range(3)]
        self.awaited = [0.0] * slots

    def add(self, other: Table) -> None:
        self.calls += other.calls
        _add(self.hits, other.hits)
        _add(self.awaited, other.awaited)
        for mine, others in zip(self.seconds, other.seconds, strict=True):
            _add(mine, others)


Number = TypeVar("Number", int, float)


def _add(into: list[Number], numbers: list[Number]) -> None:
    into[:] = [a + b for a, b in zip(into, numbers, strict=True)]


class Running:
    """A call of a timed function that has not returned yet."""

    __slots__ = (
        "column",
        "entries",
        "first",
        "hits",
        "holds",
        "index",
        "since",
        "suspended",
        "table",
    )

    # Runs for every call: plain and fast (benchmarks/lines.py).
    def __init__(self, table: Table, holds: tuple[Hold, ...]) -> None:
        self.table = table
        self.hits = table.hits
        self.first = table.timed.first
        self.index = 0
        self.suspended = 0.0
        self.holds = holds
        if holds:
            self.column = table.seconds[self._state()]
            for hold in holds:
                hold.running.append(self)
        else:
            self.column = table.seconds[FREE]
        self.entries = begin_calls(table.blocks) if table.blocks else ()
        self.since = clock.now()

    def _state(self) -> int:
        state = FREE
        for hold in self.holds:
            if hold.transaction is not None:
                return IN_TRANSACTION
            state = HELD
        return state

    def settle(self) -> None:
        """Split the running line here: what ran so far goes to the state that was."""
        now = clock.now()
        if self.since is not PAUSED:
            self.column[self.index] += now - self.since
            self.since = now
        self.holds = tuple(hold for hold in self.holds if hold.is_open)
        self.column = self.table.seconds[self._state()]

    def add_unfinished(self, total: Table) -> None:
        """Add what the line that runs now took so far."""
        now, index = clock.now(), self.index
        if self.since is PAUSED or index >= self.table.timed.size:
            return
        for column, into in zip(self.table.seconds, total.seconds, strict=True):
            if column is self.column:
                into[index] += now - self.since
        if self.suspended:
            total.awaited[index] += now - self.suspended

    def finish(self) -> None:
        """The call returned or was left by an exception."""
        if self.since is not PAUSED:
            self.column[self.index] += clock.now() - self.since
        if self.holds:
            for hold in self.holds:
                if self in hold.running:
                    hold.running.remove(self)
        if self.entries:
            end_calls(self.entries)


class Tables:
    """All tables: the timed functions, a part per thread, and what of it a collector may see."""

    def __init__(self) -> None:
        self.timed: dict[int, Timed] = {}
        """By the id of the code, which hashes by its bytecode from 3.12 on: slow."""
        self.running: dict[FrameType, Running] = {}
        self._parts: PerThread[dict[_Key, Table | None]] = PerThread(dict, _fold)
        self._lock = new_lock()
        context.edges.append(self._edge)

    def want(self, code: CodeType, collector: Collector, *, by_name: bool = True) -> None:
        """`collector` wants the lines of this code."""
        with self._lock:
            timed = self.timed.get(id(code))
            if timed is None:
                timed = self.timed[id(code)] = Timed(code)
            # Replaced, not changed: `table` reads it without the lock.
            timed.collectors = {**timed.collectors, collector: by_name}

    def release(self, collector: Collector) -> list[CodeType]:
        """Let go of a collector that has its rows: the codes that nobody wants any more."""
        unwanted = []
        with self._lock:
            for key, timed in list(self.timed.items()):
                if collector in timed.collectors:
                    others = {c: how for c, how in timed.collectors.items() if c is not collector}
                    timed.collectors = others
                    if not others:
                        del self.timed[key]
                        unwanted.append(timed.code)
        self._forget(collector)
        return unwanted

    def table(self, code: CodeType, watching: tuple[Collector, ...]) -> Table | None:
        """This thread's table for a call that starts where these watch; None if none wants it."""
        key = (id(code), watching)
        try:
            table: Table | None = self._parts.local.part[key]
            return table
        except (AttributeError, KeyError):
            part = self._parts.mine()
            timed = self.timed.get(id(code))
            wanted = tuple(
                collector for collector in watching if timed and collector in timed.collectors
            )
            table = Table(timed, wanted) if timed is not None and wanted else None
            part[key] = table
            return table

    def _forget(self, collector: Collector) -> None:
        for frame, record in list(self.running.items()):
            # A call that goes on: nobody will see its end, and its frame must not live on here.
            if record.table.watchers == (collector,):
                self.running.pop(frame, record).finish()
        for part in self._parts.all():
            for key, table in list(part.items()):
                if collector in key[1]:
                    del part[key]
                    if table is not None and table.watchers != (collector,):
                        # Calls still running write to it, and others want it.
                        table.watchers = tuple(c for c in table.watchers if c is not collector)
                        part[(key[0], tuple(c for c in key[1] if c is not collector), table)] = (
                            table
                        )

    def rows(self, collector: Collector) -> list[FunctionRow]:
        """A row per function that `collector` named, called or not, and those it found."""
        return [function_row(table, line_rows(table)) for table in self.totals(collector)]

    def totals(self, collector: Collector) -> list[Table]:
        """The tables behind these rows, summed over the threads."""
        totals: dict[int, Table] = {}
        for timed in list(self.timed.values()):
            if timed.collectors.get(collector):
                totals[id(timed)] = Table(timed, ())
        for part in self._parts.all():
            for table in list(part.values()):
                if table is not None and collector in table.watchers:
                    total = totals.setdefault(id(table.timed), Table(table.timed, ()))
                    total.add(table)
        for record in list(self.running.values()):
            if collector in record.table.watchers and id(record.table.timed) in totals:
                record.add_unfinished(totals[id(record.table.timed)])
        return list(totals.values())

    def _edge(self, hold: Hold) -> None:
        """A hold or its transaction opened or ended: split the running lines it touches."""
        running = self.running
        if not running:
            return
        if hold.is_open and not hold.running and hold.is_here():
            for frame in outer_frames(sys._getframe(2)):
                record = running.get(frame)
                if record is not None:
                    record.settle()
                    record.holds = (*record.holds, hold)
                    hold.running.append(record)
        for touched in list(hold.running):
            assert isinstance(touched, Running)
            touched.settle()


_Key = tuple[Any, ...]
"""(id of the code, collectors that watch)"""


def _fold(into: dict[_Key, Table | None], part: dict[_Key, Table | None]) -> None:
    for key, table in list(part.items()):
        mine = into.get(key)
        if mine is not None and table is not None:
            mine.add(table)
        elif table is not None:
            into[key] = table


def line_rows(table: Table) -> list[LineRow]:
    """The lines that were hit."""
    free, held, inside = table.seconds
    return [
        LineRow(
            line=table.timed.first + index,
            hits=hits,
            seconds=free[index] + held[index] + inside[index],
            await_seconds=table.awaited[index],
            held_seconds=held[index] + inside[index],
            transaction_seconds=inside[index],
        )
        for index, hits in enumerate(table.hits)
        if hits
    ]


def function_row(table: Table, lines: list[LineRow]) -> FunctionRow:
    """The function's own totals, with the lines given."""
    timed = table.timed
    _, held, inside = table.seconds
    return FunctionRow(
        file=timed.code.co_filename,
        function=timed.code.co_qualname,
        first_line=timed.first,
        source=timed.source,
        calls=table.calls,
        held_seconds=sum(held) + sum(inside),
        transaction_seconds=sum(inside),
        lines=lines,
        note=None if timed.source else _NO_SOURCE,
    )


_NO_SOURCE = "source not shown: it is gone, or changed after it was imported"
