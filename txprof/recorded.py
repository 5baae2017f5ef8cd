"""What a run leaves behind: aggregates as plain data, that can be saved, and merged in any order.

Apart from `model.py` because nobody needs them before the first profile. Seconds are floats; what
was not measured is None, never 0.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

from txprof.exemplars import ExemplarRow
from txprof.locked import Inspected, Lock, tables_of
from txprof.model import CallPath, Holder, Site, State
from txprof.plain import Plain
from txprof.pooled import HoldRow, PoolRow
from txprof.rows import add_locks, add_times


@dataclass(slots=True, repr=False, eq=False)
class StatementRow(Plain):
    """One statement text from one call path, in one state."""

    path: CallPath
    statement: str
    state: State
    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def key(self) -> tuple[Any, ...]:
        return (self.path, self.statement, self.state)

    def add(self, other: StatementRow) -> None:
        add_times(self, other)


class Load(NamedTuple):
    """What the ORM sent a SELECT for.

    `kind` is "relationship", "attribute" (an expired or deferred one), "eager" or "select". `name`
    is the relationship or attribute, as `Order.customer`; `option` the loader option that would
    spare it, written out.
    """

    kind: str = "select"
    name: str | None = None
    option: str | None = None


@dataclass(slots=True, init=False, repr=False, eq=False)
class BurstRow(Plain):
    """One statement shape that ran again and again from one call path, in single entries.

    An entry is a profiled outermost call, or a block. `load.kind` may also be "write". `entries`
    and `count` are sums over the entries with a burst; `most` is the largest count of one, and
    `distinct` the largest number of distinct parameters in one, up to `SAMPLED` of them.
    """

    path: CallPath
    statement: str
    state: State
    load: Load
    allowed: str | None = None
    entries: int = 0
    count: int = 0
    most: int = 0
    distinct: int = 0
    seconds: float = 0.0

    def key(self) -> tuple[Any, ...]:
        return (self.path, self.statement, self.state, self.load, self.allowed)

    def add(self, other: BurstRow) -> None:
        self.entries += other.entries
        self.count += other.count
        self.most = max(self.most, other.most)
        self.distinct = max(self.distinct, other.distinct)
        self.seconds += other.seconds


@dataclass(slots=True, init=False, repr=False, eq=False)
class IdleRow(Plain):
    """A transaction sat without a statement, between two lines of one function.

    `path` is that of the statement, COMMIT or ROLLBACK that ended it, `opened` of the BEGIN, `call`
    of the longest external call meanwhile.
    """

    path: CallPath
    opened: CallPath
    engine: str
    before: Site | None
    after: Site | None
    call: CallPath = ()
    locks: tuple[Lock, ...] = ()
    inspected: Inspected | None = None
    allowed: str | None = None
    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    external_seconds: float = 0.0

    def key(self) -> tuple[Any, ...]:
        return (
            self.path,
            self.opened,
            self.engine,
            self.before,
            self.call,
            tables_of(self.locks),
            self.allowed,
        )

    def add(self, other: IdleRow) -> None:
        add_times(self, other)
        add_locks(self, other)
        self.external_seconds += other.external_seconds


@dataclass(slots=True, init=False, repr=False, eq=False)
class TransactionRow(Plain):
    """Transactions that stayed open for long, by the path that opened them."""

    opened: CallPath
    engine: str
    locks: tuple[Lock, ...] = ()
    inspected: Inspected | None = None
    allowed: str | None = None
    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    statement_seconds: float = 0.0
    external_seconds: float = 0.0

    def key(self) -> tuple[Any, ...]:
        return (self.opened, self.engine, tables_of(self.locks), self.allowed)

    def add(self, other: TransactionRow) -> None:
        add_times(self, other)
        add_locks(self, other)
        self.statement_seconds += other.statement_seconds
        self.external_seconds += other.external_seconds


@dataclass(slots=True, repr=False, eq=False)
class CallRow(Plain):
    """One external call's target from one call path, in one state.

    `opened` is the call path that opened the transaction (or, merely held, took the connection)
    and `hold` the one that took the connection; `block` is the `with` statement that keeps it
    open, as written; `allowed` the reason why this is no finding.
    """

    path: CallPath
    kind: str
    target: str
    state: State
    engine: str | None = None
    opened: CallPath = ()
    hold: CallPath = ()
    locks: tuple[Lock, ...] = ()
    inspected: Inspected | None = None
    allowed: str | None = None
    block: str | None = None
    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    def key(self) -> tuple[Any, ...]:
        return (
            self.path,
            self.kind,
            self.target,
            self.state,
            self.engine,
            self.opened,
            self.hold,
            tables_of(self.locks),
            self.allowed,
        )

    def add(self, other: CallRow) -> None:
        add_times(self, other)
        add_locks(self, other)
        # Any of them will do, but the same one in whatever order rows are merged.
        blocks = [block for block in (self.block, other.block) if block]
        self.block = min(blocks) if blocks else None


@dataclass(slots=True, repr=False, eq=False)
class LineRow(Plain):
    """One line's totals; `await_seconds` and the held shares are None where not measured."""

    line: int
    hits: int = 0
    seconds: float = 0.0
    await_seconds: float | None = None
    held_seconds: float | None = None
    transaction_seconds: float | None = None

    def key(self) -> int:
        return self.line

    def add(self, other: LineRow) -> None:
        self.hits += other.hits
        self.seconds += other.seconds
        self.await_seconds = _plus(self.await_seconds, other.await_seconds)
        self.held_seconds = _plus(self.held_seconds, other.held_seconds)
        self.transaction_seconds = _plus(self.transaction_seconds, other.transaction_seconds)

    def plus(self, other: LineRow) -> LineRow:
        """A new row, of both."""
        return LineRow(
            self.line,
            self.hits + other.hits,
            self.seconds + other.seconds,
            _plus(self.await_seconds, other.await_seconds),
            _plus(self.held_seconds, other.held_seconds),
            _plus(self.transaction_seconds, other.transaction_seconds),
        )


