"""What the benchmarks share: variants that take turns, the figures drawn from them, and one table.

The variants of an operation take turns, a few milliseconds each, all through the run. A machine
with other work is slow for seconds at a time, and never too fast: a figure is the sample that one
in twenty of a variant's samples is faster than. How well it repeats is the spread of three figures,
of a third of the samples each. The garbage collector runs between the turns, not in them, as with
`timeit`.
"""

from __future__ import annotations

import argparse
import gc
import math
import platform
import random
import statistics
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import budgets
from budgets import Row

import txprof

SAMPLE_SECONDS = 0.002
"""How long a sample takes: short, so that many are left alone."""

SAMPLES_A_TURN = 5
MISSING = "-"


Around = Callable[[], AbstractContextManager[object]]
"""What a turn of a variant runs inside."""


@dataclass(frozen=True)
class Variant:
    """One way to do an operation: `run(count)` does it `count` times, inside `around()`."""

    name: str
    run: Callable[[int], object]
    around: Around = nullcontext
    warm_up: int = 200
    """Executions before the samples of a turn. CPython adapts its bytecode to what runs: after
    another variant had its turn it takes some dozens of executions to adapt again."""
    clock: Callable[[], float] = time.perf_counter
    """What its time is read from. Where a server answers it is the processor's, of this process."""
    count: int | None = None
    """Executions a sample; None: as many as fill one. Said where a run costs something by itself,
    which is told in a row of its own."""


