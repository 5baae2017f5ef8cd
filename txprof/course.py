"""How a pool was used over time: cells of equal width, which widen as the time grows.

A cell is 2 ** `exponent` seconds wide and has its number since the epoch, so that those of several
processes fall onto each other. If there are more than `MOST`, pairs of them become one. Widths are
a function of all that was noted: courses merge in any order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ldexp
from typing import NamedTuple

from txprof.plain import Plain

MOST = 240
"""Cells: what a screen can show, and what a recording should hold."""

FINEST = -10
"""Of the first cells, the exponent: 1 ms."""

COARSEST = 30
"""34 years: what a clock that was set wrong cannot exceed."""

_MOST_OF_ANYTHING = 1e15
"""In a cell: a million connections for as long as the coarsest are."""


class Cell(NamedTuple):
    """Sums over the processes whose pools were watched in this time.

    `seconds` watched, `busy` connections and `waiting` workers in seconds of each, and the most
    connections of one process that were out at once.
    """

    seconds: float = 0.0
    busy: float = 0.0
    peak: int = 0
    waiting: float = 0.0


@dataclass(slots=True, repr=False, eq=False)
class Course(Plain):
    """The cells, by number."""

    exponent: int = FINEST
    cells: dict[int, Cell] = field(default_factory=dict)

    def note(self, start: float, end: float, busy: int) -> None:
        """So many connections were out from `start` to `end`, in seconds since the epoch.

        Runs twice a checkout: what is most frequent, a cell that is there already, comes first.
        """
        number = int(ldexp(start, -self.exponent))
        old = self.cells.get(number)
        if old is None or number != int(ldexp(end, -self.exponent)):
            self._spread(start, end, 1.0, busy, 0.0)
            return
        seconds, peak = end - start, old[2]
        if busy > peak:
            peak = busy
        # As Cell(...), in half the time.
        self.cells[number] = _make(Cell, (old[0] + seconds, old[1] + seconds * busy, peak, old[3]))

    def note_wait(self, start: float, end: float) -> None:
        """One worker waited."""
        self._spread(start, end, 0.0, 0, 1.0)

    def _spread(self, start: float, end: float, watched: float, busy: int, waiting: float) -> None:
        while True:
            first, last = int(ldexp(start, -self.exponent)), int(ldexp(end, -self.exponent))
            if last - first < MOST or self.exponent >= COARSEST:
                break
            self._widen()
        last = min(last, first + MOST)
        cells = self.cells
        for number in range(first, last + 1):
            seconds = end - start
            if first != last:
                begin = max(start, ldexp(number, self.exponent))
                seconds = max(0.0, min(end, ldexp(number + 1, self.exponent)) - begin)
            old = cells.get(number)
            if old is None:
                old = _EMPTY
            cells[number] = Cell(
                old[0] + seconds * watched,
                old[1] + seconds * busy,
                old[2] if old[2] > busy else busy,
                old[3] + seconds * waiting,
            )
        while len(cells) > MOST and self.exponent < COARSEST:
            self._widen()
            cells = self.cells

    def _widen(self) -> None:
        self.exponent += 1
        wider: dict[int, Cell] = {}
        for number, cell in self.cells.items():
            half = number >> 1
            old = wider.get(half)
            wider[half] = cell if old is None else _sum(old, cell)
        self.cells = wider

    def plus(self, other: Course) -> Course:
        """Both together; neither is changed."""
        one, two = self.copy(), other.copy()
        while one.exponent < two.exponent:
            one._widen()
        while two.exponent < one.exponent:
            two._widen()
        for number, cell in two.cells.items():
            old = one.cells.get(number)
            one.cells[number] = cell if old is None else _sum(old, cell)
        while len(one.cells) > MOST and one.exponent < COARSEST:
            one._widen()
        one.cells = dict(sorted(one.cells.items()))
        return one

    def is_sound(self, end_of_time: float) -> bool:
        """Whether a course that was read is one: its cells lie before then and hold amounts."""
        if not FINEST <= self.exponent <= COARSEST:
            return False
        last = ldexp(end_of_time, -self.exponent)
        return all(
            0 <= number < last and all(0 <= amount <= _MOST_OF_ANYTHING for amount in cell)
            for number, cell in self.cells.items()
        )

    def copy(self) -> Course:
        """One that nobody else touches."""
        return Course(self.exponent, dict(self.cells))


_EMPTY = Cell()
_make = tuple.__new__


def _sum(one: Cell, other: Cell) -> Cell:
    return Cell(one[0] + other[0], one[1] + other[1], max(one[2], other[2]), one[3] + other[3])
