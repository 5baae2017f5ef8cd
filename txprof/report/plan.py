"""A plan of pools, as text: its inputs, the sums, what is left, and where a rule is broken."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from txprof.pool.sizing import (
    CURVE,
    DEPLOY,
    Measured,
    Plan,
    deadlock_floor,
    speedup,
    usable,
    worthwhile_threads,
)
from txprof.report.bars import bar

_BAR = 24


def render(
    plan: Plan, notes: tuple[str, ...] = (), *, width: int = 79, unicode: bool = True
) -> str:
    """The plan; `notes` say what of the recording it could not use, and why."""
    lines: list[str] = []
    lines += _services(plan, width)
    lines += _database(plan, width)
    lines += _threads(plan.measured, unicode=unicode)
    lines += _deadlock(plan)
    lines += _simulated(plan)
    if notes:
        lines.append("")
    for note in notes:
        lines += _folded("not said  ", note, width)
    lines.append("")
    if not plan.warnings:
        lines.append("no rule is broken")
    for warning in plan.warnings:
        lines += _folded("warning   ", warning, width)
    text = "\n".join(lines) + "\n"
    return text if unicode else text.translate(str.maketrans("×", "x"))


def _folded(head: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )


def _services(plan: Plan, width: int) -> Iterator[str]:
    names = [service.name for service in plan.services]
    columns = max(len("service"), min(max(map(len, names)), width - 55))
    header = f"{'service':<{columns}}  {'kind':<10}  {'tasks':>5} × {'processes':>9} × {'pool':>4}"
    yield f"{header} = {'connections':>11}"
    for service in plan.services:
        line = f"{service.name[:columns]:<{columns}}  {service.kind:<10}  {service.tasks:>5} × "
        line += f"{service.processes:>9} × {service.chosen:>4} = {service.total:>11}"
        yield line + ("  running" if service.running else "")
    yield f"{'together':<{len(header)}} = {plan.total:>11}"
    yield f"{'while a deploy doubles the tasks':<{len(header)}} = {plan.total * DEPLOY:>11}"


def _database(plan: Plan, width: int) -> Iterator[str]:
    found = plan.database
    if found is None:
        return
    yield ""
    half = usable(found.max_connections, found.reserved)
    yield from _folded(
        "database  ", f"max_connections {found.max_connections} ({found.source})", width
    )
    if found.reserved:
        yield f"          reserved for administrators {found.reserved}"
    yield f"          to be used {half}: half of it, since a deploy doubles the tasks"
    if found.in_use is not None:
        yield f"          in use now {found.in_use}"
    if found.peak is None:
        why = "" if found.in_use is None else " (the server keeps none)"
        yield f"          the peak is not known{why}: give --peak-connections"
        return
    yield f"          peak so far {found.peak}"
    yield f"          to be added {plan.added}, by services that do not run yet"
    yield f"          room left {plan.room} (= {half} - {found.peak} - {plan.added})"


def _threads(measured: Measured, *, unicode: bool) -> Iterator[str]:
    share = measured.waiting_share
    if share is None:
        return
    best = worthwhile_threads(share)
    yield ""
    yield f"threads   {share:.0%} of the time is spent waiting: {best} a process are worth having"
    largest = speedup(CURVE[-1], share)
    for threads in CURVE:
        times = speedup(threads, share)
        mark = " <" if threads == best else ""
        shown = bar(times, largest, _BAR, unicode=unicode)
        yield f"          {threads:>3} threads  {times:>5.1f} times as much  {shown}{mark}"


def _deadlock(plan: Plan) -> Iterator[str]:
    held = plan.measured.held_at_once
    if held is None:
        return
    yield ""
    if held == 1:
        yield "deadlock  no worker was seen to hold two connections at once: there can be none"
        return
    for service in plan.services:
        floor = deadlock_floor(service.threads, held) + service.runner_connections
        yield (
            f"deadlock  {service.name}: {held} connections are held at once: at least {floor} "
            f"(= {service.threads} threads × ({held} - 1) + 1"
            + (f" + {service.runner_connections})" if service.runner_connections else ")")
        )


def _simulated(plan: Plan) -> Iterator[str]:
    if not plan.measured.needed:
        return
    yield ""
    for threads, needed in sorted(plan.measured.needed.items()):
        yield (
            f"measured  {threads} threads that hold and pause as recorded get 99 % done with a "
            f"pool of {needed}"
        )
