"""One call from the harness into the application, and what is open for it: see `txprof.Harness`.

What the harness has open is its own: the outer transaction that a fixture wraps around each test is
none of the application's. What the application opens inside it counts, be it a SAVEPOINT or a
Session's transaction that the engine never hears of. And each call from the harness into the
application is an entry of its own (`Visit`): a loop in a test is no loop of the application's.
docs/decisions/0004-the-harness-is-not-the-application.md says why it is told by frames.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from contextvars import ContextVar
from types import FrameType
from typing import TYPE_CHECKING, Any

from txprof.callsite import Path
from txprof.context import Hold, Transaction
from txprof.entries import Entry

if TYPE_CHECKING:
    from txprof.boundary import Boundary


class Visit:
    """One call from the harness into the application.

    It stands on the outermost frame of the call, as its `f_trace`, and goes with it: so a visit is
    told from the next one from the same line, and no frame is kept alive.
    """

    __slots__ = ("__weakref__", "_traced", "entries", "thread")

    def __init__(self, traced: Any) -> None:
        self.thread = threading.get_ident()
        self._traced = traced
        """The trace function that stood there: a debugger's, or coverage's."""
        self.entries: dict[Any, Entry] = {}
        """By collector."""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Visit:
        """Pass on what Python tells the frame's trace function, if anybody traces."""
        if self._traced is not None:
            self._traced = self._traced(frame, event, argument) or self._traced
        return self

    def __del__(self) -> None:
        ended = over  # not folded here: this may run while locks are held
        if ended is not None and self.entries:
            ended.extend(self.entries.values())


over: deque[Entry] = deque()
"""Of visits that are gone; folded when the next one begins."""

visit_here: ContextVar[Visit | None] = ContextVar("txprof_visit", default=None)
"""In a thread that a visit started: that visit. Ask `inherited`."""


def inherited() -> Visit | None:
    """The visit that started the thread that runs here.

    In the visit's own thread the stack tells. asgiref, which runs Flask's async views in a thread,
    copies what is in the context there back into that of the caller, where it would stay.
    """
    visit = visit_here.get()
    return None if visit is None or visit.thread == threading.get_ident() else visit


OWN: Any = "the harness"
"""Who opened what the harness has open, or runs what is to count for nobody: set-up, tear-down."""


class Inner:
    """A transaction of the application's inside one of the harness's: a savepoint, or a Session's.

    `key` tells which: the name of the savepoint, or the `SessionTransaction`'s id.
    """

    __slots__ = ("_alive", "by", "key", "locked", "path", "users")

    def __init__(self, key: Any, by: Any, path: Path, locked: int, alive: Any = None) -> None:
        self.key = key
        self.by = by
        self.path = path
        self.locked = locked
        """Of the statements that the outer transaction locked by, those that came before."""
        self.users: dict[Visit, Path] = {}
        self._alive = None if alive is None else weakref.ref(alive)

    @property
    def is_open(self) -> bool:
        """Whether its owner was not left to the garbage collector."""
        return self._alive is None or self._alive() is not None


class Counted:
    """What is open for a visit: a hold, and the transaction on it, if one is."""

    __slots__ = ("hold", "path", "transaction")

    def __init__(self, hold: Hold, transaction: Transaction | Inner | None, path: Path) -> None:
        self.hold = hold
        self.transaction = transaction
        self.path = path
        """Where that was opened, or first used by the visit, if the harness opened it."""

    def locking(self) -> list[tuple[str, Path]]:
        """The statements that locked something since, and where from."""
        outer = self.hold.transaction
        if self.transaction is None or outer is None:
            return []
        since = self.transaction.locked if isinstance(self.transaction, Inner) else 0
        return list(outer.locking.items())[since:]


def is_harness_own(opened: Hold | Transaction) -> bool:
    """Whether it is the harness's, and the application ran nothing in it."""
    return opened.by is OWN or (opened.by is None and not opened.users)


def is_for(visit: Visit, opened: Hold | Transaction | Inner) -> bool:
    """Whether this visit opened it, or ran something in it."""
    if opened.by is OWN or (isinstance(opened, Inner) and not opened.is_open):
        return False
    return opened.by is visit or visit in opened.users


# --- which harness there is ----------------------------------------------------------------------

current: Boundary | None = None
"""That of the profile that began last: asked by the sensors, None for most programs."""

_running: list[Boundary] = []
_lock = threading.Lock()


def begin(boundary: Boundary) -> None:
    """A profile with this harness begins."""
    global current
    with _lock:
        _running.append(boundary)
        current = boundary


def end(boundary: Boundary) -> None:
    """It ended."""
    global current
    with _lock:
        _running.remove(boundary)
        current = _running[-1] if _running else None


def carried(frame: FrameType) -> Visit | None:
    """What a thread that is started at `frame` works for."""
    if current is None:
        return None
    visit, _ = current.who(frame)
    return None if visit is OWN else visit
