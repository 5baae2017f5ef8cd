"""Which holds and transactions are open here.

One record per checked-out connection. A context keeps an immutable tuple of the records opened in
it, which the tasks and threads that it starts inherit. Each record knows whether it is still open
and to which thread and task it belongs, so that whoever sees a stale or inherited tuple can judge
it. Nothing is counted: counters drift when a connection is lost, records do not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextvars import ContextVar
from threading import get_ident
from types import FrameType
from typing import Any, NamedTuple
from weakref import ref

from txprof import callsite, owners, waiting
from txprof.callsite import Path
from txprof.clock import clock


class Gap(NamedTuple):
    """A while in which a transaction sat without a statement."""

    seconds: float
    before: Path
    """Of the statement, or the BEGIN, before it; () if that is not known."""
    after: Path
    """Of the statement, COMMIT or ROLLBACK that ended it."""
    external_seconds: float
    """Of the external calls in it."""
    call: Path
    """Of the longest of these."""
    locking: tuple[tuple[str, Path], ...]
    """The statements before it that may have locked rows, and where from."""
    is_harness: bool
    """Whether a harness ran in it: it lies between two calls into the application, or after the
    last."""


class End:
    """When a hold ended, for what is kept longer than the hold."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at: float | None = None


EVENTS = 1_000
"""Of one transaction's statements, and of its external calls, the first so many are remembered."""

RAN = 5 * EVENTS


