"""The pool's rules: who waits for a connection, who holds them meanwhile, who keeps one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from txprof.callsite import mixing_site
from txprof.model import LEAK, NESTED, TIMEOUT, WAIT, Holder, Severity, Site, fingerprint
from txprof.recorded import CheckoutRow, Recorded
from txprof.rules import NOWHERE
from txprof.rules.external_io import located, relative, shown_path
from txprof.settings import Settings

if TYPE_CHECKING:
    from txprof.found import Finding


_SEVERITY: dict[str, Severity] = {
    WAIT: "warning",
    TIMEOUT: "error",
    NESTED: "warning",
    LEAK: "error",
}
_CALL = {
    WAIT: "waited{} for a connection",
    TIMEOUT: "got no connection{}",
    NESTED: "a second connection asked for",
    LEAK: "connection not given back",
}
_NAMED = 3
"""Holders in a message; all that are known are in the details."""


def judge(recorded: Recorded, settings: Settings) -> list[Finding]:  # noqa: ARG001
    """One finding for each rule, site and pool."""
    return findings(recorded.checkouts)


def findings(rows: Iterable[CheckoutRow]) -> list[Finding]:
    """The findings behind these checkouts."""
    groups: dict[tuple[Any, ...], list[CheckoutRow]] = defaultdict(list)
    for row in rows:
        if row.allowed is None:
            groups[row.rule, site_of(row), row.engine].append(row)
    return [_finding(rule, site, group) for (rule, site, _), group in groups.items()]


def site_of(row: CheckoutRow) -> Site:
    """The line that asks; of a nested checkout the one whose function also took the first."""
    site = mixing_site(row.path, row.held) if row.held else None
    return Site(*site) if site else next(iter(row.path), NOWHERE)


def _finding(rule: str, site: Site, rows: Sequence[CheckoutRow]) -> Finding:
    from txprof.found import Finding

    total = CheckoutRow(rule, rows[0].engine, ())
    for row in rows:
        total.add(row)
    total.blocking = any(row.blocking for row in rows)
    worst = max(rows, key=lambda row: (row.longest, row.count, row.path, row.held))
    total.held = worst.held
    timed = rule in (WAIT, TIMEOUT)
    call = _call(total)
    return Finding(
        rule=rule,
        severity="error" if total.blocking else _SEVERITY[rule],
        message=f"{call}{_told(total)} ({total.engine})",
        site=site,
        count=total.count,
        seconds=total.seconds if timed else None,
        hint=_hint(total),
        fingerprint=fingerprint(rule, relative(site.file), site.function, total.engine),
        details={
            "call": call,
            "engine": total.engine,
            "call_path": shown_path(worst.path),
            "longest": total.longest if timed else None,
            "blocks_event_loop": total.blocking,
            "hold_site": worst.held[0] if worst.held else None,
            "held_at_once": total.held_at_once or None,
            "collected": total.collected,
            "holders": [_plain(holder) for holder in total.holders],
        },
    )


def _call(total: CheckoutRow) -> str:
    once = ""
    if total.count == 1:
        once = (" within " if total.rule == TIMEOUT else " ") + _spoken(total.longest)
    return _CALL[total.rule].format(once)


def _told(total: CheckoutRow) -> str:
    """What there is to say beyond how often."""
    if total.rule == NESTED:
        taken = f", taken at {located(total.held[0])}" if total.held else ""
        return f" while one of the same pool is held{taken}"
    if total.rule == LEAK:
        if total.collected == total.count:
            return ": left to the garbage collector"
        return ": still out when the profiled call ended"
    told = ""
    if total.count > 1:
        told = f" {total.count} times, up to {_spoken(total.longest)} each"
    if total.holders:
        told += f"; held by {_listed(total.holders)}"
    if total.blocking:
        told += (
            "; the wait blocked the thread of a running event loop: no task went on meanwhile, "
            "not even one that would give its connection back"
        )
    return told


def _listed(holders: Sequence[Holder]) -> str:
    told = []
    for (taken, now), group in groupby(holders[:_NAMED], lambda one: (one.taken, one.now)):
        owners = ", ".join(f"{one.owner} for {_spoken(one.seconds)}" for one in group)
        places = [f"taken at {located(taken)}"] if taken is not None else []
        places += [f"now at {located(now)}"] if now is not None else []
        told.append(f"{owners} ({', '.join(places)})" if places else owners)
    more = len(holders) - _NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _hint(total: CheckoutRow) -> str:
    if total.blocking:
        return (
            "await the connection: use create_async_engine, or do the blocking work in a thread "
            "with asyncio.to_thread"
        )
    if total.rule == NESTED:
        at_once = total.held_at_once
        return (
            "use the connection that is held, or give it back first; else the smallest pool that "
            f"cannot deadlock has threads x (held at once - 1) + 1 connections: "
            f"threads x {at_once - 1} + 1, as {at_once} are held at once here"
        )
    if total.rule == LEAK:
        return "take it in a `with` block, which gives it back whatever happens"
    slow = total.holders[0].now or total.holders[0].taken if total.holders else None
    where = f" (see {located(slow)})" if slow is not None else ""
    return (
        f"hold connections for less time{where}: read, release, do the slow work, write; only then "
        "think of a larger pool"
    )


def _plain(holder: Holder) -> dict[str, Any]:
    return {
        "owner": holder.owner,
        "seconds": holder.seconds,
        "taken_at": holder.taken,
        "now_at": holder.now,
        "statement": holder.statement,
    }


def _spoken(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.9995 else f"{seconds * 1e3:.0f} ms"
