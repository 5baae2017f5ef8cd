"""Events in, bounded mergeable aggregates out.

A `Collector` belongs to one profile. Those that watch here are found through `active()`: the ones
of the context (decorated functions, `scope="context"`) and the ones of the whole process.
Statements and calls are aggregated as they arrive, a part per thread, so that memory grows with
distinct sites and not with events, and nothing is locked on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from txprof.callsite import Path
from txprof.clock import clock
from txprof.entries import COMPACTED, OTHERS, Entry, Key, Rows, add_rows, compact
from txprof.exemplars import Slowest
from txprof.forking import new_lock
from txprof.model import Site
from txprof.parts import Part, add_by_key, by_key, fold
from txprof.perthread import PerThread
from txprof.pooled import HoldRow, PoolRow
from txprof.recorded import (
    BurstRow,
    CallRow,
    CheckoutRow,
    Recorded,
    added,
)
from txprof.redaction import redactor
from txprof.settings import Settings

if TYPE_CHECKING:
    from txprof.recorded import FunctionRow

_CASES = 1_024


class Collector:
    """What one profile gathers; `function_rows` asks the line timer for its part."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        function_rows: Callable[[Collector], list[FunctionRow]] = lambda _: [],
    ) -> None:
        self.name = name
        self.settings = settings
        self.redact = redactor(settings.redact)
        self.started_at = clock.wall()
        self.calls = 0
        self.seconds = 0.0
        self._function_rows = function_rows
        self.harness: Any = None
        """What is no part of the application, if something is: a `txprof.Harness`."""
        self.judges_harness = False
        """Whether a burst of the harness's own is one."""
        self.is_block = False
        """Whether its profile is that of a block, in which each profiled call is an entry."""
        self.reported: set[tuple[Any, ...]] = set()
        """Rules and sites that `on_finding` has been told of."""
        self.slowest = Slowest(settings.exemplars)
        self.inspected: set[tuple[Any, ...]] = set()
        """Findings for which the server was asked who waits."""
        self.running_since = 0.0
        """Since when there has been a profiled call, or the block, under way without a pause."""
        self._open: set[Entry] = set()
        self._unfolded: set[Entry] = set()
        self._parts = PerThread(Part, fold)
        self._lock = new_lock()

    # Entries.

    def begin(self, *, is_block: bool = False) -> Entry:
        """A profiled call or block begins: what it runs here is counted in it."""
        entry = Entry(self, is_block=is_block)
        self.is_block = is_block
        self._runs(entry)
        return entry

    def pause(self, entry: Entry, *, calls: int) -> None:
        """It stopped, for good or for a while; `calls` is what it adds to their number."""
        seconds = clock.now() - entry.since
        self._open.discard(entry)
        with self._lock:
            self.calls += calls
            self.seconds += seconds

    def resume(self, entry: Entry) -> None:
        """It goes on."""
        entry.since = clock.now()
        self._runs(entry)

    def _runs(self, entry: Entry) -> None:
        if not self._open:
            self.running_since = clock.now()
        self._open.add(entry)

    def has_rows(self, entry: Entry) -> None:
        """An entry began to run statements: also one that is over, in a task that outlives it."""
        self._unfolded.add(entry)

    def fold(self, entry: Entry) -> Recorded:
        """An entry is over: its counts go to the totals. Returns what is wrong with it alone."""
        entry.is_over = True
        if entry.is_block and self.harness is not None:
            for other in list(self._unfolded):  # visits that go on, in tasks of the background
                other.is_over = True
        found = self._fold(entry)
        if self._unfolded:
            for other in list(self._unfolded):
                if other.is_over:  # a task that outlives it ran something
                    self._fold(other)
        return found

    def _fold(self, entry: Entry) -> Recorded:
        self._unfolded.discard(entry)
        found = Recorded([self.name], None, None, runs=0)
        if not (entry.parts or entry.idle or entry.long):
            return found
        mine = self._parts.mine()
        if entry.parts:
            rows = entry.rows()
            entry.parts = {}
            found.bursts = self._bursts(entry, rows)
            add_rows(mine.statements, rows, self.settings.max_rows, are_ours=True)
            if len(mine.statements) > mine.limit:
                compact(mine.statements)
                mine.limit = max(COMPACTED, 2 * len(mine.statements))
            add_by_key(mine.bursts, by_key(found.bursts))
        if entry.idle or entry.long:
            found.idle, found.transactions = added(entry.idle), added(entry.long)
            entry.idle, entry.long = [], []
            add_by_key(mine.idle, by_key(found.idle))
            add_by_key(mine.transactions, by_key(found.transactions))
        return self.redact.recorded(found)

    def _bursts(self, entry: Entry, rows: Rows) -> list[BurstRow]:
        """What the entry repeated; what a harness repeats itself is none of the application's."""
        if self.harness is not None and entry.is_block and not self.judges_harness:
            return []
        return entry.bursts(rows.values())

    # Events.

    def call(self, case: Hashable, row: CallRow, allowed: str | None) -> CallRow:
        """An external call starts: the row that its time goes to, counted.

        `row` is what calls of this case are, and `allowed` why this one is no finding.
        """
        part = self._parts.mine()
        try:
            mine = part.cases[case, allowed]
        except KeyError:
            if len(part.cases) >= _CASES:
                part.cases.clear()
            mine = part.cases[case, allowed] = self._row(part, row, allowed)
        mine.count += 1
        return mine

    def settled(self, case: Hashable) -> CallRow | None:
        """The row of a call that starts, counted, if calls of this case are settled here."""
        try:
            part: Part = self._parts.local.part  # `mine`, without a call
        except AttributeError:  # this thread's first
            return None
        row = part.settled.get(case)
        if row is not None:
            row.count += 1
        return row

    def settle(self, case: Hashable, row: CallRow) -> None:
        """From now on calls of this case count in this row, and nothing else comes of them."""
        settled = self._parts.mine().settled
        if len(settled) >= _CASES:
            settled.clear()
        settled[case] = row

    def _row(self, part: Part, row: CallRow, allowed: str | None) -> CallRow:
        rows = part.calls
        row = replace(row, allowed=allowed, target=self.redact("target", row.target))
        key = row.key()
        if key not in rows and len(rows) >= self.settings.max_rows:
            row.target = OTHERS
            row.path = row.path[:1]
            row.opened = row.hold = ()
            key = row.key()
        return rows.setdefault(key, row)

    def pool(self, engine: str) -> PoolRow:
        """This thread's row for a pool."""
        rows = self._parts.mine().pools
        row = rows.get(engine)
        if row is None:
            row = rows[engine] = PoolRow(engine)
        return row

    def hold(self, engine: str, path: Path) -> HoldRow:
        """This thread's row for connections that are taken there."""
        rows = self._parts.mine().holds
        key = (engine, path[0] if path else None)
        row = rows.get(key)
        if row is None:
            if len(rows) >= self.settings.max_rows:
                key = (engine, None)
            site = None if key[1] is None else Site(*key[1])
            row = rows.setdefault(key, HoldRow(engine, site))
        return row

    @property
    def is_running(self) -> bool:
        """Whether a profiled call, or the block, runs just now."""
        return bool(self._open)

    def checkout(self, row: CheckoutRow) -> None:
        """A checkout broke a rule of the pool, or was allowed to: counted."""
        rows = self._parts.mine().checkouts
        key = row.key()
        if key not in rows and len(rows) >= self.settings.max_rows:
            row.path, row.held = row.path[:1], ()
            key = row.key()
        if key in rows:
            rows[key].add(row)
        else:
            rows[key] = row

    # What came of it.

    def paths_of(self, entries: Iterable[Entry], keys: Collection[Key]) -> dict[Key, Path]:
        """Where these entries' statements were sent from; () where that is forgotten."""
        tables = [part for entry in entries for part in list(entry.parts.values())]
        tables += [part.statements for part in self._parts.all()]  # of those that are over
        found = {
            key: row.path for key in keys for rows in tables if (row := rows.get(key)) is not None
        }
        missing = [key for key in keys if key not in found]
        if missing:  # counted with another text, which came from the same place
            places = {key[2:]: row.path for rows in tables for key, row in list(rows.items())}
            found.update((key, places.get(key[2:], ())) for key in missing)
        return found

    def snapshot(self) -> Recorded:
        """Everything so far, as plain data that this collector will not touch again."""
        now = clock.now()
        running = sum(now - entry.since for entry in list(self._open))
        found = Recorded(
            names=[self.name],
            started_at=self.started_at,
            seconds=self.seconds + running,
            calls=self.calls,
            functions=self._function_rows(self),
            exemplars=self.slowest.rows(),
            exemplars_kept=self.slowest.limit or None,
        )
        if self._parts.is_used or self._unfolded:  # most tests of most suites did nothing
            self._add_rows(found)
        return self.redact.recorded(found)

    def _add_rows(self, found: Recorded) -> None:
        """What was counted so far, to a snapshot."""
        parts = self._parts.all()
        statements = [row.row() for part in parts for row in list(part.statements.values())]
        bursts = [replace(burst) for part in parts for burst in list(part.bursts.values())]
        idle = [replace(row) for part in parts for row in list(part.idle.values())]
        transactions = [replace(row) for part in parts for row in list(part.transactions.values())]
        for entry in list(self._unfolded):
            rows = entry.rows()
            statements += [row.row() for row in rows.values()]
            bursts += self._bursts(entry, rows)
            idle += [replace(row) for row in list(entry.idle)]
            transactions += [replace(row) for row in list(entry.long)]
        calls = added(replace(row) for part in parts for row in list(part.calls.values()))
        found.statements = added(statements)
        found.bursts = added(bursts)
        found.idle = added(idle)
        found.transactions = added(transactions)
        found.external_calls = [row for row in calls if row.count]
        found.pools = added(row.copy() for part in parts for row in list(part.pools.values()))
        found.holds = added(row.copy() for part in parts for row in list(part.holds.values()))
        found.checkouts = added(
            replace(row) for part in parts for row in list(part.checkouts.values())
        )


