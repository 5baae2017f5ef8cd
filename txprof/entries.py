"""One entry into the application: a profiled outermost call, or the block where none is known.

Statements are counted an entry apart: what each request runs once is no burst, however many
requests there are. When an entry ends, its counts go to the profile's totals, and what it repeated
is kept as bursts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from contextvars import ContextVar
from threading import get_ident
from typing import TYPE_CHECKING, Any

from txprof.callsite import Path
from txprof.clock import clock
from txprof.model import Site, State
from txprof.places import Place
from txprof.recorded import BurstRow, IdleRow, Load, StatementRow, TransactionRow, added
from txprof.safety import note_once
from txprof.samples import Sample

if TYPE_CHECKING:
    from txprof.collector import Collector
    from txprof.found import Finding

SAMPLED = 64
"""Executions of one statement in one entry whose parameters are looked at."""

OTHERS = "(others)"
"""Stands for what came after `max_rows` distinct statements or targets."""

COMPACTED = 1_000
"""Rows from which on texts that differ in their literals only are counted as one."""

_KEPT = 200
"""Distinct idle or long transactions of one entry that are kept apart."""

Key = tuple[str, State, Hashable]
"""Text, state, and the `places.Place` that it was sent from."""

flush_here: ContextVar[object | None] = ContextVar("txprof_flush", default=None)
"""The session's flush that runs here, if any."""


class Statement:
    """One statement text from one call path."""

    __slots__ = (
        "allowed",
        "asking",
        "count",
        "flush",
        "flushed",
        "fresh",
        "load",
        "longest",
        "path",
        "sample",
        "seconds",
        "state",
        "text",
        "written",
    )

    def __init__(self, text: str, state: State, path: Path, asking: Path) -> None:
        self.text = text
        self.state = state
        self.path = path
        self.asking = asking
        """The same without what lies around the event loop."""
        self.count = 0
        self.seconds = 0.0
        self.longest = 0.0
        self.load = Load()
        self.allowed: str | None = None
        self.sample = Sample()
        self.flushed = 0
        """Executions in the same flush as the one before."""
        self.flush: object | None = None
        """The flush that it ran in last."""
        self.fresh = 0
        """Executions before which something was written since the last."""
        self.written = 0

    @property
    def turns(self) -> int:
        """Executions, those of one flush counted as one."""
        return self.count - self.flushed

    def row(self) -> StatementRow:
        """As plain data."""
        return StatementRow(
            sites(self.path), self.text, self.state, self.count, self.seconds, self.longest
        )

    def copy(self) -> Statement:
        """One that can be added to."""
        copy = Statement(self.text, self.state, self.path, self.asking)
        copy.load, copy.allowed, copy.flush = self.load, self.allowed, self.flush
        copy.add(self)
        return copy

    def add(self, other: Statement) -> None:
        """Count the executions of another of the same shape and path."""
        self.count += other.count
        self.seconds += other.seconds
        self.longest = max(self.longest, other.longest)
        self.flushed += other.flushed
        self.fresh += other.fresh
        self.allowed = self.allowed or other.allowed
        self.sample.add(other.sample, same_text=self.text == other.text)


Rows = dict[Key, Statement]


