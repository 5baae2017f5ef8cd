"""A pool's use over time as a drawing: what `html` draws of it. Pure.

Busy connections are an area, those who wait for one another on top of it: together, what is asked
for. A line is how many there may be. Where nobody watched for long the axis breaks into stretches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from txprof.profiled import PoolMoment, PoolProfile
from txprof.report.timeline import Tick, ticks
from txprof.report.words import counted, duration

WIDTH, HEIGHT = 1000, 96
"""The drawing's own units; it is stretched to the page's width."""

APART = 0.5
"""A pause of so much of a stretch's length, and of ten moments, starts another one."""

_SHOWN = 4
"""Stretches: those in which connections were busy for longest."""

_TEXT = 11
"""Pixels of a line of text."""

_ROWS = 40
"""Of a table: what is read rather than looked at."""


@dataclass(frozen=True, slots=True)
class Part:
    """A moment to point at: `x` and `width` in the drawing's units."""

    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """The drawing of one time. Paths are SVG's; `limit` is where its line lies, None without one.

    `levels` are numbers written at a height, `rows` a table: when, busy, at most, waiting.
    """

    title: str
    said: str
    busy: str
    waiting: str
    peak: str
    limit: float | None
    levels: tuple[tuple[float, str], ...]
    parts: tuple[Part, ...]
    ticks: tuple[Tick, ...]
    rows: tuple[tuple[str, str, str, str], ...]


def stretches(pool: PoolProfile) -> list[Stretch]:
    """In order of time."""
    found = list(_split(pool.over_time))
    shown = sorted(found, key=lambda moments: -sum(one.busy for one in moments))[:_SHOWN]
    return [_stretch(moments, pool) for moments in found if moments in shown]


def _split(moments: Sequence[PoolMoment]) -> Iterator[list[PoolMoment]]:
    stretch: list[PoolMoment] = []
    for one in moments:
        if stretch:
            length = stretch[-1].start + one.seconds - stretch[0].start
            pause = one.start - stretch[-1].start - one.seconds
            if pause > max(APART * length, 10 * one.seconds):
                yield stretch
                stretch = []
        stretch.append(one)
    if stretch:
        yield stretch


def _stretch(moments: Sequence[PoolMoment], pool: PoolProfile) -> Stretch:
    zero = moments[0].start
    seconds = moments[-1].start + moments[-1].seconds - zero
    asked = max(one.busy + one.waiting for one in moments)
    peak = max(one.peak for one in moments)
    top = max(1.0, asked, peak, pool.limit or 0) * 1.05
    scale = _Scale(zero, WIDTH / seconds, HEIGHT / top)
    return Stretch(
        title=f"{duration(seconds)}, {counted(len(moments), 'moment')} "
        f"of {duration(moments[0].seconds)}",
        said=_said(moments, pool.limit),
        busy=scale.area((one.start, one.seconds, 0.0, one.busy) for one in moments),
        waiting=scale.area(
            (one.start, one.seconds, one.busy, one.busy + one.waiting)
            for one in moments
            if one.waiting
        ),
        peak=scale.line(moments),
        limit=None if pool.limit is None else scale.y(pool.limit),
        levels=tuple(_levels(scale, max(asked, peak), pool.limit)),
        parts=tuple(
            Part(scale.x(one.start), round(one.seconds * scale.across, 2), _told(one, zero))
            for one in moments
        ),
        ticks=tuple(ticks(seconds, parts=4)),
        rows=tuple(_rows(moments, zero)),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    zero: float
    across: float
    up: float

    def x(self, at: float) -> float:
        return round((at - self.zero) * self.across, 2)

    def y(self, level: float) -> float:
        return round(HEIGHT - level * self.up, 2)

    def area(self, blocks: Iterator[tuple[float, float, float, float]]) -> str:
        """Blocks of (start, seconds, from, to), as a path."""
        return "".join(
            f"M{self.x(start):g} {self.y(low):g}V{self.y(high):g}"
            f"H{self.x(start + seconds):g}V{self.y(low):g}z"
            for start, seconds, low, high in blocks
            if high > low
        )

    def line(self, moments: Sequence[PoolMoment]) -> str:
        """The peaks, as steps."""
        path, end = [], None
        for one in moments:
            x, y = self.x(one.start), self.y(one.peak)
            path.append(f"V{y:g}" if x == end else f"M{x:g} {y:g}")
            end = self.x(one.start + one.seconds)
            path.append(f"H{end:g}")
        return "".join(path)


def _said(moments: Sequence[PoolMoment], limit: int | None) -> str:
    """What is to be seen, in a sentence."""
    mean = sum(one.busy for one in moments) / len(moments)
    peak = max(one.peak for one in moments)
    told = f"{mean:.1f} connections busy on average, {peak} at most"
    if limit is not None:
        told += f" of {limit}"
    waiting = max(moments, key=lambda one: one.waiting)
    if not waiting.waiting:
        return f"{told}; nobody waited"
    when = duration(waiting.start - moments[0].start) if waiting is not moments[0] else "the start"
    return f"{told}; most waited at {when}: {waiting.waiting:.1f}"


def _levels(scale: _Scale, highest: float, limit: int | None) -> Iterator[tuple[float, str]]:
    """The limit, above its line; and the highest, where there is room above that."""
    if limit is not None:
        yield max(_TEXT, scale.y(limit) - 3), f"{limit}"
    if limit is None or scale.y(limit) > 2 * _TEXT:
        yield _TEXT, f"{highest:.3g}"


def _told(one: PoolMoment, zero: float) -> str:
    after = duration(one.start - zero) if one.start > zero else "0"
    told = f"from {after} for {duration(one.seconds)}: {one.busy:.1f} busy, {one.peak} at most"
    return f"{told}, {one.waiting:.1f} waiting" if one.waiting else told


def _rows(moments: Sequence[PoolMoment], zero: float) -> Iterator[tuple[str, str, str, str]]:
    """The moments, or as many together as leave 40 rows."""
    size = -(-len(moments) // _ROWS)
    edges = [*range(0, len(moments), size), len(moments)]
    for first, last in pairwise(edges):
        some = moments[first:last]
        yield (
            duration(some[0].start - zero) if first else "0",
            f"{sum(one.busy for one in some) / len(some):.1f}",
            f"{max(one.peak for one in some)}",
            f"{sum(one.waiting for one in some) / len(some):.1f}",
        )
