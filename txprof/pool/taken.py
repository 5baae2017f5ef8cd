"""Who took which connection of one pool, and where: one small record for each that is out.

Kept from the first `txprof.explain_timeouts` of its engine on. A record lies under the id of the
driver's connection, so that the next checkout of that connection overwrites it: nothing has to be
done when it goes back, and there are no more records than connections.
"""

from __future__ import annotations

import sys
from asyncio import current_task
from asyncio.events import _get_running_loop  # public by asyncio's docs, for its speed
from collections.abc import Iterator
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, NamedTuple
from weakref import ref

from txprof import callsite
from txprof.clock import clock
from txprof.model import Site
from txprof.owners import Task

_SWEPT = 64
"""Records from which on those of connections that are no more are looked for."""


class Out(NamedTuple):
    """A connection that is out."""

    thread: int
    task: Task
    since: float
    taken: Site | None
    statement: str | None = None

    @property
    def is_dead(self) -> bool:
        """Whether the thread or task that took it has ended."""
        if self.task is not None:
            task = self.task()
            return task is None or bool(task.done())
        return self.thread not in sys._current_frames()


class Checkouts:
    """The records of one pool."""

    __slots__ = ("_called", "_caller", "_depth", "_limit", "_records", "users")

    def __init__(self) -> None:
        self.users: list[object] = []
        """On whose behalf they are kept; nothing is noted while there are none."""
        self._records: dict[int, tuple[Any, ...]] = {}
        self._limit = _SWEPT
        # How far out the application stood last, and the library's code that it called: see
        # `callsite.Shortcut`.
        self._depth = 0
        self._called: CodeType | None = None
        self._caller: CodeType | None = None

    def note(self, fairy: Any) -> None:
        """It was checked out just now. Budget: 2 us, with the wrap (benchmarks/checkouts.py)."""
        frame: FrameType | None = None
        if self._depth:
            try:
                library = sys._getframe(self._depth)
            except ValueError:  # the stack is not that deep
                pass
            else:
                if library.f_code is self._called:
                    frame = library.f_back
        if frame is None or (
            frame.f_code is not self._caller
            and not callsite.is_application(frame.f_code.co_filename)
        ):
            frame = self._application()
        loop = _get_running_loop()
        task = None if loop is None else current_task(loop)
        self._records[id(fairy.dbapi_connection)] = (
            ref(fairy),
            get_ident(),
            None if task is None else ref(task),
            clock.now(),
            None if frame is None else frame.f_code,
            0 if frame is None else frame.f_lasti,
        )
        if len(self._records) > self._limit:
            self._sweep()

    def _application(self) -> FrameType | None:
        """The innermost application frame; notes the shortcut to it, where there is one."""
        library = None
        for depth, frame in enumerate(callsite.frames(sys._getframe(1))):  # 0: `note`
            if callsite.is_application(frame.f_code.co_filename):
                if library is not None and library.f_back is frame:
                    self._depth, self._called = depth - 1, library.f_code
                    self._caller = frame.f_code
                return frame
            library = frame
        return None

    def out(self) -> Iterator[tuple[int, Out]]:
        """What is out now, by the id of the driver's connection."""
        for key, (fairy, thread, task, since, code, instruction) in list(self._records.items()):
            if _is_out(fairy(), key):
                yield key, Out(thread, task, since, _site(code, instruction))

    def _sweep(self) -> None:
        """Forget connections that are no more: a pool may make new ones for ever."""
        for key, record in list(self._records.items()):
            if not _is_out(record[0](), key):
                self._records.pop(key, None)
        self._limit = max(_SWEPT, 2 * len(self._records))


def _is_out(fairy: Any, key: int) -> bool:
    return fairy is not None and id(fairy.dbapi_connection) == key and not fairy.is_detached


def _site(code: CodeType | None, instruction: int) -> Site | None:
    if code is None:
        return None
    line = next(
        (
            line
            for start, end, line in code.co_lines()
            if start <= instruction < end and line is not None
        ),
        code.co_firstlineno,
    )
    return Site(code.co_filename, line, code.co_qualname)
