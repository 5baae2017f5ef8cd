"""The slowest transactions as a Chrome trace: Perfetto (ui.perfetto.dev) and speedscope open it.

The Trace Event Format: a process is a process, a thread of it is a pooled connection, on which the
hold, the transaction in it, its statements and external calls are stacked. What overlaps, calls at
the same time and waits for the pool while another holds the connection, are asynchronous events.
Times are in microseconds after the earliest. Arguments say what is not as usual, and nothing else:
speedscope writes them behind each name.
"""

from __future__ import annotations

import bisect
import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from txprof.model import CallPath
from txprof.ran import Exemplar, TimedCall
from txprof.rules.external_io import shown_path

if TYPE_CHECKING:
    from txprof.results import Profile

_SAME_HOLD = 0.001
"""Two transactions whose holds began within so many seconds shared one: clocks are no finer."""

_APART = 1_000_000
"""Between the numbers of processes: Perfetto takes a thread that has its process's for its main."""


def render(profile: Profile) -> str:
    """One JSON object with `traceEvents`."""
    from txprof import __version__

    exemplars = sorted(profile.exemplars, key=lambda one: (one.process, one.started_at))
    # Seconds since the epoch are large: small times added to them would lose their digits.
    first = min((one.started_at for one in exemplars), default=0.0)
    zero = min((one.started_at - first + _begin(one) for one in exemplars), default=0.0)
    trace = {
        "displayTimeUnit": "ms",
        "otherData": {"tool": f"txprof {__version__}", "profile": profile.name},
        "traceEvents": list(_events(exemplars, first, zero)),
    }
    return json.dumps(trace, ensure_ascii=False) + "\n"


def _begin(one: Exemplar) -> float:
    return min(0.0, one.hold_start) - (one.wait_seconds or 0.0)


def _events(exemplars: list[Exemplar], first: float, zero: float) -> Iterator[dict[str, Any]]:
    processes = {name: number * _APART for number, name in enumerate(_distinct(exemplars), 1)}
    for name, number in processes.items():
        yield _named("process_name", number, 0, f"txprof: {name}")
    lanes: set[tuple[int, int]] = set()
    holds: dict[tuple[int, int], float] = {}
    numbers = itertools.count(1)
    for one in exemplars:
        lane = (processes[one.process], one.connection)
        began = one.started_at - first - zero
        if lane not in lanes:
            lanes.add(lane)
            yield _named(
                "thread_name", *lane, f"connection {one.connection or 'of unknown number'}"
            )
        taken = began + one.hold_start
        if lane not in holds or abs(taken - holds[lane]) > _SAME_HOLD:
            holds[lane] = taken
            yield from _hold(one, lane, began, numbers)
        end = began + one.seconds
        yield _complete(
            "transaction",
            f"transaction ({one.outcome})",
            lane,
            began,
            end,
            {"opened": _path(one.opened), "engine": one.engine}
            | ({"not kept": one.dropped} if one.dropped else {}),
        )
        for statement in one.statements:
            yield _complete(
                "statement",
                statement.statement,
                lane,
                began + statement.start,
                min(began + statement.end, end),
                {"path": _path(statement.path)} | ({"failed": True} if statement.failed else {}),
            )
        for call, alone in _alone(one):
            category, name = f"external,{call.kind}", f"{call.kind} {call.target}"
            about = {"path": _path(call.path)}
            if call.allowed is not None:
                about["allowed"] = call.allowed
            times = (began + call.start, min(began + call.end, end))
            if alone:
                yield _complete(category, name, lane, *times, about)
            else:
                yield from _asynchronous(category, name, lane, next(numbers), times, about)


def _alone(one: Exemplar) -> Iterator[tuple[TimedCall, bool]]:
    """The external calls, and whether each was all that went on: then it fits into the stack."""
    statements = sorted((each.start, each.end) for each in one.statements)
    starts = [start for start, _ in statements]
    # Of the statements up to each, the latest end.
    ends = list(itertools.accumulate((end for _, end in statements), max))
    busy_until = 0.0
    for call in sorted(one.external_calls):
        before = bisect.bisect_right(starts, call.start)
        free_from = max(busy_until, ends[before - 1] if before else 0.0)
        free_until = starts[before] if before < len(starts) else one.seconds
        alone = free_from <= call.start and call.end <= free_until
        if alone:
            busy_until = call.end
        yield call, alone


def _hold(
    one: Exemplar, lane: tuple[int, int], began: float, numbers: Iterator[int]
) -> Iterator[dict[str, Any]]:
    start = began + one.hold_start
    if one.wait_seconds:
        about = {"path": _path(one.hold), "owner": one.owner}
        times = (start - one.wait_seconds, start)
        yield from _asynchronous("pool", "wait for the pool", lane, next(numbers), times, about)
    end = one.seconds if one.hold_end is None else max(one.hold_end, one.seconds)
    yield _complete(
        "hold",
        f"connection held by {one.owner}",
        lane,
        start,
        began + end,
        {"taken": _path(one.hold)} | ({} if one.hold_end is not None else {"gone back": False}),
    )


def _distinct(exemplars: list[Exemplar]) -> dict[str, None]:
    return dict.fromkeys(one.process for one in exemplars)


def _named(kind: str, process: int, lane: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": process, "tid": lane, "args": {"name": name}}


def _complete(
    category: str,
    name: str,
    lane: tuple[int, int],
    start: float,
    end: float,
    about: dict[str, Any],
) -> dict[str, Any]:
    ts = _microseconds(start)
    return {
        "ph": "X",
        "cat": category,
        "name": name,
        "pid": lane[0],
        "tid": lane[1],
        "ts": ts,
        "dur": max(0.0, round(_microseconds(end) - ts, 3)),
        "args": about,
    }


def _asynchronous(
    category: str,
    name: str,
    lane: tuple[int, int],
    number: int,
    times: tuple[float, float],
    about: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    # An id of the process: Perfetto puts what has an `id` of all processes into none of them.
    number_here = {"local": f"{number:#x}"}
    shared = {"cat": category, "name": name, "id2": number_here, "pid": lane[0], "tid": lane[1]}
    start, end = map(_microseconds, times)
    yield {"ph": "b", **shared, "ts": start, "args": about}
    yield {"ph": "e", **shared, "ts": end}


def _path(path: CallPath) -> str:
    return " > ".join(shown_path(path)) if path else "not known"


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e6, 3) + 0.0  # no -0.0
