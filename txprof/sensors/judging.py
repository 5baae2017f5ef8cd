"""Which row an external call is counted in, and whether a rule fires for it."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, NamedTuple

from txprof import callsite, collector, context, policy
from txprof.model import CallPath, Site, State
from txprof.recorded import CallRow
from txprof.rules import external_io
from txprof.safety import note_once
from txprof.sensors.inspecting import is_due
from txprof.sensors.locks import taken
from txprof.settings import minima
from txprof.source import enclosing_with

if TYPE_CHECKING:
    from txprof.sensors.external import Described, ExternalCall


Key = tuple[str, Site, str, str]
"""Rule, site, kind and target: what makes a finding the same one."""

News = tuple[collector.Collector, Key, CallRow]
"""A collector that is to be told of a finding, and the call behind it."""


class Judged(NamedTuple):
    """The rows that a call counts in, one a watcher; the findings to tell of; the rows for which
    the server is to be asked who waits."""

    rows: list[CallRow]
    news: list[News]
    due: list[CallRow]


def judged(described: Described, *, late: bool, took: float = 0.0) -> Judged:
    """What a call here is.

    `late`: the call is over; `took`: the seconds that it ran by now.
    """
    rows: list[CallRow] = []
    news: list[News] = []
    due: list[CallRow] = []
    try:
        for watcher in collector.active():
            row, site = _row(described, late=late)
            asks = False
            rule = external_io.rule_of(row)
            reason = rule and policy.allowed(rule, row, described.host, watcher.settings)
            row.target = watcher.redact("target", row.target)
            if rule is not None and site is not None:
                row.allowed = reason
                least = minima(watcher.settings.min_ms).get(row.kind, 0.0)
                if row.allowed is None and took < least:
                    row.allowed = f"shorter than {least * 1e3:g} ms"
                key = (rule, site, row.kind, row.target)
                news_here = _is_news(key, watcher) and not _is_told(described.follows, watcher)
                if row.allowed is None and news_here:
                    news.append((watcher, key, row))
                if row.allowed is None and rule == external_io.IN_TRANSACTION:
                    asks = is_due(watcher, key)
            rows.append(watcher.call(row))
            due += rows[-1:] if asks else []
    except Exception as error:
        note_once("the judgement of an external call", error)
    return Judged(rows, news, due)


def minimum(kind: str, above: float) -> float | None:
    """The next number of seconds at which a call of this kind is to be judged again."""
    wanted = [minima(one.settings.min_ms).get(kind, 0.0) for one in collector.active()]
    return min((least for least in wanted if least > above), default=None)


def _is_told(earlier: ExternalCall | None, watcher: collector.Collector) -> bool:
    """Whether the watcher was told of what has become part of a call."""
    rows = [] if earlier is None else earlier.rows
    return any(
        (external_io.rule_of(row), external_io.site_of(row), row.kind, row.target)
        in watcher.reported
        for row in rows
    )


def _is_news(key: Key, watcher: collector.Collector) -> bool:
    action = watcher.settings.on_finding
    return action == "raise" or (action != "ignore" and key not in watcher.reported)


def _row(described: Described, *, late: bool) -> tuple[CallRow, Site | None]:
    """What happens here, and the line that mixes if one does."""
    hold = context.deciding(context.open_here(late=late))
    path = context.call_path(sys._getframe(1), hold)
    if hold is None:
        return CallRow(_sites(path), described.kind, described.target, "free"), None
    transaction = hold.transaction
    state: State = "held" if transaction is None else "transaction"
    place = _place(path, hold.path if transaction is None else transaction.path)
    row = CallRow(
        place.path,
        described.kind,
        described.target,
        state,
        engine=hold.engine,
        opened=place.opened,
        hold=_sites(hold.path),
        locks=() if transaction is None else taken(transaction.locking.items(), transaction.path),
        block=place.block,
    )
    return row, place.site


# Programs call from the same lines again: what these tell is found out once for each of them
# (benchmarks/external_calls.py).


class _Place(NamedTuple):
    """Where a call mixes: its path, the opener's, the line, the `with` statement to leave."""

    path: CallPath
    opened: CallPath
    site: Site
    block: str | None


@functools.lru_cache(maxsize=4_096)
def _place(path: callsite.Path, opened: callsite.Path) -> _Place:
    row = CallRow(_sites(path), "", "", "free", opened=_sites(opened))
    site = external_io.site_of(row)
    openers = [frame.line for frame in row.opened if frame[::2] == site[::2]]
    block = enclosing_with(site.file, site.line, openers[0]) if openers else None
    return _Place(row.path, row.opened, site, block)


@functools.lru_cache(maxsize=4_096)
def _sites(path: callsite.Path) -> CallPath:
    return tuple(Site(*frame) for frame in path)