@dataclass
class Samples:
    """Seconds per operation of each of its variants, one number a sample."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    a_turn: int = SAMPLES_A_TURN

    def take_turn(self, variant: Variant, count: int) -> None:
        """Some more samples of a variant, of `count` executions each."""
        seconds = self.seconds.setdefault(variant.name, [])
        with variant.around():
            variant.run(min(variant.warm_up, 10 * count))
            for _ in range(self.a_turn):
                seconds.append(_timed(variant, count) / count)
        gc.collect()

    def __contains__(self, name: str) -> bool:
        return bool(self.seconds.get(name))

    def figure(self, name: str) -> float:
        """Seconds per operation."""
        return _figure(self.seconds[name])

    def added(self, name: str, to: str = "bare") -> float:
        """Seconds that it adds to another variant, per operation."""
        return self.figure(name) - self.figure(to)

    def ratio(self, name: str, to: str = "bare") -> float:
        """How many times as long it takes."""
        return self.figure(name) / self.figure(to)

    def beside(self, name: str, peer: str) -> float:
        """How many times as much it adds as a peer does; infinite where that adds nothing."""
        theirs = self.added(peer)
        return self.added(name) / theirs if theirs > 0 else math.inf

    def spread(self, name: str, to: str = "bare") -> float:
        """Half the range of what it adds, as three thirds of the samples see it."""
        return self.spread_of(lambda found: found.added(name, to))

    def spread_of(self, value: Callable[[Samples], float]) -> float:
        """Half the range of a figure, as three thirds of the samples see it."""
        if any(len(seconds) < 3 for seconds in self.seconds.values()):
            return math.nan
        thirds = [value(self._part(slice(start, None, 3))) for start in range(3)]
        return (max(thirds) - min(thirds)) / 2

    def median_of(self, value: Callable[[Samples], float]) -> float:
        """The median of a figure over the turns, each seen for itself."""
        turns = min(len(seconds) for seconds in self.seconds.values()) // self.a_turn
        parts = (slice(turn * self.a_turn, (turn + 1) * self.a_turn) for turn in range(turns))
        return statistics.median(value(self._part(part)) for part in parts)

    def _part(self, part: slice) -> Samples:
        return Samples({name: seconds[part] for name, seconds in self.seconds.items()})

    def judged(
        self,
        budget: str,
        what: str,
        value: Callable[[Samples], float],
        limit: float,
        unit: str,
    ) -> Row:
        """A figure drawn from the samples, beside its budget."""
        spread = self.spread_of(value)
        return Row(
            budget,
            what,
            value(self),
            limit,
            unit,
            median=self.median_of(value),
            spread=None if math.isnan(spread) else spread,
        )

    def judged_added(
        self, budget: str, what: str, name: str, limit: float, scale: float = 1e6, unit: str = "us"
    ) -> Row:
        """What a variant adds, beside its budget: both in seconds, told in microseconds."""
        return self.judged(
            budget, what, lambda found: found.added(name) * scale, limit * scale, unit
        )


def _figure(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 20]


def half_of_the_middle(numbers: Sequence[float]) -> float:
    """Half of the range in which their middle half lies: the spread of what comes in rounds."""
    if len(numbers) < 4:
        return math.nan
    low, _, high = statistics.quantiles(numbers, n=4)
    return (high - low) / 2


Operation = TypeVar("Operation", bound=Hashable)


def measure(
    operations: Mapping[Operation, Sequence[Variant]], turns: int
) -> dict[Operation, Samples]:
    """Let all variants of all operations take so many turns, each time in another order."""
    order = [
        (operation, variant, _calibrated(variant))
        for operation, variants in operations.items()
        for variant in variants
    ]
    found = {operation: Samples() for operation in operations}
    gc.collect()
    gc.freeze()  # what is there now is not looked at again: a collection takes no time
    gc.disable()
    shuffle = random.Random(0).shuffle
    for _ in range(turns):
        shuffle(order)
        for operation, variant, count in order:
            found[operation].take_turn(variant, count)
    gc.enable()
    return found


def _calibrated(variant: Variant) -> int:
    if variant.count is not None:
        return variant.count
    count = 1
    with variant.around():
        variant.run(count)  # the first is slow: so few in a sample would bear what is around them
        while True:
            seconds = _timed(variant, count)
            if seconds >= SAMPLE_SECONDS / 4:
                return max(1, round(count * SAMPLE_SECONDS / seconds))
            count *= 2


def _timed(variant: Variant, count: int) -> float:
    clock = variant.clock
    started = clock()
    variant.run(count)
    return clock() - started


def watching() -> AbstractContextManager[object]:
    """While txprof watches, and lets everything happen."""
    return txprof.profile(on_finding="ignore")


@contextmanager
def installed_past_connections() -> Iterator[None]:
    """txprof, with its sensors in; connections that are out already stay as they are.

    It takes over such connections only where it is plain whose they are: in a process of one
    thread. For as long as this lasts there are two.
    """
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with watching():
            yield
    finally:
        done.set()
        thread.join()


class Table:
    """Aligned columns under a title: the first to the left, numbers to the right."""

    def __init__(self, title: str, *headers: str) -> None:
        self.title = title
        self.rows: list[tuple[str, ...]] = [headers]
        self.notes: list[str] = []
        self.judged: list[Row] = []

    def judge(self, row: Row) -> str:
        """Note what was measured of a budget; the verdict."""
        self.judged.append(row)
        return row.verdict

    def add(self, *cells: str) -> None:
        """A row; missing cells at its end stay empty."""
        self.rows.append(cells + ("",) * (len(self.rows[0]) - len(cells)))

    def note(self, text: str) -> None:
        """A line below the table."""
        self.notes.append(text)

    def __str__(self) -> str:
        widths = [max(len(cell) for cell in column) for column in zip(*self.rows, strict=True)]
        lines = [f"{self.title} (CPython {platform.python_version()})", ""]
        for row in self.rows:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        lines += ["", *self.notes] if self.notes else []
        return "\n".join(lines) + "\n"


def micros(seconds: float, digits: int = 2) -> str:
    """14.83"""
    return f"{seconds * 1e6:.{digits}f}"


def micros_added(seconds: float, digits: int = 2) -> str:
    """+2.91"""
    return f"{seconds * 1e6:+.{digits}f}"


def times(ratio: float, of: str) -> str:
    """0.48 x bare"""
    return f"{ratio:.2f} x {of}"


def arguments(description: str | None) -> argparse.Namespace:
    """The command line.

    `quick` is for a run of seconds that shows that it runs, no more; `rows` a file to add to what
    was measured of each budget, as data.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="a few samples: shows that it runs, not the figures"
    )
    parser.add_argument(
        "--rows", type=Path, metavar="FILE", help="add what each budget came to, as lines of JSON"
    )
    return parser.parse_args()


def publish(table: Table, options: argparse.Namespace) -> None:
    """Print a table, and hand on what it says of budgets."""
    print(table)
    if options.rows is not None:
        budgets.append(options.rows, table.judged)
