"""What the harness does, and what the application does for it: see `txprof.Harness`.

What the harness has open is its own: the outer transaction that a fixture wraps around each test is
none of the application's. What the application opens inside it counts, be it a SAVEPOINT or a
Session's transaction that the engine never hears of. And each call from the harness into the
application is an entry of its own (`Visit`): a loop in a test is no loop of the application's.
docs/decisions/0004-the-harness-is-not-the-application.md says why it is told by frames.
"""

from __future__ import annotations

import inspect
import itertools
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from sys import _getframe as getframe
from types import CodeType, FrameType
from typing import Any, NamedTuple

from txprof import callsite, waiting
from txprof.callsite import Path
from txprof.context import Hold, Transaction, holds_here
from txprof.entries import Entry
from txprof.places import Place, is_outermost_greenlet

_LIBRARY, _APPLICATION, _HARNESS = range(3)

_STDLIB = os.path.dirname(os.__file__) + os.sep
_RUNNERS = ("anyio", "trio", "pytest", "_pytest", "pluggy", "pytest_asyncio", "hypothesis")
"""Libraries that run a harness's own functions for it; others call the application back."""


class Visit:
    """One call from the harness into the application.

    It stands on the outermost frame of the call, as its `f_trace`, and goes with it: so a visit is
    told from the next one from the same line, and no frame is kept alive.
    """

    __slots__ = ("__weakref__", "_traced", "entries")

    def __init__(self, traced: Any) -> None:
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
        over = _over  # not folded here: this may run while locks are held
        if over is not None and self.entries:
            over.extend(self.entries.values())


_over: deque[Entry] = deque()
"""Of visits that are gone; folded when the next one begins."""

visit_here: ContextVar[Visit | None] = ContextVar("txprof_visit", default=None)
"""In a thread that a visit started: that visit."""

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


class Counted(NamedTuple):
    """What is open for a visit: a hold, and the transaction on it, if one is."""

    hold: Hold
    transaction: Transaction | Inner | None
    path: Path
    """Where that was opened, or first used by the visit, if the harness opened it."""

    def locking(self) -> list[tuple[str, Path]]:
        """The statements that locked something since, and where from."""
        outer = self.hold.transaction
        if self.transaction is None or outer is None:
            return []
        since = self.transaction.locked if isinstance(self.transaction, Inner) else 0
        return list(outer.locking.items())[since:]


class _Known(NamedTuple):
    """What runs at a place, as it was found there before."""

    frame: int
    """How far out from `Boundary.who_at` the visit stands; 0 if the harness itself runs."""
    code: CodeType | None
    outer: CodeType | None
    """The code of that frame, and of its caller: no other frame of the stack has these two."""
    harness: bool


_KNOWN = 4_096
"""Statements at places that a boundary remembers; with one more all are forgotten."""


