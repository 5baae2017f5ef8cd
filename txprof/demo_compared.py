"""What `txprof demo` says of its two variants: measured, and beside what was predicted.

The prediction is that of `txprof pool simulate`, from what the naive variant recorded alone.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from txprof.profiled import Durations

if TYPE_CHECKING:
    from txprof.demo import Measured
    from txprof.pool.simulation import Simulated

_WIDTH = 79


def say(text: str, indent: int = 0) -> None:
    print(textwrap.fill(text, _WIDTH, subsequent_indent=" " * indent))


def heading(text: str) -> None:
    from rich.console import Console
    from rich.text import Text

    print()
    Console(highlight=False, soft_wrap=True).print(Text(f"== {text} ==", "bold"))
    print(flush=True)


def compare(naive: Measured, fixed: Measured, workers: int) -> None:
    """The figures of both, and how well they were predicted; so many threads or tasks ran them."""
    from rich.console import Console
    from rich.text import Text

    heading("before and after")
    rows = [("", f"{naive.variant}.py", f"{fixed.variant}.py")]
    columns = [_figures(measured) for measured in (naive, fixed)]
    rows += [(name, columns[0][name], columns[1][name]) for name in columns[0]]
    console = Console(highlight=False, soft_wrap=True)
    for index, (name, before, after) in enumerate(rows):
        console.print(Text(f"{name:<32}{before:>16}{after:>16}", "" if index else "bold"))
    print()
    _predicted(naive, fixed, workers)
    print()
    verdict = (
        f"{found} findings left: see its report above."
        if (found := len(fixed.profile.findings))
        else "no findings: no connection is held while the model or S3 work."
    )
    say(f"{fixed.variant}.py has {verdict}")


def _figures(measured: Measured) -> dict[str, str]:
    from txprof.report.words import duration

    profile, pools, done = measured.profile, measured.profile.pools, measured.outcome.done
    held = sum(pool.held_seconds for pool in pools)
    queries = sum(row.count for row in profile.recorded.statements)
    waits = sum(pool.waits for pool in pools)
    longest = max((pool.longest_wait for pool in pools), default=0.0)
    return {
        "products done": f"{done} of {measured.products}",
        "products per minute": f"{done / measured.outcome.seconds * 60:.0f}",
        "connection held per product": duration(held / done) if done else "-",
        "queries per product": f"{queries / done:.1f}" if done else "-",
        "waits for the pool (longest)": f"{waits} ({duration(longest)})" if waits else "0",
        "pool timeouts": str(sum(pool.timeouts for pool in pools)),
        "findings": str(len(profile.findings)),
    }


def _predicted(naive: Measured, fixed: Measured, workers: int) -> None:
    from rich.console import Console
    from rich.text import Text

    from txprof.pool.whatif import compare as simulated
    from txprof.pool.workload import NotEnough

    limit = next((pool.limit for pool in naive.profile.pools if pool.limit), 1)
    try:
        found = simulated(
            naive.profile,
            workers=[workers],
            connections=[limit],
            hoisted=None,
            batch=naive.products,
        )
    except NotEnough as error:
        say(f"not predicted: {error}")
        return
    say(
        f"Predicted from what {naive.variant}.py recorded: such a batch as it is, and with the "
        "calls of its findings made outside of the hold (txprof pool simulate --batch "
        f"{naive.products} --what-if)."
    )
    print()
    variants = [(naive, found.now)] + ([(fixed, found.without)] if found.without else [])
    rows = [("", *(f"{measured.variant}.py" for measured, _ in variants))]
    rows.append(("", *(f"{'predicted':>10}{'measured':>10}" for _ in variants)))
    columns = [
        _both(measured, series.runs[0], found.work.checkouts_per_job)
        for measured, series in variants
    ]
    rows += [(name, *(column[name] for column in columns)) for name in columns[0]]
    console = Console(highlight=False, soft_wrap=True)
    for index, (name, *cells) in enumerate(rows):
        line = f"{name:<32}" + "".join(f"{cell:>23}" for cell in cells)
        console.print(Text(line, "" if index > 1 else "bold"))


def _both(measured: Measured, run: Simulated, checkouts_per_job: float | None) -> dict[str, str]:
    """Predicted and measured, in a cell."""
    outcome, pools = measured.outcome, measured.profile.pools
    waited = next((pool.waited for pool in pools), Durations())
    gave_up = sum(pool.timeouts for pool in pools)
    asked = sum(pool.waited.count for pool in pools)
    cells = {
        "products per minute": (
            f"{run.throughput / (checkouts_per_job or 1.0) * 60:.0f}",
            f"{outcome.done / outcome.seconds * 60:.0f}",
        ),
        "mean wait for the pool": (_spoken(run.waited.mean), _spoken(waited.mean)),
        "checkouts that gave up": (
            f"{run.gave_up / max(1, run.waited.count):.0%}".replace("%", " %"),
            f"{gave_up / max(1, asked):.0%}".replace("%", " %"),
        ),
    }
    return {name: f"{one:>10}{other:>10}" for name, (one, other) in cells.items()}


def _spoken(seconds: float | None) -> str:
    from txprof.report.words import duration

    return "-" if seconds is None else duration(seconds)
