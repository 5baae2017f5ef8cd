"""What `import txprof` costs, in milliseconds of wall time, and what it does not import.

Fresh interpreters in turns: one that does nothing, one that imports txprof, one that imports
line_profiler. Budget: txprof at most 40 ms, and none of the libraries that only some of its work
needs.
"""

from __future__ import annotations

import os
import subprocess
import sys

from budgets import Row
from harness import MISSING, Table, Variant, arguments, measure, publish

BUDGET = 0.040

NOT_IMPORTED = ("rich", "sqlparse", "line_profiler", "jinja2", "sqlalchemy", "wrapt", "msgspec")


def python(code: str) -> str:
    """What a fresh interpreter prints. With byte code cached, as where txprof is installed."""
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    ).stdout


def variant(name: str, code: str) -> Variant:
    def run(count: int) -> None:
        for _ in range(count):
            python(code)

    return Variant(name, run, warm_up=1)


def millis(seconds: float) -> str:
    """31.4"""
    return f"{seconds * 1e3:.1f}"


def main() -> None:
    options = arguments(__doc__)
    turns = 1 if options.quick else 5
    variants = [
        variant("bare", "pass"),
        variant("line_profiler", "import line_profiler"),
        variant("txprof", "import txprof"),
    ]
    samples = measure({"import": variants}, turns)["import"]
    table = Table(
        "Milliseconds added by an import",
        *("what", "bare", "line_profiler", "txprof", "spread", "budget", "verdict"),
    )
    table.add(
        "import",
        millis(samples.figure("bare")),
        "+" + millis(samples.added("line_profiler")),
        "+" + millis(samples.added("txprof")),
        "±" + millis(samples.spread("txprof")),
        "+" + millis(BUDGET),
        table.judge(
            samples.judged_added("import", "import", "txprof", BUDGET, scale=1e3, unit="ms")
        ),
    )
    imported = python("import sys, txprof; print(*sys.modules)").split()
    for module in NOT_IMPORTED:
        what = f"does not import {module}"
        there = module in imported
        table.add(
            what,
            *(MISSING, MISSING, "imported" if there else "not imported", MISSING, MISSING),
            table.judge(Row("imported", what, float(there), 0.0, "")),
        )
    publish(table, options)


if __name__ == "__main__":
    main()
