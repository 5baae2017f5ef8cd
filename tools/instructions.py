"""Count the instructions that txprof adds to a statement, by valgrind's callgrind.

Unlike microseconds they hardly change on a machine that is busy with other work. Needs valgrind,
and an interpreter that has txprof and SQLAlchemy.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COUNTED = 100
WARM_UP = 250
"""Statements before those that are counted: CPython adapts its bytecode to what runs."""

COUNTED_PROCESS = "--counted"
"""The argument of the process that runs under callgrind."""


def control(*arguments: str) -> None:
    """Tell callgrind something about this very process."""
    command = ["callgrind_control", *arguments, str(os.getpid())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def counted() -> None:
    """Run every variant under callgrind, and have the counts of each written to a file."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import statements
    from harness import installed_past_connections

    import txprof
    from txprof import context

    context.GAP = 1e9  # nothing is fast here: no transaction is to count as idle
    bare = statements.Contestant("bare")
    with installed_past_connections():
        watched = statements.Contestant("txprof")
    gc.disable()

    def count(what: str, run: Any) -> None:
        for executions in (WARM_UP, COUNTED, 2 * COUNTED):  # from one line: one call path
            if executions != WARM_UP:
                control("--instr=on")
                control("--zero")
            run(executions)
            if executions != WARM_UP:
                control(f"--dump={what}@{executions}")
                control("--instr=off")

    with txprof.profile(on_finding="ignore"):
        for _ in range(3):
            control("--zero")  # a program that is started is an external call: of the first, more

    for operation in statements.OPERATIONS:
        for stack in (False, True):
            name = operation + (", deep" if stack else "")
            count(f"{name}@bare", bare.variant(operation, stack=stack).run)
            run = watched.variant(operation, stack=stack).run
            count(f"{name}@idle", run)
            with txprof.profile(on_finding="ignore"):
                count(f"{name}@txprof", run)


def counts(folder: Path) -> dict[str, int]:
    """Instructions a statement, by variant: without what it takes to start and stop counting."""
    totals: dict[str, dict[int, int]] = {}
    for file in sorted(folder.glob("counts.*"), key=lambda file: int(file.suffix[1:])):
        text = file.read_text()
        what = re.search(r"^desc: Trigger: .*?dump (.+@\w+)@(\d+)$", text, re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if what and total:
            totals.setdefault(what[1], {})[int(what[2])] = int(total[1])
    return {what: (at[2 * COUNTED] - at[COUNTED]) // COUNTED for what, at in totals.items()}


def main() -> int:
    if sys.argv[1:] == [COUNTED_PROCESS]:
        counted()
        return 0
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="the interpreter (default: this)")
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory() as folder:
        out = f"--callgrind-out-file={folder}/counts"
        valgrind = ["valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=no", out]
        command = [*valgrind, python, __file__, COUNTED_PROCESS]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "0"})
        found = counts(Path(folder))
    print(f"{'instructions added to a statement':34s} {'bare':>9s} {'idle':>9s} {'txprof':>9s}")
    for what, bare in found.items():
        name, _, variant = what.rpartition("@")
        if variant == "bare":
            idle, watched = (found[f"{name}@{each}"] - bare for each in ("idle", "txprof"))
            print(f"{name:34s} {bare:9,} {idle:+9,} {watched:+9,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
