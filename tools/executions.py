"""Execute statements of benchmarks/statements.py, with marks around them: for instructions.py.

`python tools/executions.py bare|watched COUNT STATEMENT...`, where a statement is called as its row
of the table is: `Core, select 1, deep`.
"""

from __future__ import annotations

import gc
import math
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from harness import watching
from statements import Contestant

from txprof import context

WARM_UP = 100
"""Executions before those that count. The first 64 of an entry are kept as samples, which is work
of its own, and CPython adapts its bytecode to what runs."""


def mark() -> None:
    """Call `Py_SetRecursionLimit`, which nothing else calls: callgrind can see that."""
    sys.setrecursionlimit(sys.getrecursionlimit())


def main() -> None:
    watched, count, names = sys.argv[1] == "watched", int(sys.argv[2]), sys.argv[3:]

    def profiled() -> AbstractContextManager[object]:
        return watching() if watched else nullcontext()

    context.GAP = math.inf  # under callgrind everything is slow: that is no gap in the transaction
    with profiled():  # its sensors are in when the connection is made
        contestant = Contestant("the one")
    gc.freeze()
    gc.disable()
    with profiled():
        for name in names:
            run = contestant.variant(name).run
            run(WARM_UP)
            mark()
            run(count)
            mark()


if __name__ == "__main__":
    main()