class Entry:
    """What one entry ran, for one profile: a part for each thread that ran something for it."""

    __slots__ = (
        "collector",
        "idle",
        "is_block",
        "is_over",
        "long",
        "outer",
        "parts",
        "since",
        "untold",
        "written",
    )

    def __init__(self, collector: Collector, *, is_block: bool = False) -> None:
        self.collector = collector
        self.is_block = is_block
        self.since = clock.now()
        self.parts: dict[int, Rows] = {}
        self.is_over = False
        self.idle: list[IdleRow] = []
        self.long: list[TransactionRow] = []
        self.written = 0
        """Writes so far."""
        self.untold: list[Finding] = []
        """What was found too late, or too early, to be raised there: its end does."""
        self.outer: Entry | None = None
        """The block of the same profile that it was entered in, where that is of this context."""

    def statement(
        self, key: Key, seconds: float, parameters: Any, writes: bool
    ) -> Statement | None:
        """A statement ran here; returns its row if it is a new one, to be told what it loads.

        On the hot path: plain and fast (benchmarks/statements.py).
        """
        new = None
        try:
            row = self.parts[get_ident()][key]
        except KeyError:
            row = new = self._new(key)
        row.count = count = row.count + 1
        row.seconds += seconds
        if seconds > row.longest:
            row.longest = seconds
        if writes:
            self.written += 1
            if type(parameters) is list:
                row.sample.many = True
        else:
            if row.written != self.written:
                row.written = self.written
                row.fresh += 1
            if count <= SAMPLED:
                row.sample.take(parameters)
        flush = flush_here.get()
        if flush is None or flush is not row.flush:
            row.flush = flush
        else:
            row.flushed += 1
        return new

    def _new(self, key: Key) -> Statement:
        rows = self.parts.get(get_ident())
        if rows is None:
            rows = self.parts[get_ident()] = {}
            self.collector.has_rows(self)
        if len(rows) >= COMPACTED and len(rows) % COMPACTED == 0:
            compact(rows)
        text, state, place = key
        assert isinstance(place, Place)
        path, asking = place.path, place.asking
        if self.collector.harness is not None:
            path = self.collector.harness.cut(path)
            asking = self.collector.harness.cut(asking)
        if len(rows) >= self.collector.settings.max_rows:
            text, path, asking = OTHERS, path[:1], asking[:1]
            key = (text, state, path)
        row = Statement(text, state, path, asking)
        row.written = self.written
        return rows.setdefault(key, row)

    def found_idle(self, row: IdleRow) -> None:
        """A transaction sat without a statement for as long as a rule minds."""
        self.idle.append(row)
        if len(self.idle) > _KEPT:
            self.idle = added(self.idle)[:_KEPT]
        self.collector.has_rows(self)

    def found_long(self, row: TransactionRow) -> None:
        """One stayed open for as long as a rule minds."""
        self.long.append(row)
        if len(self.long) > _KEPT:
            self.long = added(self.long)[:_KEPT]
        self.collector.has_rows(self)

    def rows(self) -> Rows:
        """All threads' rows, added up into new ones."""
        total: Rows = {}
        for part in list(self.parts.values()):
            add_rows(total, part)
        return total

    def bursts(self, rows: Iterable[Statement]) -> list[BurstRow]:
        """What of its rows was repeated. Runs as the program's calls end: raises nothing."""
        try:
            from txprof.bursts import bursts_in  # not as a test suite starts

            return bursts_in(rows, self.collector.settings)
        except Exception as error:
            note_once("the judgement of bursts", error)
            return []


def add_rows(into: Rows, rows: Rows, limit: int | None = None, *, are_ours: bool = False) -> None:
    """Add up rows of the same key, in `into`; the other rows are not touched.

    From `limit` rows on, new ones are counted as `OTHERS`. `are_ours`: nobody else has these rows,
    so that new ones can be taken as they are.
    """
    for key, row in list(rows.items()):
        mine = into.get(key)
        if mine is not None:
            mine.add(row)
        elif limit is None or len(into) < limit:
            into[key] = row if are_ours else row.copy()
        else:
            others = Statement(OTHERS, row.state, row.path[:1], row.path[:1])
            into.setdefault((OTHERS, row.state, row.path[:1]), others).add(row)


def compact(rows: Rows) -> None:
    """Count texts that differ in their literals only as one; they keep the first one's text."""
    from txprof.shapes import shape

    by_shape: dict[Key, Key] = {}
    for key, row in list(rows.items()):
        first = by_shape.setdefault((shape(row.text), key[1], key[2]), key)
        if first is not key:
            rows[first].add(row)
            del rows[key]


def sites(path: Path) -> tuple[Site, ...]:
    return tuple(Site(*frame) for frame in path)
