"""What reports cost: 5,000 findings over 20,000 lines in each format, and 1,000 recordings merged.

Each runs in a process of its own, from the saved recording to the text in memory (the merge: from
1,000 files to one profile), in seconds of the processor: of one thread they are what a user waits
on a machine that does nothing else. The most memory that the process ever had is beside them.
Budgets: 2 s and 300 MB for a report, 2 s for the HTML one to be usable in Chromium (where that is
installed), 3 s for the merge.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from budgets import Row
from harness import Table, arguments, publish

import txprof
from txprof.exemplars import Called, ExemplarRow, Ran
from txprof.model import Site
from txprof.pooled import PoolRow
from txprof.recorded import (
    BurstRow,
    CallRow,
    FunctionRow,
    LineRow,
    Load,
    Recorded,
    StatementRow,
)
from txprof.report import FORMATS
from txprof.results import Profile

SECONDS = 2.0
MEGABYTES = 300.0
MERGE_SECONDS = 3.0

FILES = 100
FUNCTIONS_A_FILE = 2
LINES_A_FUNCTION = 100
CALLS_A_FUNCTION = 18
BURSTS_A_FUNCTION = 7
RECORDINGS = 1_000
ENGINE = "postgresql+psycopg://app:***@db/app"


def recording(folder: Path, files: int, exemplars: int) -> Recorded:
    """A recording of so many files, written to the folder, with 25 findings a function."""
    recorded = Recorded(
        names=["batch"], started_at=1.7e9, seconds=3_600.0, calls=files, exemplars_kept=20
    )
    for number in range(files):
        path = folder / f"module_{number:03}.py"
        source = []
        for which in range(FUNCTIONS_A_FILE):
            source += [f"def work_{which}(session, products):"]
            source += [
                f"    value_{line} = client.fetch(products[{line}], timeout={line})  # of {which}"
                for line in range(1, LINES_A_FUNCTION)
            ]
        path.write_text("\n".join(source) + "\n", encoding="utf-8")
        for which in range(FUNCTIONS_A_FILE):
            first = which * LINES_A_FUNCTION + 1
            last = first + LINES_A_FUNCTION
            _add_function(recorded, str(path), f"work_{which}", first, source[first - 1 : last - 1])
    recorded.pools.append(PoolRow(ENGINE, 5, 5_000, 3e3, 2e3, 5, 40, 20.0, 4.0, 2))
    for number in range(exemplars):
        function = recorded.functions[number % len(recorded.functions)]
        recorded.exemplars.append(_exemplar(function, 1.7e9 + number))
    return recorded


def _add_function(recorded: Recorded, file: str, name: str, first: int, source: list[str]) -> None:
    opener = (Site(file, first + 1, name), Site(file, 1, "main"))
    lines = []
    for number in range(first + 1, first + LINES_A_FUNCTION):
        path = (Site(file, number, name), Site(file, 1, "main"))
        lines.append(LineRow(number, 40, 0.01 * (number % 9), None, 0.01, 0.01))
        offset = number - first - 1
        if offset < CALLS_A_FUNCTION:
            recorded.external_calls.append(
                CallRow(
                    path,
                    "http",
                    f"POST https://api.example.com/v1/chat/{number}",
                    "transaction",
                    ENGINE,
                    opener,
                    opener,
                    block="with Session.begin()",
                    count=40,
                    seconds=4.0,
                    longest=0.3,
                )
            )
        elif offset < CALLS_A_FUNCTION + BURSTS_A_FUNCTION:
            statement = f"select detail.name from detail where detail.product_{number} = ?"
            load = Load("relationship", f"Product.details_{number}", "selectinload(...)")
            recorded.bursts.append(
                BurstRow(path, statement, "transaction", load, None, 4, 160, 40, 40, 0.5)
            )
            recorded.statements.append(StatementRow(path, statement, "transaction", 160, 0.5, 0.01))
    recorded.functions.append(FunctionRow(file, name, first, source, 40, 4.0, 3.0, lines))


def _exemplar(function: FunctionRow, started_at: float) -> ExemplarRow:
    site = Site(function.file, function.first_line + 1, function.function)
    statements: list[Ran] = [(n / 100, n / 100 + 0.004, 0, 0, False) for n in range(100)]
    calls: list[Called] = [(n / 20 + 0.005, n / 20 + 0.009, 0, "http", 1, None) for n in range(20)]
    return ExemplarRow(
        engine=ENGINE,
        process="worker:1",
        connection=1 + function.first_line % 5,
        owner="thread ThreadPoolExecutor-0_1",
        started_at=started_at,
        seconds=1.2,
        outcome="commit",
        finishing=1.1,
        hold_start=-0.01,
        hold_end=1.3,
        wait_seconds=0.2,
        opened=(site,),
        hold=(site,),
        paths=[(site,)],
        texts=["SELECT detail.name FROM detail", "POST https://api.example.com/v1/chat"],
        statements=statements,
        external_calls=calls,
    )


LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("text", {"width": 120}),
    "text, in colour": ("text", {"width": 120, "color": True}),
    **{format: (format, {}) for format in FORMATS if format != "text"},
}
"""The format of each report, and its options."""


def rendered(look: str, path: str) -> int:
    """Load a recording and render it; how long the report is."""
    format, options = LOOKS[look]
    return len(txprof.load(path).render(format, **options))


def seconds_until_usable(recording: Path, folder: Path) -> float | None:
    """What Chromium's renderer takes for the page, up to its first frame; None without Chromium."""
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    browser = importlib.import_module("browser")
    if browser.CHROMIUM is None:
        return None
    page = folder / "large.html"
    cost(written, str(recording), str(page))  # elsewhere: this process stays small
    with browser.page(folder) as tab:
        tab.send("Performance.enable")
        before = _process_time(tab)
        tab.goto(page)
        tab.run("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        return _process_time(tab) - before


def written(recording: str, page: str) -> int:
    """Write the HTML report to a file; its size."""
    html = txprof.load(recording).render("html")
    return Path(page).write_text(html, encoding="utf-8")


def _process_time(tab: Any) -> float:
    metrics = tab.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in metrics if one["name"] == "ProcessTime")