def _plus(a: float | None, b: float | None) -> float | None:
    """`total` of two: a thousand recordings have millions of them."""
    if a is None:
        return b
    return a if b is None else a + b


@dataclass(slots=True, init=False, repr=False, eq=False)
class FunctionRow(Plain):
    """One profiled function, with its source as it was when it ran (None where unreadable)."""

    file: str
    function: str
    first_line: int
    source: list[str] | None = None
    calls: int | None = 0
    held_seconds: float | None = None
    transaction_seconds: float | None = None
    lines: list[LineRow] = field(default_factory=list)
    note: str | None = None

    def key(self) -> tuple[Any, ...]:
        return (self.file, self.function, self.first_line, tuple(self.source or ()))

    def add(self, other: FunctionRow) -> None:
        self.calls = total((self.calls, other.calls))
        self.held_seconds = total((self.held_seconds, other.held_seconds))
        self.transaction_seconds = total((self.transaction_seconds, other.transaction_seconds))
        lines = {line.line: line for line in self.lines}
        for line in other.lines:
            known = lines.get(line.line)
            lines[line.line] = line if known is None else known.plus(line)
        self.lines = [lines[number] for number in sorted(lines)]
        notes = {note for note in (self.note, other.note) if note}
        self.note = min(notes) if notes else None


@dataclass(slots=True, init=False, repr=False, eq=False)
class CheckoutRow(Plain):
    """Checkouts from one call path that broke one of the pool's rules.

    `path` asked for the connection; `held` took the one that was held by then (nested-checkout).
    `blocking`: the wait kept an event loop from running. `held_at_once` counts the new one;
    `collected` those that were left to the garbage collector. `holders`, the longest first, are
    those of one moment: that with the longest hold.
    """

    rule: str
    engine: str
    path: CallPath
    held: CallPath = ()
    blocking: bool = False
    allowed: str | None = None
    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    held_at_once: int = 0
    collected: int = 0
    holders: tuple[Holder, ...] = ()

    def key(self) -> tuple[Any, ...]:
        return (self.rule, self.engine, self.path, self.held, self.blocking, self.allowed)

    def add(self, other: CheckoutRow) -> None:
        add_times(self, other)
        self.held_at_once = max(self.held_at_once, other.held_at_once)
        self.collected += other.collected
        self.holders = max(self.holders, other.holders, key=_in_order)


def _in_order(holders: tuple[Holder, ...]) -> list[tuple[Any, ...]]:
    """What orders them, so that merging keeps the same ones in whatever order it goes."""
    return [
        (one.seconds, one.owner, one.taken or (), one.now or (), one.statement or "")
        for one in holders
    ]


@dataclass(slots=True, repr=False, eq=False)
class Recorded(Plain):
    """One run, or many merged: `runs` counts them. `started_at` is in seconds since the epoch.

    It, `seconds` and `calls` are None where line_profiler did the timing, and merely that.
    `exemplars`, the slowest first, are at most `exemplars_kept`: None where none were looked for.
    """

    names: list[str]
    started_at: float | None
    seconds: float | None
    runs: int = 1
    calls: int | None = 0
    functions: list[FunctionRow] = field(default_factory=list)
    statements: list[StatementRow] = field(default_factory=list)
    bursts: list[BurstRow] = field(default_factory=list)
    idle: list[IdleRow] = field(default_factory=list)
    transactions: list[TransactionRow] = field(default_factory=list)
    external_calls: list[CallRow] = field(default_factory=list)
    pools: list[PoolRow] = field(default_factory=list)
    holds: list[HoldRow] = field(default_factory=list)
    checkouts: list[CheckoutRow] = field(default_factory=list)
    exemplars: list[ExemplarRow] = field(default_factory=list)
    exemplars_kept: int | None = None

    @property
    def watched(self) -> bool:
        """Whether connections and calls were watched in any of the runs."""
        return self.seconds is not None


Row = TypeVar(
    "Row",
    FunctionRow,
    LineRow,
    StatementRow,
    BurstRow,
    IdleRow,
    TransactionRow,
    CallRow,
    PoolRow,
    HoldRow,
    CheckoutRow,
)


def added(rows: Iterable[Row]) -> list[Row]:
    """Rows of one key added up, into the first of them."""
    totals: dict[Any, Row] = {}
    for row in rows:
        key = row.key()
        if key in totals:
            totals[key].add(row)
        else:
            totals[key] = row
    return list(totals.values())


def copied(row: Row) -> Row:
    """A row of its own, also of what is counted within it."""
    return row.copy() if isinstance(row, PoolRow | HoldRow) else replace(row)


def added_apart(rows: Iterable[Row]) -> list[Row]:
    """The same, and every row stays as it was: the first of several is copied, no other."""
    totals: dict[Any, Row] = {}
    ours: set[Any] = set()
    for row in rows:
        key = row.key()
        if key not in totals:
            totals[key] = row
            continue
        if key not in ours:
            totals[key] = copied(totals[key])
            ours.add(key)
        totals[key].add(row)
    return list(totals.values())


Number = TypeVar("Number", int, float)


def total(numbers: Iterable[Number | None]) -> Number | None:
    """The sum of those that were measured; None if none was."""
    measured = [number for number in numbers if number is not None]
    return functools.reduce(operator.add, measured) if measured else None
