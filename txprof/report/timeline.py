"""The slowest transactions on a time axis: groups of lanes of bars. Pure; `html` draws them.

A group is one process while its transactions follow each other closely, a lane one pooled
connection. Bars of one lane may overlap: the transaction lies inside its hold, statements and
external calls inside the transaction, calls at the same time below each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from txprof.model import CallPath
from txprof.ran import Exemplar
from txprof.report.words import counted, duration
from txprof.rules.external_io import located

APART = 0.5
"""A pause of so much of a group's length starts another one."""

_THINNEST = 0.15
"""Percent of the width: what is shorter could not be seen or pointed at."""

_CALLS_AT_ONCE = 4
"""Rows of external calls that run at the same time; more share the last."""

_HOLD, _TRANSACTION, _STATEMENT, _CALL = (2, 40), (6, 32), (10, 10), (24, 10)
"""(y, height) of each kind of bar, of a lane whose calls need one row."""
_CALL_STEP = 12


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle: `x` and `width` in percent of the group's time, `y` and `height` in pixels."""

    kind: str
    x: float
    width: float
    y: int
    height: int
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A time on the axis."""

    x: float
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Lane:
    """One connection."""

    title: str
    height: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """What happened at one time in one process."""

    title: str
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    seconds: float


def ticks(seconds: float, *, parts: int) -> Iterator[Tick]:
    """An axis of so many parts."""
    for part in range(parts + 1):
        anchor = "start" if part == 0 else "end" if part == parts else "middle"
        at = duration(seconds * part / parts) if part else "0"
        yield Tick(part * 100 // parts, at, anchor)


def groups(exemplars: Iterable[Exemplar]) -> list[Group]:
    """The one with the slowest transaction first."""
    clusters = list(_clusters(exemplars))
    clusters.sort(key=lambda cluster: -max(one.seconds for one in cluster))
    return [_group(cluster) for cluster in clusters]


def _start(one: Exemplar) -> float:
    return min(0.0, one.hold_start) - (one.wait_seconds or 0.0)


def _end(one: Exemplar) -> float:
    return max(one.seconds, one.hold_end or 0.0)


def _clusters(exemplars: Iterable[Exemplar]) -> Iterator[list[Exemplar]]:
    cluster: list[Exemplar] = []
    first = last = 0.0
    for one in sorted(exemplars, key=lambda one: (one.process, one.started_at + _start(one))):
        start, end = one.started_at + _start(one), one.started_at + _end(one)
        same = cluster and cluster[0].process == one.process
        if cluster and (not same or start - last > APART * (last - first)):
            yield cluster
            cluster = []
        if not cluster:
            first, last = start, end
        cluster.append(one)
        last = max(last, end)
    if cluster:
        yield cluster


def _group(cluster: Sequence[Exemplar]) -> Group:
    zero = min(one.started_at + _start(one) for one in cluster)
    seconds = max(one.started_at + _end(one) for one in cluster) - zero
    scale = _Scale(zero, seconds or 1.0)
    lanes: dict[tuple[str, int], list[Exemplar]] = {}
    for one in sorted(cluster, key=lambda one: one.started_at):
        lanes.setdefault((one.engine, one.connection), []).append(one)
    return Group(
        title=f"{cluster[0].process} · {counted(len(cluster), 'transaction')} "
        f"in {duration(seconds)}",
        lanes=tuple(_lane(key, lane, scale) for key, lane in sorted(lanes.items())),
        ticks=tuple(ticks(seconds, parts=5)),
        seconds=seconds,
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    zero: float
    seconds: float

    def bar(
        self, kind: str, one: Exemplar, start: float, end: float, at: tuple[int, int], text: str
    ) -> Bar:
        x = max(0.0, (one.started_at - self.zero + start) / self.seconds * 100)
        width = max(_THINNEST, (end - start) / self.seconds * 100)
        return Bar(kind, round(min(x, 100 - _THINNEST), 3), round(width, 3), *at, text)


def _lane(key: tuple[str, int], lane: Sequence[Exemplar], scale: _Scale) -> Lane:
    engine, connection = key
    rows = 1
    bars = []
    for one in lane:
        placed, needed = _stacked(one)
        rows = max(rows, needed)
        bars += list(_bars(one, placed, scale))
    # Below all others: who waits for a connection does so while somebody works on it.
    bars.sort(key=lambda bar: bar.kind != "k-wait")
    more = (rows - 1) * _CALL_STEP
    title = f"connection {connection}" if connection else "connection of unknown number"
    return Lane(
        title=f"{title} · {engine}",
        height=_HOLD[0] * 2 + _HOLD[1] + more,
        # A hold and a transaction are as high as all that may lie in them.
        bars=tuple(
            Bar(one.kind, one.x, one.width, one.y, one.height + more, one.text)
            if one.kind in ("k-hold", "k-tx", "k-wait")
            else one
            for one in bars
        ),
    )


def _stacked(one: Exemplar) -> tuple[list[int], int]:
    """The row of each external call, so that those at the same time lie below each other."""
    free_from: list[float] = []
    rows = []
    for call in sorted(one.external_calls):
        row = next((row for row, at in enumerate(free_from) if at <= call.start), len(free_from))
        row = min(row, _CALLS_AT_ONCE - 1)
        if row == len(free_from):
            free_from.append(call.end)
        free_from[row] = max(free_from[row], call.end)
        rows.append(row)
    return rows, max(1, len(free_from))


def _bars(one: Exemplar, rows: Sequence[int], scale: _Scale) -> Iterator[Bar]:
    held_from = min(0.0, one.hold_start)
    if one.wait_seconds:
        text = f"waited {duration(one.wait_seconds)} for the pool\n{_at(one.hold)}"
        yield scale.bar("k-wait", one, held_from - one.wait_seconds, held_from, _HOLD, text)
    end = _end(one)
    back = "" if one.hold_end is not None else ", not given back by then"
    text = f"connection held {duration(end - held_from)} by {one.owner}{back}\n{_at(one.hold)}"
    yield scale.bar("k-hold", one, held_from, end, _HOLD, text)
    text = (
        f"transaction of {duration(one.seconds)}: {one.outcome}, "
        f"{counted(len(one.statements), 'statement')}, "
        f"{counted(len(one.external_calls), 'external call')}"
        f"{f', {one.dropped:,} more not kept' if one.dropped else ''}\nopened at {_at(one.opened)}"
    )
    yield scale.bar("k-tx", one, 0.0, one.seconds, _TRANSACTION, text)
    inside = [
        (
            statement.start,
            "k-bad" if statement.failed else "k-sql",
            statement.end,
            _STATEMENT,
            f"{_timed(statement.start, statement.end)}{' failed' if statement.failed else ''}: "
            f"{statement.statement}\n{_at(statement.path)}",
        )
        for statement in one.statements
    ]
    for row, call in zip(rows, sorted(one.external_calls), strict=True):
        y, height = _CALL
        allowed = f", allowed: {call.allowed}" if call.allowed else ""
        inside.append(
            (
                call.start,
                "k-ok" if call.allowed else "k-ext",
                call.end,
                (y + row * _CALL_STEP, height),
                f"{_timed(call.start, call.end)}: {call.kind} {call.target}{allowed}\n"
                f"{_at(call.path)}",
            )
        )
    for start, kind, end, at, text in sorted(inside):
        yield scale.bar(kind, one, start, end, at, text)


def _timed(start: float, end: float) -> str:
    return f"{duration(end - start)} from {duration(max(0.0, start))} on"


def _at(path: CallPath) -> str:
    if not path:
        return "line not known"
    return " > ".join(located(site) for site in reversed(path))
