"""The slowest transactions, kept whole: which they are, and how a recording holds them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from txprof.forking import new_lock
from txprof.model import CallPath
from txprof.plain import Plain

if TYPE_CHECKING:
    from txprof.context import End
    from txprof.ran import Exemplar

Ran = tuple[float, float, int, int, bool]
"""start, end, index of the path, index of the text, whether it failed"""

Called = tuple[float, float, int, str, int, str | None]
"""start, end, index of the path, kind, index of the target, why it is allowed"""


@dataclass(slots=True, repr=False, eq=False)
class ExemplarRow(Plain):
    """`model.Exemplar` with each path and text, which repeat, written once."""

    engine: str
    process: str
    connection: int
    owner: str
    started_at: float
    seconds: float
    outcome: str
    finishing: float | None = None
    hold_start: float = 0.0
    hold_end: float | None = None
    wait_seconds: float | None = None
    opened: CallPath = ()
    hold: CallPath = ()
    paths: list[CallPath] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    statements: list[Ran] = field(default_factory=list)
    external_calls: list[Called] = field(default_factory=list)
    dropped: int = 0

    def __lt__(self, other: ExemplarRow) -> bool:
        """The slower one comes first. A total order: merging keeps the same ones in any order."""
        mine, theirs = _order(self), _order(other)
        return repr(self) < repr(other) if mine == theirs else mine < theirs

    def exemplar(self) -> Exemplar:
        """As a reader sees it."""
        from txprof.ran import Exemplar, TimedCall, TimedStatement

        paths, texts = self.paths, self.texts
        return Exemplar(
            engine=self.engine,
            process=self.process,
            connection=self.connection,
            owner=self.owner,
            started_at=self.started_at,
            seconds=self.seconds,
            outcome=self.outcome,
            finishing=self.finishing,
            hold_start=self.hold_start,
            hold_end=self.hold_end,
            wait_seconds=self.wait_seconds,
            opened=self.opened,
            hold=self.hold,
            statements=tuple(
                TimedStatement(start, end, paths[path], texts[text], failed)
                for start, end, path, text, failed in self.statements
            ),
            external_calls=tuple(
                TimedCall(start, end, paths[path], kind, texts[target], allowed)
                for start, end, path, kind, target, allowed in self.external_calls
            ),
            dropped=self.dropped,
        )


def slowest(rows: Iterable[ExemplarRow], limit: int | None) -> list[ExemplarRow]:
    """The slowest of them, the slowest first; None: all."""
    rows = list(rows)
    if limit and len(rows) > limit:
        # Before whole rows are compared, which takes long, all that cannot be among them go.
        last = heapq.nsmallest(limit, map(_order, rows))[-1]
        rows = [row for row in rows if _order(row) <= last]
    return sorted(rows)[:limit]


def _order(row: ExemplarRow) -> tuple[float, float, str, int]:
    """What tells rows apart, as a rule."""
    return (-row.seconds, row.started_at, row.process, row.connection)


_Kept = tuple[ExemplarRow, float, "End"]
"""And when the transaction began, on the clock of the end of its hold."""


def _row(kept: _Kept) -> ExemplarRow:
    return kept[0]


class Slowest:
    """The slowest transactions so far, whichever threads they ran in."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._kept: list[_Kept] = []
        self._floor = 0.0 if limit else float("inf")
        self._lock = new_lock()

    def admits(self, seconds: float) -> bool:
        """Whether one of so many seconds may be among them: asked before its row is made."""
        return seconds >= self._floor

    def close(self) -> None:
        """Nobody reads what would come from now on."""
        self._floor = float("inf")

    def add(self, row: ExemplarRow, since: float, end: End) -> None:
        """One ended, on a hold that ends later."""
        with self._lock:
            self._kept.append((row, since, end))
            if len(self._kept) > self.limit:
                self._kept.sort(key=_row)
                del self._kept[self.limit :]
            if len(self._kept) == self.limit and self._floor < float("inf"):
                self._floor = max(map(_row, self._kept)).seconds

    def rows(self) -> list[ExemplarRow]:
        """The slowest first, with the end of their holds where it came."""
        with self._lock:
            kept = sorted(self._kept, key=_row)
        return [
            replace(row, hold_end=None if end.at is None else round(end.at - since, 6))
            for row, since, end in kept
        ]