def merged(folder: str) -> int:
    """Merge all of a folder, as `txprof merge` does; how many runs that were."""
    from txprof.commands.recordings import found, read

    return read(found([folder])).recorded.runs


def cost(task: Callable[..., int], *values: str) -> tuple[int, float, float]:
    """What it returned, the seconds it took, and the megabytes that its process had at most."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_measured, args=(theirs, task, *values)
    )
    process.start()
    theirs.close()
    outcome: tuple[int, float, float] = ours.recv()
    process.join()
    return outcome


def _measured(pipe: object, task: Callable[..., int], *values: str) -> None:
    import resource

    started = time.process_time()
    size = task(*values)
    seconds = time.process_time() - started
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send((size, seconds, most / 1e6 if sys.platform == "darwin" else most / 1e3))  # type: ignore[attr-defined]


def worst(*verdicts: str) -> str:
    """OVER, if any is."""
    return max(verdicts, key=lambda verdict: verdict == "OVER")


def main() -> None:
    options = arguments(__doc__)
    quick = options.quick
    files = 2 if quick else FILES
    recordings = 5 if quick else RECORDINGS
    with tempfile.TemporaryDirectory(prefix="txprof-bench-") as name:
        folder = Path(name)
        large = folder / "large.txprof"
        profile = Profile.of(recording(folder, files, exemplars=20))
        profile.save(large)
        findings = len(profile.findings)
        lines = sum(len(function.lines) + 1 for function in profile.functions)

        table = Table("What reports cost", "what", "size", "MB at most", "s", "budget", "verdict")
        for look in LOOKS:
            what = f"report as {look}"
            size, seconds, most = cost(rendered, look, str(large))
            table.add(
                what,
                f"{size / 1e6:.1f} MB",
                f"{most:.0f}",
                f"{seconds:.2f}",
                f"{SECONDS:.1f}",
                worst(
                    table.judge(Row("report", what, seconds, SECONDS, "s")),
                    table.judge(Row("report memory", what, most, MEGABYTES, "MB")),
                ),
            )
        usable = seconds_until_usable(large, folder)
        if usable is not None:
            table.add(
                "the page in Chromium, until usable",
                "",
                "",
                f"{usable:.2f}",
                f"{SECONDS:.1f}",
                table.judge(Row("page", "until usable, in Chromium", usable, SECONDS, "s")),
            )
        parts = folder / "parts"
        parts.mkdir()
        Profile.of(recording(folder, 1, exemplars=5)).save(parts / "part-0.txprof")
        one = (parts / "part-0.txprof").read_bytes()
        for number in range(1, recordings):
            # Each has its own times: what is equal is not merged for nothing.
            document = json.loads(one)
            document["recording"]["started_at"] += number
            for exemplar in document["recording"]["exemplars"]:
                exemplar["started_at"] += number
            (parts / f"part-{number}.txprof").write_text(json.dumps(document))
        runs, seconds, most = cost(merged, str(parts))
        assert runs == recordings, runs
        what = f"{recordings:,} recordings merged"
        table.add(
            what,
            f"{sum(os.path.getsize(path) for path in parts.iterdir()) / 1e6:.1f} MB",
            f"{most:.0f}",
            f"{seconds:.2f}",
            f"{MERGE_SECONDS:.1f}",
            table.judge(Row("merge", what, seconds, MERGE_SECONDS, "s")),
        )
        if usable is None:
            table.note("no Chromium here: the page is not measured")
        table.note(f"{findings:,} findings over {lines:,} lines; reports may take 300 MB")
    publish(table, options)


if __name__ == "__main__":
    main()
