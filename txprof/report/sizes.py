"""A simulated pool as a drawing: what gets done on pools of several sizes, and what is waited for.

Bars lie below each other, with their figures above them, so that they read on a phone too. `html`
shows it in its page, `svg` is a picture of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from txprof.pool.simulation import Simulated
from txprof.pool.whatif import Series, WhatIf
from txprof.report.whatif import a_day, calls, seconds
from txprof.report.words import counted, duration, xml_text

LABEL = 9
"""Percent of the width: a pool's size, before its bars."""

_TEXT, _BAR, _GAP = 15, 10, 10
"""Pixels: of a line of text, of a bar, between two sizes."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One run: `width` in percent, `y` of its text's base line; the bar lies below."""

    kind: str
    y: int
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class Size:
    """A pool of so many connections."""

    connections: int
    recorded: bool
    y: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """So many workers on pools of several sizes. `y` is where it lies in a picture of all."""

    title: str
    said: str
    y: int
    height: int
    sizes: tuple[Size, ...]


def drawings(found: WhatIf) -> list[Drawing]:
    """One for each number of workers, on one scale."""
    series = _series(found)
    largest = max(run.throughput for _, one in series for run in one.runs) or 1.0
    drawn = []
    y = 0
    for workers in dict.fromkeys(run.workers for run in found.now.runs):
        one = _drawing(found, series, workers, largest, y)
        y += _TEXT * 2 + one.height
        drawn.append(one)
    return drawn


def legend(found: WhatIf) -> list[tuple[str, str]]:
    """(kind, name) of the bars."""
    named = [("k-hold", "as recorded")]
    if found.without is not None:
        named.append(("k-ok", f"with {calls(found.hoisted)} outside of the hold"))
    return named


def svg(found: WhatIf) -> str:
    """A picture of its own, light or dark as its reader prefers."""
    from txprof.report.html import environment

    drawn = drawings(found)
    page = environment().get_template("sizes.svg")
    drawing = page.render(
        drawings=drawn,
        legend=legend(found),
        engine=found.work.pool.engine,
        label=LABEL,
        line=_TEXT,
        height=drawn[-1].y + drawn[-1].height + 2 * _TEXT,
    )
    return xml_text(drawing)


def _series(found: WhatIf) -> list[tuple[str, Series]]:
    both = (("k-hold", found.now), ("k-ok", found.without))
    return [(kind, one) for kind, one in both if one is not None]


def _drawing(
    found: WhatIf, series: list[tuple[str, Series]], workers: int, largest: float, y: int
) -> Drawing:
    sizes = []
    at = 0
    limit = found.work.pool.limit
    for connections in dict.fromkeys(run.connections for run in found.now.runs):
        bars = []
        top = at
        for kind, one in series:
            run = _run(one, workers, connections)
            width = max(0.2, run.throughput / largest * (100 - LABEL))
            bars.append(Bar(kind, at + _TEXT - 3, round(width, 2), _told(found, run)))
            at += _TEXT + _BAR
        sizes.append(Size(connections, connections == limit, top + _TEXT - 3, tuple(bars)))
        at += _GAP
    return Drawing(
        title=f"{counted(workers, 'worker')} on pools of {sizes[0].connections} to "
        f"{counted(sizes[-1].connections, 'connection')}",
        said="; ".join(_needs(found, workers)),
        y=y,
        height=at,
        sizes=tuple(sizes),
    )


def _needs(found: WhatIf, workers: int) -> Iterator[str]:
    yield f"a pool of {found.now.needed[workers]} is enough"
    if found.without is not None:
        yield f"one of {found.without.needed[workers]} with the calls outside"


def _run(series: Series, workers: int, connections: int) -> Simulated:
    return next(
        run for run in series.runs if (run.workers, run.connections) == (workers, connections)
    )


def _told(found: WhatIf, run: Simulated) -> str:
    """Short enough for a phone."""
    per_job = found.work.checkouts_per_job
    told = f"{a_day(run, per_job):,} {'checkouts' if per_job is None else 'jobs'}/day"
    wait = run.waited.quantile(0.95) or 0.0
    told += f" · wait p95 {duration(wait)}" if seconds(wait) != "0" else " · no wait"
    if run.gave_up:
        share = run.gave_up / (run.jobs + run.gave_up) * 100
        told += f" · {share:.0f} % gave up" if share >= 1 else " · <1 % gave up"
    return told