# --- who watches here ---------------------------------------------------------------------------

everywhere: tuple[Collector, ...] = ()
blocks: tuple[Entry, ...] = ()
"""Those of the collectors everywhere, where nothing else is known. Public for the statement sensor,
which cannot afford a call."""

watching_here: ContextVar[tuple[Collector, ...]] = ContextVar("txprof_collectors", default=())
entries_here: ContextVar[tuple[Entry, ...]] = ContextVar("txprof_entries", default=())
_registry_lock = new_lock()


def watches(_instance: object = None) -> object:
    """Whether anybody watches this context. Asked before every external call."""
    return everywhere or watching_here.get()


def active() -> tuple[Collector, ...]:
    """The collectors that watch this context."""
    here = watching_here.get()
    if not everywhere:
        return here
    if not here:
        return everywhere
    return here + tuple(collector for collector in everywhere if collector not in here)


def entries() -> tuple[Entry, ...]:
    """The entries that what runs here counts in: one for each collector that watches."""
    here = entries_here.get()
    if not blocks:
        return here
    return with_blocks(here) if here else blocks


def with_blocks(here: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """These, and the blocks of the collectors that have none among them."""
    known = [entry.collector for entry in here]
    return here + tuple(block for block in blocks if block.collector not in known)


def watch_process(collector: Collector) -> Entry:
    """From now on `collector` sees every thread and task."""
    global everywhere, blocks
    with _registry_lock:
        block = collector.begin(is_block=True)
        everywhere = (*everywhere, collector)
        blocks = (*blocks, block)
    return block


def unwatch_process(entry: Entry) -> None:
    """No more."""
    global everywhere, blocks
    with _registry_lock:
        everywhere = tuple(other for other in everywhere if other is not entry.collector)
        blocks = tuple(other for other in blocks if other is not entry)


def watch_context(entry: Entry) -> None:
    """From now on its collector sees this context, and counts in this entry."""
    watching_here.set((*watching_here.get(), entry.collector))
    enter(entry)


def unwatch_context(entry: Entry) -> None:
    """No more, also when called from another context than the one that began."""
    watching_here.set(tuple(o for o in watching_here.get() if o is not entry.collector))
    leave(entry)


def enter(entry: Entry) -> None:
    """What runs in this context counts in this entry, for its collector."""
    others = []
    for other in entries_here.get():
        if other.collector is entry.collector:
            entry.outer = other
        else:
            others.append(other)
    entries_here.set((*others, entry))


def leave(entry: Entry) -> None:
    """No more; from here on in the one that it was entered in, if any."""
    here = [other for other in entries_here.get() if other is not entry]
    if entry.outer is not None:
        here.append(entry.outer)
    entries_here.set(tuple(here))


def begin_calls(blocks: tuple[Collector, ...]) -> tuple[Entry, ...]:
    """A call of a function begins that these blocks profile: the outermost one is an entry."""
    here = [entry.collector for entry in entries_here.get() if not entry.is_block]
    begun = tuple(Entry(collector) for collector in blocks if collector not in here)
    for entry in begun:
        enter(entry)
    return begun


def end_calls(begun: tuple[Entry, ...]) -> None:
    """It returned or raised."""
    for entry in begun:
        leave(entry)
        entry.collector.fold(entry)
