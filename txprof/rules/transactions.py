"""Transactions that sit idle, or stay open for long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from txprof.callsite import mixing_site
from txprof.locked import all_locks, most_telling, tables_of
from txprof.model import IDLE, LONG, Site, fingerprint
from txprof.recorded import FunctionRow, IdleRow, Recorded, TransactionRow
from txprof.rules import NOWHERE
from txprof.rules.external_io import (
    located,
    lock_details,
    others_wait,
    relative,
    shown_path,
    stays_locked,
)
from txprof.settings import Settings
from txprof.source import enclosing_with

if TYPE_CHECKING:
    from txprof.found import Finding


def judge(recorded: Recorded, settings: Settings) -> list[Finding]:
    """One finding for each line that a transaction sat on, and for each that opened a long one."""
    idle: dict[tuple[Site, str], list[IdleRow]] = defaultdict(list)
    for row in recorded.idle:
        if row.allowed is None and row.longest * 1e3 >= settings.idle_ms:
            idle[_idle_site(row, recorded.functions), row.engine].append(row)
    long: dict[tuple[Site, str], list[TransactionRow]] = defaultdict(list)
    for each in recorded.transactions:
        if each.allowed is None and each.longest * 1e3 >= settings.long_transaction_ms:
            long[each.opened[0] if each.opened else NOWHERE, each.engine].append(each)
    return [
        *(_idle_finding(site, rows) for (site, _), rows in idle.items()),
        *(_long_finding(site, rows) for (site, _), rows in long.items()),
    ]


def _idle_site(row: IdleRow, functions: Sequence[FunctionRow]) -> Site:
    """The line to change: the external call that explains it, else the slowest line between."""
    if row.call and row.external_seconds * 2 >= row.seconds:
        return Site(*(mixing_site(row.call, row.opened) or NOWHERE))
    if row.after is None:
        return row.path[0] if row.path else NOWHERE
    slowest = _slowest_between(row, functions)
    return row.after if slowest is None else row.after._replace(line=slowest)


def _slowest_between(row: IdleRow, functions: Sequence[FunctionRow]) -> int | None:
    """By the line times of the function, if it was profiled."""
    before, after = row.before, row.after
    if before is None or after is None:
        return None
    first, last = sorted((before.line, after.line))
    for function in functions:
        if (function.file, function.function) == (after.file, after.function):
            between = [line for line in function.lines if first < line.line < last]
            if between:
                return max(between, key=lambda line: line.seconds).line
    return None


def _idle_finding(site: Site, rows: Sequence[IdleRow]) -> Finding:
    from txprof.found import Finding

    worst = max(rows, key=lambda row: (row.longest, row.path))
    seconds = sum(row.seconds for row in rows)
    explained = sum(row.external_seconds for row in rows)
    locks = all_locks(*(row.locks for row in rows))
    inspected = most_telling(*(row.inspected for row in rows))
    opened = worst.opened[0] if worst.opened else None
    what = f"no statement for up to {worst.longest:.2f} s"
    message = f"{what} in the transaction{_opened_at(opened)}"
    if worst.before is not None and worst.after is not None:
        message += f", between lines {worst.before.line} and {worst.after.line}"
    message += f"; external calls explain {explained:.2f} s of {seconds:.2f} s"
    if locks:
        message += f"; {stays_locked(locks, worst.longest)}"
    message += others_wait(inspected)
    return Finding(
        rule=IDLE,
        severity="warning",
        message=f"{message} ({worst.engine})",
        site=site,
        count=sum(row.count for row in rows),
        seconds=seconds,
        hint=_leave(opened, site, "end the transaction before the work that needs no database"),
        fingerprint=fingerprint(IDLE, relative(site.file), site.function, worst.engine),
        details={
            "kind": "idle",
            "target": worst.engine,
            "call": what,
            "longest": worst.longest,
            "external_seconds": explained,
            "unexplained_seconds": max(0.0, seconds - explained),
            "before": worst.before,
            "after": worst.after,
            "transaction_site": opened,
            **lock_details(locks, inspected),
            "call_path": shown_path(worst.path),
            "engine": worst.engine,
        },
    )


def _long_finding(site: Site, rows: Sequence[TransactionRow]) -> Finding:
    from txprof.found import Finding

    worst = max(rows, key=lambda row: (row.longest, row.opened))
    seconds = sum(row.seconds for row in rows)
    statements = sum(row.statement_seconds for row in rows)
    external = sum(row.external_seconds for row in rows)
    locks = all_locks(*(row.locks for row in rows))
    inspected = most_telling(*(row.inspected for row in rows))
    what = f"open for up to {worst.longest:.2f} s"
    message = f"{what}: statements took {statements:.2f} s, external calls {external:.2f} s"
    if locks:
        message += f"; wrote or locked rows of {', '.join(tables_of(locks))}"
    message += others_wait(inspected)
    return Finding(
        rule=LONG,
        severity="warning",
        message=f"{message} ({worst.engine})",
        site=site,
        count=sum(row.count for row in rows),
        seconds=seconds,
        hint="make it shorter: read, commit, work, then write in a transaction of its own",
        fingerprint=fingerprint(LONG, relative(site.file), site.function, worst.engine),
        details={
            "kind": "transaction",
            "target": worst.engine,
            "call": what,
            "longest": worst.longest,
            "statement_seconds": statements,
            "external_seconds": external,
            "transaction_site": site,
            **lock_details(locks, inspected),
            "call_path": shown_path(worst.opened),
            "engine": worst.engine,
        },
    )


def _opened_at(opened: Site | None) -> str:
    return f" opened at {located(opened)}" if opened is not None else ""


def _leave(opened: Site | None, site: Site, otherwise: str) -> str:
    if opened is None or opened.file != site.file:
        return otherwise
    block = enclosing_with(site.file, site.line, opened.line)
    return f"leave the `{block}` block before it" if block else otherwise
