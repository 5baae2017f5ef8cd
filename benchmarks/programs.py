"""A whole program under each profiler: how many times as long its work takes.

The program (batch.py) has statements by Core and ORM, lines of plain Python and a function that is
called often. Each profiler runs it by its own command, in a fresh process, with what it does when
nothing more is asked of it; those of lines take every function of the file. The work is timed in
the program, in processor time: starting, filling the database and reporting are told apart. No
budget is set here: profilers differ in what they tell.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness import MISSING, Table, arguments, half_of_the_middle, publish

PROGRAM = Path(__file__).with_name("batch.py")
ORDERS, ROUNDS = 1_000, 9
TRIAL_ORDERS = 10


@dataclass(frozen=True)
class Profiler:
    """How to run the program under it."""

    name: str
    options: tuple[str, ...] = ()
    """Of the interpreter, up to the program and its arguments."""
    environment: tuple[tuple[str, str], ...] = ()
    separator: tuple[str, ...] = ()
    """Between the program and its arguments."""
    optional: bool = True
    """Whether it is left out where it does not run."""


def line_profiler(core: str) -> Profiler:
    """By one of its cores."""
    return Profiler(
        f"line_profiler, {core}",
        ("-m", "kernprof", "--line-by-line", "--prof-mod", str(PROGRAM)),
        (("LINE_PROFILER_CORE", core),),
    )


CORES = ("legacy", "sysmon") if sys.version_info >= (3, 12) else ("legacy",)
TXPROF = ("-m", "txprof", "run", "--report", "text=report.txt")

BARE = Profiler("bare", optional=False)
PROFILERS = (
    BARE,
    Profiler("txprof", TXPROF, optional=False),
    Profiler("txprof, line times", (*TXPROF, "--lines", str(PROGRAM)), optional=False),
    *map(line_profiler, CORES),
    Profiler("cProfile", ("-m", "cProfile", "-o", "cProfile.prof")),
    Profiler("pyinstrument", ("-m", "pyinstrument", "--outfile", "pyinstrument.txt")),
    Profiler("scalene, processor only", ("-m", "scalene", "run", "--cpu-only"), separator=("---",)),
)


@dataclass(frozen=True)
class Took:
    """Seconds of processor time of one run."""

    work: float
    around: float
    """Of the process, without the work."""


def run(profiler: Profiler, orders: int) -> Took:
    """One run of the program in a process of its own.

    Raises:
        RuntimeError: when the profiler or the program fails.
    """
    with tempfile.TemporaryDirectory(prefix="txprof-bench-") as name:
        folder = Path(name)
        environment = {**os.environ, **dict(profiler.environment)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles a profiler each time
        program = (str(PROGRAM), *profiler.separator, str(orders), "work.txt")
        before = processor_of_children()
        done = subprocess.run(
            [sys.executable, *profiler.options, *program],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=False,
            text=True,
        )
        whole = processor_of_children() - before
        if done.returncode:
            raise RuntimeError((done.stderr or done.stdout).strip())
        work = float((folder / "work.txt").read_text(encoding="utf-8"))
    return Took(work, whole - work)


def processor_of_children() -> float:
    """Seconds, of those that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def trial() -> dict[Profiler, Took]:
    """A short run of each that is installed and works; its byte code is cached after it."""
    found = {}
    for profiler in PROFILERS:
        try:
            found[profiler] = run(profiler, TRIAL_ORDERS)
        except RuntimeError as error:
            if not profiler.optional:
                raise
            print(f"{profiler.name} is left out: {str(error).splitlines()[-1]}")
    return found


def in_rounds(profilers: Iterable[Profiler], rounds: int) -> dict[Profiler, list[Took]]:
    """So many runs of each, one in each round, each time in another order."""
    found: dict[Profiler, list[Took]] = {profiler: [] for profiler in profilers}
    order, shuffle = list(found), random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for profiler in order:
            found[profiler].append(run(profiler, ORDERS))
    return found


def table_of(found: dict[Profiler, list[Took]], orders: int) -> Table:
    """A row for each profiler, its work next to the bare one's of the same round."""
    table = Table(
        "Seconds of processor time of a whole program",
        *("what", "work", "that is", "spread", "around it"),
    )
    for profiler, runs in found.items():
        ratios = [one.work / bare.work for one, bare in zip(runs, found[BARE], strict=True)]
        spread = half_of_the_middle(ratios)
        table.add(
            profiler.name,
            f"{statistics.median(one.work for one in runs):.2f}",
            f"{statistics.median(ratios):.2f} x bare",
            MISSING if profiler is BARE or math.isnan(spread) else f"±{spread:.2f}",
            f"{statistics.median(one.around for one in runs):.2f}",
        )
    table.note(f"{orders:,} orders; medians over {len(found[BARE])} rounds of fresh processes")
    table.note("spread: half of the range of the middle half of the rounds")
    table.note("around it: the start, filling the database, and what is reported at the end")
    return table


def main() -> None:
    options = arguments(__doc__)
    tried = trial()
    if options.quick:
        table = table_of({profiler: [took] for profiler, took in tried.items()}, TRIAL_ORDERS)
    else:
        table = table_of(in_rounds(tried, ROUNDS), ORDERS)
    publish(table, options)


if __name__ == "__main__":
    main()