class Transaction:
    """From BEGIN to COMMIT or ROLLBACK on a held connection; savepoints nest in it unseen."""

    __slots__ = (
        "_call",
        "_external",
        "_longest_call",
        "by",
        "calls",
        "dropped",
        "external_seconds",
        "finishing",
        "gaps",
        "harness_seconds",
        "inspected",
        "key",
        "last",
        "locking",
        "path",
        "ran",
        "since",
        "statement_seconds",
        "users",
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by: Any = None
        """Who opened it (`txprof.visits`), if there is a harness."""
        self.users: dict[Any, Path] = {}
        """Who else ran something in it, and from where first."""
        self.since = self.last = clock.now()
        """`last`: when the last statement ended."""
        self.locking: dict[str, Path] = {}
        """The statements so far that may have locked rows or tables, and where each ran first."""
        self.key: Any = None
        """The last statement's `entries.Key`, if somebody watches."""
        self.gaps: list[Gap] = []
        """The longest ones so far."""
        self.ran: list[Any] = []
        """The statements that somebody watched, flat, which the garbage collector does not mind:
        since, until, `entries.Key`, the entries that watched, whether it failed."""
        self.calls: list[tuple[Any, ...]] = []
        """The external calls: since, until, the row they count in, the entries that watched, the
        target as nobody redacted it."""
        self.dropped = 0
        """Those that were one too many."""
        self.finishing: tuple[str, float] | None = None
        """COMMIT or ROLLBACK of a two-phase transaction is under way, and since when."""
        self.inspected: Any = None
        """What the server said of it, if it was asked: a `recorded.Inspected`."""
        self.statement_seconds = 0.0
        self.external_seconds = 0.0
        self.harness_seconds = 0.0
        """Of its gaps that are the harness's."""
        self._external = 0.0
        self._longest_call = 0.0
        self._call: Path = ()

    def called(self, path: Path, seconds: float, *, allowed: bool) -> None:
        """An external call was made in it; while one ran that is allowed, it did not sit idle."""
        if allowed:
            self.last += seconds
            return
        self.external_seconds += seconds
        self._external += seconds
        if seconds >= self._longest_call:
            self._longest_call = seconds
            self._call = path

    def sat(self, until: float, before: Path, after: Path, *, is_harness: bool) -> None:
        """The next statement came after a while."""
        seconds = until - self.last
        locking = tuple(self.locking.items())
        gap = Gap(seconds, before, after, self._external, self._call, locking, is_harness)
        self.gaps = sorted([*self.gaps, gap], reverse=True)[:_GAPS]
        if is_harness:
            self.harness_seconds += seconds
        self._external = self._longest_call = 0.0
        self._call = ()


class Hold:
    """A connection that is checked out: where, since when, by which thread and task."""

    __slots__ = (
        "autocommit",
        "by",
        "connection",
        "end",
        "engine",
        "external_seconds",
        "guard",
        "inner",
        "is_open",
        "path",
        "pool",
        "running",
        "session",
        "since",
        "statement",
        "statement_seconds",
        "task",
        "thread",
        "transaction",
        "transaction_seconds",
        "users",
        "waited",
    )

    def __init__(self, engine: str, path: Path, pool: object = None) -> None:
        self.engine = engine
        self.pool = pool
        self.path = path
        self.by: Any = None
        """Who took it, and who ran something on it: see `Transaction.by`."""
        self.users: dict[Any, Path] = {}
        self.inner: list[Any] = []
        """Transactions inside the harness's one: `harness.Inner`s, the outermost first."""
        self.thread = get_ident()
        self.task: ref[Any] | None = None
        self.belong_here()
        self.since = clock.now()
        self.end = End()
        self.is_open = True
        self.connection = 0
        """The number of the connection in this process; 0 if it cannot be told."""
        self.waited: float | None = None
        """Seconds until the pool gave it, if that was seen."""
        self.guard: Any = None
        """The pool sensor's: who is told if the connection is not given back."""
        self.session: int | None = None
        """What the server calls it, where the server may be asked (`sensors/inspecting.py`)."""
        self.autocommit = False
        self.transaction: Transaction | None = None
        self.transaction_seconds = 0.0
        """Of the transactions that ended on this hold."""
        self.statement: str | None = None
        """The one that ran on it last."""
        self.statement_seconds = 0.0
        self.external_seconds = 0.0
        """Of the external calls made while it was open, here or by whom its owner waits for."""
        self.running: list[object] = []
        """The line timer's: profiled calls that run while this is open."""

    def belong_here(self) -> None:
        """Its owner is the thread and task that run now."""
        task = waiting.current_task()
        self.thread = get_ident()
        self.task = None if task is None else ref(task)

    def is_here(self) -> bool:
        """Whether its owner is what runs now."""
        if self.task is None:
            return self.thread == get_ident()  # as `owners` has it, without a call
        return owners.is_here(self.thread, self.task)

    def is_orphan(self) -> bool:
        """Whether the task or thread it belongs to has ended."""
        return owners.has_ended(self.thread, self.task)

    def owner(self) -> str:
        """The thread or task it belongs to, by name."""
        return owners.name(self.thread, self.task)

    def waits_here(self, *, late: bool) -> bool:
        """Whether its owner, another task or thread, waits for what runs, or `late`: ran, here."""
        if self.task is None:
            return waiting.thread_waits(self.thread, late=late)
        owner = self.task()
        return owner is not None and waiting.task_waits(owner)

    def begin(self, path: Path) -> None:
        """A transaction starts; one that is open already goes on."""
        if self.transaction is None:
            self.transaction = Transaction(path)
            notify(self)

    def end_transaction(self) -> None:
        """COMMIT or ROLLBACK was sent. Whether it succeeded does not matter: it is over."""
        if self.transaction is not None:
            self.transaction_seconds += clock.now() - self.transaction.since
            self.transaction = None
            self.inner = []
            notify(self)

    def close(self) -> bool:
        """The connection went back, or was lost. False if that was known already."""
        if not self.is_open:
            return False
        if self.transaction is not None:
            self.transaction_seconds += clock.now() - self.transaction.since
            self.transaction = None
        self.is_open = False
        self.end.at = clock.now()
        self.by, self.users, self.inner = None, {}, []
        # It stays in `holds_here`, where whoever looks passes it over. The garbage collector may be
        # what closes it, in the middle of somebody's ContextVar.set, and on CPython 3.11 a second
        # one inside the first frees the table that the first is working on: the process crashes.
        notify(self)
        return True


GAP = 0.01
"""Seconds without a statement from which on a transaction remembers where it sat."""

_GAPS = 8

holds_here: ContextVar[tuple[Hold, ...]] = ContextVar("txprofholds_here", default=())

edges: list[Callable[[Hold], None]] = []
"""Called after a hold or its transaction opened or ended: the line timer splits its line there."""


def _leave_to_parent() -> None:
    """In a forked child: connections that were out are its parent's."""
    holds_here.set(())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)


