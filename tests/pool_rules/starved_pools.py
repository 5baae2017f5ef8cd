"""Threads that hold the connections of a pool, and others that wait for one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path

from helpers import FakeClock, eventually
from sqlalchemy import Engine, text

import txprof


def in_thread(work: Callable[[], object], name: str = "worker") -> threading.Thread:
    """It runs."""
    thread = threading.Thread(target=work, name=name)
    thread.start()
    return thread


def wait_for(engine: Engine, seconds: float, time: FakeClock, work: Callable[[], object]) -> None:
    """Let `work` wait so long for the one connection of the pool."""
    with engine.connect():
        thread = in_thread(work)
        eventually(lambda: txprof.pool_status(engine).waiting == 1)
        time.tick(seconds)
    thread.join()


class Holding:
    """Threads that hold a connection each until the block is left."""

    def __init__(self, engine: Engine, names: list[str], time: FakeClock | None = None) -> None:
        self._engine = engine
        self._names = names
        self._time = time
        self._arrived = threading.Semaphore(0)
        self._enough = threading.Event()
        self._threads: list[threading.Thread] = []

    def _hold(self) -> None:
        with self._engine.connect() as connection:  # taken
            connection.execute(text("SELECT 'held'"))
            self._arrived.release()
            self._enough.wait()  # now

    def __enter__(self) -> None:
        for name in self._names:
            self._threads.append(in_thread(self._hold, name))
            self._arrived.acquire()
            eventually(lambda: self._waits(self._threads[-1]))
            if self._time is not None:
                self._time.tick(1)

    def _waits(self, thread: threading.Thread) -> bool:
        frame = sys._current_frames()[thread.ident or 0]
        return frame.f_code.co_qualname in ("Event.wait", "Condition.wait")

    def __exit__(self, *error: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()


def line_in_file(marker: str, file: str = __file__) -> int:
    lines = Path(file).read_text().splitlines()
    (line,) = [number for number, each in enumerate(lines, 1) if each.endswith(f"# {marker}")]
    return line
