"""What one process of a program yields, and how it reaches the disk before the process ends.

The file is written to a temporary one and renamed: whoever reads it, whenever the process dies,
finds the last whole state.
"""

from __future__ import annotations

import os
import sys
from _thread import LockType, allocate_lock, start_new_thread
from collections.abc import Callable

from txprof import context
from txprof.clock import clock
from txprof.context import Hold
from txprof.programs.orders import Orders
from txprof.recorded import Recorded
from txprof.recording import save
from txprof.runs import BlockRun
from txprof.safety import note_once
from txprof.settings import current

_SHARE = 20
"""Of the time, writing gets no more than one part in so many, however much there is to write."""


class Part:
    """A run that watches this process, and the file it is written to."""

    def __init__(self, orders: Orders, *, before_main: bool) -> None:
        settings = current().with_arguments(orders.settings)
        self.orders = orders
        self.run = BlockRun(
            orders.name,
            [],
            settings,
            scope="process",
            names=orders.lines,
            before_main=before_main,
        )
        self._path = orders.part(os.getpid(), self.run.collector.started_at)
        self._is_over = False
        self.flusher = Flusher(self.flush, settings.flush_seconds)

    def flush(self) -> None:
        """Write down what there is so far."""
        recorded = self.run.profile.recorded
        if self.orders.is_main or _has_something(recorded):
            save(recorded, self._path)

    def finish(self) -> None:
        """The process ends: write all of it. Once: several ends of a process may tell of it."""
        if self._is_over:
            return
        self._is_over = True
        self.flusher.stop()
        try:
            self.run.leave(failed=True, tell_names=self.orders.is_main)
            self.flush()
        except Exception as error:
            # Not in silence: what is missing must not pass for a clean process.
            print(f"txprof: what this process did is not recorded: {error}", file=sys.stderr)

    def abandon(self) -> None:
        """This is a forked child: what was counted is its parent's."""
        self._is_over = True
        self.flusher.forget()
        self.run.abandon()


class Flusher:
    """Calls `flush` every so often.

    From a thread that `threading` does not know of, so that the program's own threads are counted
    and waited for as without it. It stands aside while the process forks: Python warns of threads.
    """

    def __init__(self, flush: Callable[[], None], seconds: float) -> None:
        self._flush = flush
        self._seconds = seconds
        self._wake = allocate_lock()
        self._ended = allocate_lock()
        self._runs = False

    def start(self) -> None:
        """From now on; again, after `stop`."""
        if self._runs or not self._seconds:
            return
        self._runs = True
        # New ones each time: a thread that could not be waited for has the old ones.
        self._wake, self._ended = allocate_lock(), allocate_lock()
        self._wake.acquire()
        self._ended.acquire()
        try:
            start_new_thread(self._loop, (self._wake, self._ended))
        except RuntimeError:  # the interpreter is shutting down, or there can be no more threads
            self._runs = False

    def flush_now(self, patience: float) -> None:
        """Write now, on a thread that has none of this one's locks; wait for so long."""
        self.stop(patience=patience)
        done = allocate_lock()
        done.acquire()
        start_new_thread(self._flush_once, (done,))
        done.acquire(timeout=patience)

    def stop(self, *, patience: float = 60.0) -> None:
        """Not any more."""
        if self._runs:
            self._runs = False
            self._wake.release()
            self._ended.acquire(timeout=patience)

    def forget(self) -> None:
        """This is a forked child: the thread, and what it writes, is the parent's."""
        self._runs = False
        self._do_not_go_on()

    def stand_aside(self) -> None:
        """Until something happens that is worth writing down."""
        if self._runs:
            self.stop(patience=5.0)
            context.edges.append(self._go_on)

    def _go_on(self, _hold: Hold) -> None:
        self._do_not_go_on()
        self.start()

    def _do_not_go_on(self) -> None:
        if self._go_on in context.edges:
            context.edges.remove(self._go_on)

    def _loop(self, wake: LockType, ended: LockType) -> None:
        try:
            pause = self._seconds
            while not wake.acquire(timeout=pause):
                began = clock.now()
                self._try()
                pause = max(self._seconds, _SHARE * (clock.now() - began))
        finally:
            ended.release()

    def _flush_once(self, done: LockType) -> None:
        self._try()
        done.release()

    def _try(self) -> None:
        try:
            self._flush()
        except Exception as error:
            note_once("the recording of a process", error)


def _has_something(recorded: Recorded) -> bool:
    return bool(
        recorded.statements
        or recorded.external_calls
        or recorded.checkouts
        or any(function.calls for function in recorded.functions)
    )
