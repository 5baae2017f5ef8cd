"""Where the application begins, on any stack: behind a `txprof.Harness`."""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from sys import _getframe as getframe
from types import CodeType, FrameType
from typing import Any, NamedTuple

from txprof import callsite, compiled, waiting
from txprof.callsite import Path
from txprof.context import Hold, Transaction, holds_here
from txprof.entries import Entry
from txprof.places import Place, Start, is_outermost_greenlet
from txprof.visits import OWN, Counted, Inner, Visit, inherited, is_for, over

_LIBRARY, _APPLICATION, _HARNESS = range(3)

_RUNNERS = frozenset(
    (
        *("anyio", "trio", "pytest", "_pytest", "pluggy", "pytest_asyncio", "hypothesis"),
        *("factory", "pytest_factoryboy", "polyfactory", "model_bakery", "mixer"),
        *("freezegun", "time_machine", "vcr"),
    )
)
"""Libraries that run a harness's own functions for it; others call the application back."""


class _Known(NamedTuple):
    """What runs at a place, as it was found there before."""

    frame: int
    """How far out the visit stands from where `Boundary.who_at` is told to look, counted with one
    for that; 0 if the harness itself runs."""
    code: CodeType | None
    outer: CodeType | None
    """The code of that frame, and of its caller: no other frame of the stack has these two."""
    harness: bool


_KNOWN = 4_096
"""Statements at places that a boundary remembers; with one more all are forgotten."""


class Boundary:
    """Where the application begins, on any stack: behind a `txprof.Harness`."""

    __slots__ = (
        "_is_harness",
        "_is_script",
        "_known",
        "_names",
        "_own",
        "_passed",
        "_places",
        "aside",
        "keepers",
        "visits",
    )

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
        self._passed: set[int] = set()
        """The code on the paths of these places, which keep it, by id."""
        self.aside = 0
        """How often what runs now was said to count for nobody."""
        self.keepers: tuple[Callable[[], Iterable[Any]], tuple[type, ...]] | None = None
        """The harness's own objects, which may have connections; what is none of them."""
        self.visits = 0
        """How many there were."""

    # What the harness says.

    def add(self, functions: Iterable[Callable[..., Any]], *, aside: bool) -> None:
        """See `txprof.Harness.add`."""
        for function in functions:
            code = getattr(inspect.unwrap(function), "__code__", None)
            if code is not None and self._own.get(id(code)) != (code, aside):
                if id(code) in self._passed:
                    self._forget_known()
                self._own[id(code)] = (code, aside)
                self._names.add((code.co_filename, code.co_qualname))

    def forget(self) -> None:
        """Ask anew of every file; no function is the harness's any more."""
        self._places.clear()
        self._own.clear()
        self._names.clear()
        self._forget_known()

    def _forget_known(self) -> None:
        self._known.clear()
        self._passed.clear()

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

    def keeps(self, fairy: Any) -> bool:
        """Whether the harness's own objects have this connection."""
        if self.keepers is None or fairy is None:
            return False
        from txprof import keeping

        objects, besides = self.keepers
        return keeping.has(objects(), fairy, besides=besides)

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
            return inherited(), True
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
                return inherited(), True
            try:
                frame = getframe(known.frame + out)
                outer = getframe(known.frame + out + 1)
                if frame.f_code is known.code and outer.f_code is known.outer:
                    return self._visit_on(frame), known.harness
            except ValueError:  # the stack is not that deep
                pass
        frame = getframe(1 + out)
        visit, harness = self.who(frame)
        key = (place, statement)
        if key in self._known:
            self._known[key] = self._found(frame, visit, harness)
        else:  # most statements of most suites run once from their place: not worth a second walk
            if len(self._known) >= _KNOWN:
                self._forget_known()
            self._known[key] = None
            self._passed.update(map(id, place.codes))
        return visit, harness

    def _found(self, frame: FrameType, visit: Any, harness: bool) -> _Known | None:
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
        passed_on = inherited()
        if visit is None and passed_on is None:
            return _Known(0, None, None, harness)
        marks = [index for index, each in enumerate(stack[:-1]) if each.f_trace is visit]
        if visit is passed_on or len(marks) != 1:
            return None
        [mark] = marks
        pairs = [(inner.f_code, outer.f_code) for inner, outer in itertools.pairwise(stack)]
        return _Known(1 + mark, *pairs[mark], harness) if pairs.count(pairs[mark]) == 1 else None

    def _visit_on(self, frame: FrameType) -> Visit:
        found = frame.f_trace
        if type(found) is Visit:
            return found
        passed_on = inherited()
        if passed_on is not None:
            return passed_on
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

    def opens(self, place: Place, start: Start) -> Any:
        """Who opens something in the caller, which is at this place; `start` knows it by."""
        visit, harness = self.who_at(place, start, 1)
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
            # Each time the same in nearly all of them: nothing is made for it.
            transaction = hold.transaction
            if hold.by is not visit and visit not in hold.users:
                hold.users[visit] = self.cut(place.path)
            if (
                transaction is not None
                and transaction.by is not visit
                and visit not in transaction.users
            ):
                transaction.users[visit] = self.cut(place.path)
            for inner in hold.inner:
                if inner.by is not visit and visit not in inner.users:
                    inner.users[visit] = self.cut(place.path)
            if len(entries) == 1 and entries[0].is_block:
                mine = visit.entries.get(entries[0].collector)
                if mine is not None:  # of a block with a harness: there are no others
                    return (mine,)
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
            while over:
                ended = over.popleft()
                ended.is_over = True
                ended.collector.fold(ended)
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
                if transaction is not None and is_for(visit, transaction):
                    return Counted(hold, transaction, self._opened(visit, transaction))
        for hold in reversed(holds):
            if is_for(visit, hold):
                return Counted(hold, None, self._opened(visit, hold))
        return None

    def _opened(self, visit: Visit, opened: Hold | Transaction | Inner) -> Path:
        return opened.users.get(visit) or self.cut(opened.path)

    def goes_on(self, transaction: Transaction, frame: FrameType) -> bool:
        """Whether what runs at `frame` is the same call into the application as before in it."""
        visit, _ = self.who(frame)
        return isinstance(visit, Visit) and is_for(visit, transaction)

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


def _callers(frame: FrameType, root: FrameType | None) -> Iterator[FrameType]:
    """Every frame from `frame` outwards, those of the tasks that wait for this one between."""
    for each in callsite.stack(frame):
        yield each
        if each is root:
            yield from waiting.awaiting_frames()


def _calls_back(file: str) -> bool:
    """Whether code of this library calls the application, and does not run the harness."""
    if file.startswith(("<", waiting.STDLIB)) and "-packages" + os.sep not in file:
        return False
    package = file.rpartition("-packages" + os.sep)[2].split(os.sep, 1)[0]
    return package.removesuffix(".py") not in _RUNNERS


compiled.bind(Boundary=Boundary, Inner=Inner, Visit=Visit)