def open_hold(engine: str, path: Path, pool: object = None) -> Hold:
    """A connection was checked out here."""
    hold = Hold(engine, path, pool)
    holds_here.set((*(other for other in holds_here.get() if other.is_open), hold))
    notify(hold)
    return hold


def adopt(hold: Hold) -> None:
    """A connection opened in another context is used here: from now on it is ours."""
    if hold.is_open:
        holds_here.set((*(other for other in holds_here.get() if other.is_open), hold))
        hold.belong_here()


def own() -> tuple[Hold, ...]:
    """The open holds of the thread and task that run here, oldest first."""
    holds = holds_here.get()
    if not holds:
        return holds
    return tuple(hold for hold in holds if hold.is_open and hold.is_here())


def open_here(*, late: bool = False) -> tuple[Hold, ...]:
    """The same, and those of an owner that waits for what runs, or `late`: ran, here."""
    holds = holds_here.get()
    if not holds:
        return holds
    if len(holds) == 1 and holds[0].is_open and holds[0].is_here():
        return holds  # nearly always, and without a copy
    # A generator would take longer than what it asks.
    found = []
    any_open = False
    for hold in holds:
        if hold.is_open:
            any_open = True
            if hold.is_here() or hold.waits_here(late=late):
                found.append(hold)
    if not any_open:
        holds_here.set(())
    return tuple(found)


def undecided_here() -> bool:
    """Whether a hold was inherited whose owner does not wait for us, or not yet."""
    for hold in holds_here.get():  # noqa: SIM110  (any() takes twice as long)
        if hold.is_open and not hold.is_here():
            return True
    return False


def deciding(holds: tuple[Hold, ...]) -> Hold | None:
    """Of the holds open here, the one a finding names: the latest with a transaction, or at all."""
    for hold in reversed(holds):
        if hold.transaction is not None:
            return hold
    return holds[-1] if holds else None


def judging_here(*, late: bool) -> tuple[Hold | None, bool]:
    """The hold that a finding here names, and `undecided_here`; with one look, as a rule."""
    holds = holds_here.get()
    if not holds:
        return None, False
    if len(holds) == 1 and holds[0].is_open and holds[0].is_here():
        return holds[0], False
    found = open_here(late=late)
    return deciding(found), found is not holds and undecided_here()


def notify(hold: Hold) -> None:
    """Tell who listens to `edges` that something opened or ended on a hold."""
    for edge in edges:
        edge(hold)


def call_path(frame: FrameType, hold: Hold | None) -> Path:
    """The application path of a call at `frame` that `hold` judges.

    Where the owner of the hold is a task or thread that waits for this one, the path goes on at
    the line where it waits: that is the line which mixes.
    """
    if hold is None or hold.is_here():
        return callsite.path(frame)
    task = waiting.current_task()
    root = None if task is None else waiting.root_frame(task)
    own_frames = []
    for own_frame in callsite.frames(frame):
        own_frames.append(own_frame)
        if own_frame is root:
            break
    own_path = callsite.path_of(own_frames)
    if hold.task is None:
        waiting_frame = sys._current_frames().get(hold.thread)
        return own_path + callsite.path(waiting_frame)
    owner = hold.task()
    if owner is None:
        return own_path
    owner_path = callsite.path_of(waiting.suspended_frames(owner))
    return own_path + owner_path + _below(owner_path, hold.path)


def _below(owner: Path, opened: Path) -> Path:
    """The part of the path that opened which lies below the owner's own coroutine."""
    if owner:
        file, _, function = owner[-1]
        for index in range(len(opened) - 1, -1, -1):
            if opened[index][0] == file and opened[index][2] == function:
                return opened[index + 1 :]
    return ()
