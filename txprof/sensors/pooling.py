"""Which checkouts break a rule of the pool: counted for each watcher, and `on_finding` is told.

Nothing here runs for a checkout that is answered at once and asked for by who holds none.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from txprof import callsite, collector, context, owners, policy, rules
from txprof.callsite import Path
from txprof.clock import clock
from txprof.collector import Collector
from txprof.context import Hold
from txprof.entries import sites
from txprof.model import NESTED, TIMEOUT, WAIT, Holder, Site
from txprof.recorded import CheckoutRow
from txprof.safety import note_once
from txprof.sensors import external
from txprof.sensors.checkouts import Pool
from txprof.visits import is_harness_own

if TYPE_CHECKING:
    from txprof.found import Finding

_HOLDERS = 10
"""Of those who hold a pool's connections, the longest so many are kept."""


def asked(pool: Pool, frame: FrameType) -> None:
    """A context that holds something asks for a connection; raises what `on_finding` asks for."""
    try:
        held = [hold for hold in context.own() if hold.pool is pool]
        watchers = _judges(collector.active()) if held else ()
        if all(map(is_harness_own, held)):
            watchers = tuple(watcher for watcher in watchers if watcher.harness is None)
        if not watchers:
            return
        row = _row(NESTED, pool, callsite.path(frame))
        row.held = sites(held[-1].path)
        row.held_at_once = len(held) + 1
    except Exception as error:
        note_once("the nested checkout sensor", error)
    else:
        _count(row, watchers)


def waited(pool: Pool, seconds: float, path: Path, *, is_async: bool) -> None:
    """A checkout was answered, after a wait."""
    try:
        watchers = tuple(
            watcher
            for watcher in _judges(collector.active())
            if seconds * 1e3 >= watcher.settings.pool_wait_ms
        )
        if watchers:
            row = _row(WAIT, pool, path, seconds)
            row.blocking = _blocks(is_async)
            _count(row, watchers, late=True)
            _raise_later(row)
    except Exception as error:
        note_once("the pool wait sensor", error)


def gave_up(pool: Pool, seconds: float, path: Path, *, is_async: bool) -> None:
    """A checkout got no connection in time; the program's exception is under way."""
    try:
        watchers = _judges(collector.active())
        if watchers:
            row = _row(TIMEOUT, pool, path, seconds)
            row.holders = holders(pool)
            _count(row, watchers, late=True)
        if _blocks(is_async):  # why it got none
            waited(pool, seconds, path, is_async=is_async)
    except Exception as error:
        note_once("the pool timeout sensor", error)


def _judges(watchers: tuple[Collector, ...]) -> tuple[Collector, ...]:
    """Those that mind what runs here: a harness's own checkouts are none of the application's."""
    return tuple(
        watcher
        for watcher in watchers
        if watcher.harness is None or not watcher.harness.runs(sys._getframe(1))
    )


def _blocks(is_async: bool) -> bool:
    """Whether a wait keeps an event loop from running; an async engine suspends the task."""
    asyncio = sys.modules.get("asyncio")
    if is_async or asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except (RuntimeError, AttributeError):  # none runs here; half imported
        return False
    return True


def _row(rule: str, pool: Pool, asking: Path, seconds: float = 0.0) -> CheckoutRow:
    path = sites(asking)
    return CheckoutRow(
        rule,
        pool.engine,
        path,
        allowed=allowed(rule, path),
        count=1,
        seconds=seconds,
        longest=seconds,
    )


def allowed(rule: str, path: Sequence[Site]) -> str | None:
    """Why it may be: an `allow` block, or a comment on a line of the path."""
    from txprof import comments

    reason = next((each.reason for each in policy.allowances.get() if each.rule == rule), None)
    for site in path:
        reason = reason or comments.reason(rule, site.file, site.line)
    return reason


def _count(row: CheckoutRow, watchers: Sequence[Collector], *, late: bool = False) -> None:
    """Count it, and tell `on_finding`; `late`: too late to raise from here."""
    news: list[tuple[Collector, Finding]] = []
    try:
        for watcher in watchers:
            judged = replace(row, allowed=row.allowed or policy.expected_of(row.rule, watcher))
            watcher.checkout(replace(judged))
            news += [(watcher, each) for each in rules.of_checkouts([watcher.redact.row(judged)])]
    except Exception as error:
        note_once("the count of checkouts", error)
    for watcher, finding in news:
        tell(watcher, finding, late=late)


def _raise_later(row: CheckoutRow) -> None:
    """Raising now would take the connection from who got it: the end of the entry does."""
    for entry in collector.entries():
        if entry.collector.settings.on_finding == "raise" and not entry.untold:
            entry.untold += rules.of_checkouts([entry.collector.redact.row(row)])


def tell(watcher: Collector, finding: Finding, *, late: bool) -> None:
    """Tell `on_finding`. What it calls outside is no call of the program's."""
    with external.aside():
        policy.react(watcher, finding, (finding.fingerprint, finding.site), late=late)


# --- who holds them ------------------------------------------------------------------------------


def holders(pool: Pool) -> tuple[Holder, ...]:
    """Who holds connections of a pool now, the longest first."""
    now = clock.now()
    frames = sys._current_frames()
    longest = sorted((hold for hold in list(pool.busy) if hold.is_open), key=_since)[:_HOLDERS]
    found = tuple(
        Holder(
            now - hold.since,
            hold.owner(),
            Site(*hold.path[0]) if hold.path else None,
            owners.stands_at(hold.thread, hold.task, frames),
            hold.statement,
        )
        for hold in longest
    )
    frames.clear()  # our own is in it: a cycle that would keep the program's frames alive
    return found


def _since(hold: Hold) -> float:
    return hold.since
