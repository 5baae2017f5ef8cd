"""How often the rules for bursts agree with the verdicts of the corpus: precision and recall.

Prints a table in markdown, by topic, and every disagreement. The programs, and what their verdicts
mean, are in tests/corpus/.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pages
from pages import DOCS, ROOT

PAGE = DOCS / "detection.md"

PREFACE = """\
# How well bursts are detected

`n-plus-one` and `write-loop`, on small programs: about half of them repeat a query or a write, the
others look as if they did, or do it right. Each program (tests/corpus/) carries a verdict that
follows the definition of the rules: the lines at which they have to fire, or none. The verdicts
were written before the rules ran. Made by `python tools/corpus.py --write`, on SQLite; the tests
ask the same of PostgreSQL (tests/test_corpus.py), and `--postgresql URL` makes the table there.

The first run, on rules that had not seen these programs, had a precision of 0.947 and a recall of
0.962. What they disagreed on led to five changes of principle: the figures below are of programs
that the rules have been looked at with.

A finding at an expected line is a hit (tp), one anywhere else a false alarm (fp), an expected line
without one is missed (fn): a finding at the wrong line counts twice. A clean program without
findings is right (tn). Precision = tp / (tp + fp), recall = tp / (tp + fn).
"""

HEADER = """\
| topic | programs | clean | tp | fp | fn | tn | precision | recall |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""

Outcome = Any
"""`corpus.runner.Outcome`: tests/ is no package that could be imported from here by name."""


def main() -> int:
    parser = pages.parser(__doc__, PAGE)
    parser.add_argument(
        "--postgresql",
        metavar="URL",
        help="run on this server, in a database txprof_corpus that is made anew, not on SQLite",
    )
    arguments = parser.parse_args()
    page = "\n".join([PREFACE, *table(outcomes(arguments.postgresql)), ""])
    if arguments.write:
        pages.write(PAGE, page)
    else:
        print(page, end="")
    return 0


def outcomes(postgresql: str | None) -> list[Outcome]:
    """Every program, judged on a fresh database."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    runner = importlib.import_module("corpus.runner")
    with tempfile.TemporaryDirectory() as folder:
        databases = runner.PostgreSQL(postgresql) if postgresql else runner.SQLite(Path(folder))
        judged = []
        for program in runner.programs():
            with databases.fresh() as url:
                judged.append(runner.judge(program, url)[0])
    return judged


def table(judged: Iterable[Outcome]) -> Iterator[str]:
    """The lines of the table, and of the disagreements below it."""
    topics: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in judged:
        topics[outcome.program.topic].append(outcome)
    everything = [outcome for group in topics.values() for outcome in group]
    yield HEADER
    for topic, group in topics.items():
        yield row(topic, group)
    yield row("**all**", everything)
    yield ""
    yield "## Disagreements"
    yield ""
    disagreements = [line for outcome in everything for line in disagreement(outcome)]
    yield from disagreements or ["None."]


def row(name: str, group: list[Outcome]) -> str:
    """One line of the table."""
    hits = sum(len(outcome.hits) for outcome in group)
    alarms = sum(len(outcome.false_alarms) for outcome in group)
    missed = sum(len(outcome.missed) for outcome in group)
    clean = [outcome for outcome in group if not outcome.program.expected]
    right = sum(not outcome.found for outcome in clean)
    cells = [len(group), len(clean), hits, alarms, missed, right]
    shares = [share(hits, hits + alarms), share(hits, hits + missed)]
    return f"| {' | '.join([name, *map(str, cells), *shares])} |"


def share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "-"


def disagreement(outcome: Outcome) -> Iterator[str]:
    """A line for each finding too many, and each too few."""
    for kind, places in (("false alarm", outcome.false_alarms), ("missed", outcome.missed)):
        for place in sorted(places):
            yield f"- `{outcome.program.name}`: {kind}, {place}"


if __name__ == "__main__":
    sys.exit(main())
