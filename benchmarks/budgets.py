"""The budgets, in the order in which they are told, and what a benchmark says of one: as data.

Needs nothing but the standard library: `tools/bench.py` reads here what the benchmarks wrote.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path

BUDGETS = {
    "statement": "a statement, watched",
    "statement on threads": "a statement, watched, on several threads",
    "tasks": "a checkout and a statement among tasks, next to one task's",
    "external call": "an external call, watched",
    "idle external call": "an external call while no profile runs",
    "checkout": "a checkout whose timeout is explained",
    "line": "a profiled line",
    "statement on a profiled line": "`select 1` on a profiled line",
    "coroutine": "line times of coroutines, off the wall clock",
    "bystander": "code that is not profiled, beside some that is",
    "suite": "a test suite with the plugin on",
    "start-up": "the start of pytest, with the plugin not asked for",
    "import": "`import txprof`",
    "imported": "libraries that `import txprof` imports",
    "memory": "memory of a profile",
    "flat memory": "memory of ten times the events",
    "report": "a report of 5,000 findings over 20,000 lines",
    "report memory": "the most memory that such a report takes",
    "page": "such a page in a browser, until usable",
    "web": "a request while the web middleware is off",
    "merge": "the merge of 1,000 recordings",
    "simulation": "a simulation of 120 workers with 10,000 jobs each",
    "plan": "a plan for 500 services",
}
"""What each is of. A benchmark may set one in several rows: the one that comes closest counts."""


@dataclass(frozen=True)
class Row:
    """One thing that was measured, and the budget it has to keep."""

    budget: str
    """A key of BUDGETS."""
    what: str
    figure: float
    limit: float
    unit: str
    """Of the numbers: us, x bare, MB, ..."""
    median: float | None = None
    """Of the rounds of the run; None where there was one."""
    spread: float | None = None
    """Half the range of the figure in three thirds of the samples; None where there is none."""

    def __post_init__(self) -> None:
        if self.budget not in BUDGETS:
            raise ValueError(f"{self.budget!r} is no budget: there are {', '.join(BUDGETS)}")

    @property
    def verdict(self) -> str:
        """Whether it keeps to the budget. A missed one is shown, it fails nothing."""
        return "ok" if self.figure <= self.limit else "OVER"

    @property
    def used(self) -> float:
        """The share of the budget that it takes."""
        if self.limit:
            return self.figure / self.limit
        return math.inf if self.figure > 0 else 0.0


def append(path: Path, rows: list[Row]) -> None:
    """Add rows to a file, one JSON document a line."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(dataclasses.asdict(row)) + "\n" for row in rows)


def read(path: Path) -> list[Row]:
    """The rows of a file that `append` wrote."""
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
