"""A simulated pool as text: tables whose last column is a picture, and what follows from them."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator

from txprof.distribution import Distribution
from txprof.found import Finding
from txprof.pool.simulation import Simulated
from txprof.pool.whatif import Series, WhatIf
from txprof.report.bars import bar

_BAR = 12
_DAY = 86_400
_LISTED = 5


def render(found: WhatIf, *, width: int = 79, unicode: bool = True) -> str:
    """All of it. Bars are on one scale."""
    lines = [*_inputs(found, width), ""]
    series = [found.now] + ([found.without] if found.without is not None else [])
    largest = max(run.throughput for one in series for run in one.runs)
    lines += _table(found.now, found, largest, unicode=unicode)
    if found.without is not None:
        lines += ["", *_folded(f"with {calls(found.hoisted)} outside of the hold:", width), ""]
        lines += _table(found.without, found, largest, unicode=unicode)
        lines += ["", *_folded(_verdict(found, found.without), width)]
    elif found.movable:
        lines += ["", "what could move out of the holds: try --what-if"]
        for finding in found.movable[:_LISTED]:
            place = f"{os.path.basename(finding.site.file)}:{finding.site.line}"
            lines.append(f"  hoist:{finding.fingerprint}  {place}  {_call(finding)}")
    text = "\n".join(lines) + "\n"
    return text if unicode else text.replace("·", "-").replace("×", "x")


def a_day(run: Simulated, checkouts_per_job: float | None) -> int:
    """Jobs a day; where it is not known what a job is, checkouts."""
    return round(run.throughput * _DAY / (checkouts_per_job or 1.0))


def _inputs(found: WhatIf, width: int) -> Iterator[str]:
    work = found.work
    yield from _folded(f"pool {work.pool.engine}", width)
    yield from _folded(
        f"drawn from {work.total.held.count:,} holds ({_spread(work.total.held)}) and "
        f"{work.pool.thought.count:,} pauses between a worker's holds "
        f"({_spread(work.pool.thought)}), as recorded",
        width,
    )
    timeout = "nobody gives up" if found.timeout is None else f"timeout {seconds(found.timeout)}"
    per_job = work.checkouts_per_job
    batch = "" if found.batch is None else f" in batches of {found.batch:,} job{_s(found.batch)}"
    told = f"{timeout}; {found.jobs:,} checkouts simulated{batch}, seed {found.seed}"
    yield from _folded(
        told + (f"; a job is {per_job:.3g} of them" if per_job is not None else ""), width
    )


def _spread(times: Distribution) -> str:
    p50, p95 = times.quantile(0.5), times.quantile(0.95)
    return f"p50 {seconds(p50 or 0.0)}, p95 {seconds(p95 or 0.0)}"


def _table(series: Series, found: WhatIf, largest: float, *, unicode: bool) -> Iterator[str]:
    per_job = found.work.checkouts_per_job
    unit = "checkouts" if per_job is None else "jobs"
    yield (
        f"workers  pool  {unit + ' a day':>15}  {'wait p50':>8}  {'p95':>7}  {'p99':>7}  gave up"
    )
    for run in series.runs:
        asked = run.jobs + run.gave_up
        line = f"{run.workers:>7}  {run.connections:>4}  {a_day(run, per_job):>15,}"
        for share, columns in ((0.5, 8), (0.95, 7), (0.99, 7)):
            line += f"  {seconds(run.waited.quantile(share) or 0.0):>{columns}}"
        line += f"  {run.gave_up / asked if asked else 0:>7.1%}"
        yield f"{line}  {bar(run.throughput, largest, _BAR, unicode=unicode)}".rstrip()
    for workers, needed in series.needed.items():
        yield (
            f"{workers} worker{_s(workers)} need{'s' if workers == 1 else ''} a pool of {needed} "
            "to get 99 % done of what no pool limits"
        )


def _verdict(found: WhatIf, without: Series) -> str:
    """pool of 5: 3,480 a day now, 412,000 with ... outside; 120 workers then need 9, not 120"""
    limit = found.work.pool.limit
    pairs = list(zip(found.now.runs, without.runs, strict=True))
    before, after = next(
        (pair for pair in pairs if pair[0].connections == limit), pairs[len(pairs) - 1]
    )
    per_job = found.work.checkouts_per_job
    workers = before.workers
    return (
        f"pool of {before.connections}: {a_day(before, per_job):,} a day now, "
        f"{a_day(after, per_job):,} with {calls(found.hoisted)} outside; {workers} "
        f"worker{_s(workers)} then need {without.needed[workers]} "
        f"connection{_s(without.needed[workers])}, not {found.now.needed[workers]}"
    )


def calls(findings: tuple[Finding, ...]) -> str:
    """What they call."""
    return " and ".join(dict.fromkeys(_call(finding) for finding in findings))


def _call(finding: Finding) -> str:
    return str(finding.details.get("call", finding.rule))


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def seconds(seconds: float) -> str:
    """As the tables have them."""
    if seconds < 0.00005:
        return "0"
    return f"{seconds * 1e3:.1f}ms" if seconds < 0.9995 else f"{seconds:.2f}s"
