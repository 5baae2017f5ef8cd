"""Jobs that hold connections for as long as a test wants."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable

from helpers import PATIENCE
from sqlalchemy import Engine, text

import txprof

Run = Callable[..., str]
"""A command of txprof, run; what it says."""


class Jobs:
    """Threads that take a connection each, and keep it until they are told to let go."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self._threads: list[threading.Thread] = []

    def hold(self, engine: Engine, name: str) -> None:
        """One more has a connection when this returns."""
        ready = threading.Event()
        thread = threading.Thread(target=self._job, args=(engine, ready), name=name)
        self._threads.append(thread)
        thread.start()
        assert ready.wait(PATIENCE)

    def _job(self, engine: Engine, ready: threading.Event) -> None:
        with engine.connect() as connection:  # taken
            connection.execute(text("SELECT 1"))
            ready.set()
            self._go.wait(PATIENCE)  # stands

    def site(self, marker: str) -> txprof.Site:
        """The line of a job that carries `# marker`."""
        lines, first = inspect.getsourcelines(self._job)
        found = [n for n, line in enumerate(lines, first) if line.endswith(f"# {marker}\n")]
        return txprof.Site(__file__, found[0], "Jobs._job")

    def let_go(self) -> None:
        self._go.set()
        for thread in self._threads:
            thread.join(PATIENCE)
