"""How many instructions a statement takes, and how many txprof adds to it: counted by callgrind.

They hardly depend on what else the machine does, as times do. The statements are those of
benchmarks/statements.py, near the top of the stack and deep in it: bare, watched by plain Python,
and watched with the compiled short cut. Counted is from mark to mark (executions.py): nothing of
the start, nor of the first executions, is in the figures. Needs valgrind, and txprof where it runs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "benchmarks"))

from harness import Table  # noqa: E402
from statements import STATEMENTS  # noqa: E402

from txprof import compiled  # noqa: E402

COUNT = 200
"""Executions of each that are counted."""

FUNCTIONS = 12
"""So many are told by name: those that most of what is added is in, by plain Python or compiled."""

Instructions = Counter[str]
"""By the C function whose own they are."""


# --- counting -----------------------------------------------------------------------------------


def counted(how: str, names: Sequence[str], *, pure: bool) -> dict[str, Instructions]:
    """Of one execution of each of these statements."""
    environment = {**os.environ, compiled.SWITCH: "1" if pure else "", "PYTHONHASHSEED": "0"}
    command = [str(ROOT / "tools" / "executions.py"), how, str(COUNT), *names]
    parts = between_marks(command, environment)
    parts = parts[-(2 * len(names) - 1) :: 2]  # the others are of the start and of the warm-up
    return {
        name: Counter({function: number // COUNT for function, number in part.items()})
        for name, part in zip(names, parts, strict=True)
    }


def between_marks(command: Sequence[str], environment: dict[str, str]) -> list[Instructions]:
    """Run a Python program under callgrind: what was counted from each of its marks to the next.

    Raises:
        SystemExit: where valgrind is missing, the program fails or its marks are not seen.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("valgrind is not installed; where there is apt: apt-get install valgrind")
    with tempfile.TemporaryDirectory(prefix="txprof-instructions-") as name:
        written = Path(name) / "callgrind"
        told = [f"--callgrind-out-file={written}", "--dump-before=Py_SetRecursionLimit"]
        done = subprocess.run(
            [valgrind, "--tool=callgrind", *told, sys.executable, *command],
            env=environment,
            capture_output=True,
            check=False,
            text=True,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        marks = len(list(written.parent.iterdir())) - 1
        if not marks:
            raise SystemExit(
                "no call of Py_SetRecursionLimit is seen: it is inlined in this Python"
            )
        # What is numbered 1 ends at the first mark.
        return [
            by_function((written.parent / f"{written.name}.{mark}").read_text().splitlines())
            for mark in range(2, marks + 1)
        ]


def by_function(lines: Iterable[str]) -> Instructions:
    """What a file of callgrind's says, in its format 1: each function's own instructions.

    https://valgrind.org/docs/manual/cl-format.html
    """
    found: Instructions = Counter()
    names: dict[str, str] = {}
    function, of_call = "", False

    def named(text: str) -> str:
        number, _, name = text.partition(" ")
        if name:  # told the first time alone; a function that calls itself has a level: f'2
            names[number] = name.partition("'")[0]
        return names[number]

    for line in lines:
        key, is_name, text = line.partition("=")
        if is_name:
            if key == "fn":
                function = named(text)
            elif key == "cfn":
                named(text)
            elif key == "calls":
                of_call = True
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            if not of_call:
                found[function] += int(line.split()[1])
            of_call = False  # the line after a call has what the callee took
    return found


def less(
    watched: dict[str, Instructions], bare: dict[str, Instructions]
) -> dict[str, Instructions]:
    """What is added, of each statement; less than nothing where a function has less to do."""
    found = {}
    for name, instructions in watched.items():
        found[name] = Counter(instructions)
        found[name].subtract(bare[name])
    return found


# --- telling ------------------------------------------------------------------------------------


def table_of(bare: dict[str, Instructions], added: dict[str, dict[str, Instructions]]) -> Table:
    """A row for each statement."""
    table = Table("Instructions of a statement, and those added to it", "what", "bare", *added)
    for name, instructions in bare.items():
        more = (f"{of[name].total():+,}" for of in added.values())
        table.add(name, f"{instructions.total():,}", *more)
    return table


def functions_of(added: dict[str, dict[str, Instructions]]) -> Table:
    """A row for each function that most of what is added is in; means of all statements."""
    means = {how: mean(of.values()) for how, of in added.items()}
    most = {
        function: max(each[function] for each in means.values())
        for of in means.values()
        for function, _ in of.most_common(FUNCTIONS)
    }
    told = sorted(most, key=lambda function: (-most[function], function))
    table = Table("Where those are, of all these statements on average", "what", *means)
    for function in told:
        table.add(function, *(f"{of[function]:+,}" for of in means.values()))
    others = (of.total() - sum(of[function] for function in told) for of in means.values())
    table.add("others", *(f"{number:+,}" for number in others))
    return table


def mean(found: Collection[Instructions]) -> Instructions:
    """Of each function."""
    total: Instructions = Counter()
    for instructions in found:
        total.update(instructions)
    return Counter({function: number // len(found) for function, number in total.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "statement", nargs="*", metavar="STATEMENT", help=f"of: {'; '.join(STATEMENTS)}"
    )
    names = parser.parse_args().statement or list(STATEMENTS)
    if unknown := set(names) - set(STATEMENTS):
        parser.error(f"no {'; '.join(sorted(unknown))}; there are {'; '.join(STATEMENTS)}")
    bare = counted("bare", names, pure=True)
    added = {"plain Python": less(counted("watched", names, pure=True), bare)}
    if compiled.fast is None:
        print(f"compiled is left out: {compiled.why_not}\n")
    else:
        added["compiled"] = less(counted("watched", names, pure=False), bare)
    print(table_of(bare, added))
    print(functions_of(added))


if __name__ == "__main__":
    main()
