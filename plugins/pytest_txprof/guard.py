"""A bug of ours turns nobody's test red: what gave way is told at the end, and the test runs on."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

_MEANT = (pytest.UsageError, Warning)
"""What is raised on purpose: options that are wrong; our warnings, where a filter makes errors of
them. pytest's own `Failed`, `Skipped` and `Exit` are no `Exception`s at all."""


class Guard:
    """`with guard("the start of a test"):` notes an error of ours, once for each such part."""

    def __init__(self) -> None:
        self.noted: dict[str, str] = {}
        """Part -> what became of it."""
        self._untold: dict[str, str] = {}
        self._written: set[str] = set()

    def __call__(self, part: str) -> _Guarded:
        return _Guarded(self, part)

    def note(self, part: str, error: Exception) -> None:
        """It gave way."""
        if part not in self.noted:
            self.noted[part] = self._untold[part] = _where(error)

    def tell(self, report: Any) -> None:
        """A report takes along what is new: from xdist's workers to who writes the summary."""
        if self._untold:
            report.txprof_gave_way, self._untold = self._untold, {}

    def hear(self, report: Any) -> None:
        """Of what a report took along."""
        for part, what in getattr(report, "txprof_gave_way", {}).items():
            self.noted.setdefault(part, what)

    def write(self, terminal: pytest.TerminalReporter) -> None:
        """What was noted, and not written yet."""
        for part, what in self.noted.items():
            if part not in self._written:
                self._written.add(part)
                terminal.write_line(
                    f"txprof: {part} gave way, which no test was changed by; findings may be "
                    f"missing. {what}",
                    yellow=True,
                )


class _Guarded:
    __slots__ = ("_guard", "_part")

    def __init__(self, guard: Guard, part: str) -> None:
        self._guard = guard
        self._part = part

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, _MEANT):
            return False
        self._guard.note(self._part, error)
        return True


def _where(error: Exception) -> str:
    """AttributeError at watcher.py:43 in _judge. No text, which may tell of the program's data;
    but that of the operating system, which tells of a file that was asked for."""
    what = type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        what += (
            f" ({error.strerror}: {error.filename})" if error.filename else f" ({error.strerror})"
        )
    last = traceback.extract_tb(error.__traceback__)[-1:]
    places = [f" at {at.filename}:{at.lineno} in {at.name}" for at in last]
    return what + "".join(places)