class Boundary:
    """Where the application begins, on any stack: behind a `txprof.Harness`."""

    def __init__(
        self, is_harness: Callable[[str], object], is_script: Callable[[str], object]
    ) -> None:
        self._is_harness = is_harness
        self._is_script = is_script
        self._places: dict[str, int] = {}
        self._own: dict[int, tuple[CodeType, bool]] = {}
        self._names: set[tuple[str, str]] = set()
        """Of its own functions: file and qualified name."""
        self._known: dict[tuple[Place, object], _Known | None] = {}
        """None for what was seen once, or is to be looked at anew each time."""
        self.aside = 0
        """How often what runs now was said to count for nobody."""
        self.visits = 0
        """How many there were."""

    # What the harness says.

    def add(self, functions: Iterable[Callable[..., Any]], *, aside: bool) -> None:
        """See `txprof.Harness.add`."""
        for function in functions:
            code = getattr(inspect.unwrap(function), "__code__", None)
            if code is not None and self._own.get(id(code)) != (code, aside):
                self._known.clear()
                self._own[id(code)] = (code, aside)
                self._names.add((code.co_filename, code.co_qualname))

    def forget(self) -> None:
        """Ask anew of every file; no function is the harness's any more."""
        self._places.clear()
        self._own.clear()
        self._names.clear()
        self._known.clear()

    def take_over(self) -> None:
        """See `txprof.Harness.take_over`."""
        from txprof import sensors
        from txprof.sensors import checkouts, placing

        if not placing.installed():
            sensors.install()
        for hold in list(checkouts.holds.values()):
            hold.by = OWN
            hold.inner = []
            hold.users = {}
            if hold.transaction is not None:
                hold.transaction.by = OWN

    # What the sensors ask.

    def who(self, frame: FrameType) -> tuple[Any, bool]:
        """The visit that runs at `frame`: a `Visit`, `OWN` where it counts for nobody, None where
        the harness itself runs. And whether the innermost code is the harness's."""
        if self.aside:
            return OWN, True
        places = self._places
        innermost: int | None = None
        outermost = entered = lenient = pending = previous = None
        # Runs for each transaction and call of a test: a plain loop over the stack where it is one
        # (benchmarks/plugin.py).
        root = waiting.task_root()
        chain = None if root is None and is_outermost_greenlet() else _callers(frame, root)
        each: FrameType | None = frame if chain is None else next(chain, None)
        while each is not None:
            code = each.f_code
            place = places.get(code.co_filename)
            if place is None:
                place = self._place(code.co_filename)
            if not place:
                if pending is not None and outermost is None and _calls_back(code.co_filename):
                    outermost = pending
                pending = None
            elif place == _APPLICATION:
                outermost, entered, pending = each, None, None
                innermost = place if innermost is None else innermost
            else:
                innermost = place if innermost is None else innermost
                own = self._own.get(id(code))
                if own is not None and own[1]:
                    return OWN, True
                if outermost is not None:
                    entered = entered or previous
                elif own is None and code.co_name[0] != "<":
                    pending = each
                    if "<locals>" not in code.co_qualname and self._is_script(code.co_filename):
                        lenient = each
                if own is not None:
                    break
            previous = each
            each = each.f_back if chain is None else next(chain, None)
        if outermost is not None and entered is None:
            entered = root or outermost
        entered = entered or lenient
        if entered is None:
            return visit_here.get(), True
        return self._visit_on(entered), innermost == _HARNESS and lenient is None

    def who_at(self, place: Place, statement: object, out: int) -> tuple[Any, bool]:
        """The same, of the frame so far out from the caller, which is at this place.

        Runs for each statement of a test (benchmarks/plugin.py). At one place it is always the same
        frame that the visit stands on; how far out it is depends on the statement too, which
        SQLAlchemy sends by way of more or fewer frames of its own. `who` looks at each of them.
        """
        if self.aside:
            return OWN, True
        known = self._known.get((place, statement))
        if known is not None and waiting.current_task() is None:
            if not known.frame:
                return visit_here.get(), True
            try:
                frame = getframe(known.frame)
                if frame.f_code is known.code and getframe(known.frame + 1).f_code is known.outer:
                    return self._visit_on(frame), known.harness
            except ValueError:  # the stack is not that deep
                pass
        frame = getframe(1 + out)
        visit, harness = self.who(frame)
        key = (place, statement)
        if key in self._known:
            self._known[key] = self._found(frame, 1 + out, visit, harness)
        else:  # most statements of most suites run once from their place: not worth a second walk
            if len(self._known) >= _KNOWN:
                self._known.clear()
            self._known[key] = None
        return visit, harness

    def _found(self, frame: FrameType, out: int, visit: Any, harness: bool) -> _Known | None:
        """What was found at `frame`; None where it may be another the next time."""
        if visit is OWN or waiting.current_task() is not None or not is_outermost_greenlet():
            return None
        stack = list(callsite.stack(frame))
        for each, outer in itertools.pairwise(stack):
            code = each.f_code
            if self._places.get(code.co_filename) == _HARNESS:
                if not callsite.is_application(code.co_filename):
                    return None  # it is no part of the place
                if id(code) in self._own:
                    break
                if not callsite.is_application(outer.f_code.co_filename):
                    return None  # who it runs for was told by that library
        inherited = visit_here.get()
        if visit is None and inherited is None:
            return _Known(0, None, None, harness)
        marks = [index for index, each in enumerate(stack[:-1]) if each.f_trace is visit]
        if visit is inherited or len(marks) != 1:
            return None
        [mark] = marks
        pairs = [(inner.f_code, outer.f_code) for inner, outer in itertools.pairwise(stack)]
        return _Known(out + mark, *pairs[mark], harness) if pairs.count(pairs[mark]) == 1 else None

    def _visit_on(self, frame: FrameType) -> Visit:
        found = frame.f_trace
        if type(found) is Visit:
            return found
        inherited = visit_here.get()
        if inherited is not None:
            return inherited
        visit = Visit(found)
        frame.f_trace = visit
        self.visits += 1
        return visit

    def _place(self, file: str) -> int:
        place = _LIBRARY
        if self._is_harness(file):
            place = _HARNESS
        elif callsite.is_application(file):
            place = _APPLICATION
        self._places[file] = place
        return place

    def opens(self, frame: FrameType) -> Any:
        """Who opens something at `frame`."""
        visit, harness = self.who(frame)
        return OWN if harness and visit is not None else visit

    def entered(
        self, entries: tuple[Entry, ...], hold: Hold, place: Place, statement: object, out: int
    ) -> tuple[Entry, ...]:
        """The entries that a statement counts in, so far out from the caller; notes whom it was
        run for."""
        visit, _ = self.who_at(place, statement, out + 1)
        if not hold.is_here():  # a fixture's task or thread opened it
            hold.belong_here()
        if visit is None:
            return entries
        if visit is not OWN:
            opened: list[Any] = [hold, *hold.inner]
            if hold.transaction is not None:
                opened.append(hold.transaction)
            for each in opened:
                if each.by is not visit and visit not in each.users:
                    each.users[visit] = self.cut(place.path)
        found = []
        for entry in entries:
            if entry.collector.harness is None or not entry.is_block:
                found.append(entry)
            elif visit is not OWN:
                found.append(self._entry(visit, entry.collector))
        return tuple(found)

    def _entry(self, visit: Visit, collector: Any) -> Entry:
        entry = visit.entries.get(collector)
        if entry is None:
            # A visit may outlive many profiles: that of a server's thread.
            visit.entries = {key: one for key, one in visit.entries.items() if not one.is_over}
            while _over:
                over = _over.popleft()
                over.is_over = True
                over.collector.fold(over)
            entry = visit.entries.setdefault(collector, Entry(collector))
        return entry

    def counted(self, holds: tuple[Hold, ...], frame: FrameType) -> Counted | None:
        """Of what is open here, what is the application's, and open for what runs at `frame`."""
        visit, _ = self.who(frame)
        if visit is None or visit is OWN:
            return None
        # And what somebody used last for this visit who has ended since.
        known = [hold for hold in holds_here.get() if hold.is_open and hold not in holds]
        holds = (*holds, *(hold for hold in known if hold.is_orphan()))
        for hold in reversed(holds):
            opened: list[Any] = [hold.transaction, *hold.inner]
            for transaction in opened:
                if transaction is not None and _is_for(visit, transaction):
                    return Counted(hold, transaction, self._opened(visit, transaction))
        for hold in reversed(holds):
            if _is_for(visit, hold):
                return Counted(hold, None, self._opened(visit, hold))
        return None

    def _opened(self, visit: Visit, opened: Hold | Transaction | Inner) -> Path:
        return opened.users.get(visit) or self.cut(opened.path)

    def cut(self, path: Path) -> Path:
        """The path without the harness's frames around the application's, and what is around."""
        outermost = len(path)
        for index, (file, _, function) in enumerate(path):
            if (file, function) in self._names:
                outermost = index
                break
        while outermost and self._is_around(path[outermost - 1]):
            outermost -= 1
        return path[:outermost] or path

    def _is_around(self, frame: callsite.Frame) -> bool:
        file, _, function = frame
        if self._places.get(file, _LIBRARY) != _HARNESS:
            return False
        own = (file, function) in self._names or "<locals>" in function
        return own or not self._is_script(file)

    def runs(self, frame: FrameType) -> bool:
        """Whether it is the harness that runs at `frame`, not the application."""
        return not isinstance(self.who(frame)[0], Visit)


def is_harness_own(opened: Hold | Transaction) -> bool:
    """Whether it is the harness's, and the application ran nothing in it."""
    return opened.by is OWN or (opened.by is None and not opened.users)


def _is_for(visit: Visit, opened: Hold | Transaction | Inner) -> bool:
    """Whether this visit opened it, or ran something in it."""
    if opened.by is OWN or (isinstance(opened, Inner) and not opened.is_open):
        return False
    return opened.by is visit or visit in opened.users


def _callers(frame: FrameType, root: FrameType | None) -> Iterator[FrameType]:
    """Every frame from `frame` outwards, those of the tasks that wait for this one between."""
    for each in callsite.stack(frame):
        yield each
        if each is root:
            yield from waiting.awaiting_frames()


def _calls_back(file: str) -> bool:
    """Whether code of this library calls the application, and does not run the harness."""
    if file.startswith(("<", _STDLIB)) and "-packages" + os.sep not in file:
        return False
    package = file.rpartition("-packages" + os.sep)[2].split(os.sep, 1)[0]
    return package.removesuffix(".py") not in _RUNNERS


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
