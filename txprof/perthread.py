"""Aggregates written without a lock: one part a thread, added up when somebody reads."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from txprof.forking import new_lock

Part = TypeVar("Part")


def thread_local() -> Any:
    """What each thread of the operating system has of its own.

    Under gevent `threading.local` is a greenlet's. Greenlets of a thread switch at I/O, never in
    our code, so they can share.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return threading.local()
    return monkey.get_original("threading", "local")()


class _Owner:
    """Lives as long as its thread: kept by nothing but the thread's own."""

    __slots__ = ("__weakref__",)


class PerThread(Generic[Part]):
    """A part for each thread that writes; those of threads that ended are folded into one.

    `create()` makes an empty part, `fold(into, part)` adds one to another. A part is only written
    by its own thread; readers get all of them and must bear one that grows meanwhile.
    """

    def __init__(self, create: Callable[[], Part], fold: Callable[[Part, Part], None]) -> None:
        self._create = create
        self._fold = fold
        self.local = thread_local()
        self._lock = new_lock()
        self._ended = create()
        self._live: list[tuple[weakref.ref[_Owner], Part]] = []
        self.is_used = False
        """Whether any thread has a part, or had one."""

    def mine(self) -> Part:
        """This thread's part."""
        try:
            part: Part = self.local.part
        except AttributeError:
            part = self.local.part = self._create()
            owner = self.local.owner = _Owner()
            with self._lock:
                self._fold_ended()
                self._live.append((weakref.ref(owner), part))
                self.is_used = True
        return part

    def all(self) -> list[Part]:
        """Every part there is. The first is that of the threads that ended."""
        with self._lock:
            self._fold_ended()
            return [self._ended, *(part for _, part in self._live)]

    def _fold_ended(self) -> None:
        live = []
        for reference, part in self._live:
            if reference() is None:
                self._fold(self._ended, part)
            else:
                live.append((reference, part))
        self._live = live
