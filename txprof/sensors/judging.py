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
from txprof.visits import Boundary, Counted

if TYPE_CHECKING:
    from txprof.sensors.external import Described


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
            row, site = _row(described, watcher.harness, late=late)
            asks = False
            rule = external_io.rule_of(row)
            if rule is not None and site is not None:
                row.allowed = policy.allowed(rule, row, described.host, watcher)
                least = minima(watcher.settings.min_ms).get(row.kind, 0.0)
                if row.allowed is None and took < least:
                    row.allowed = f"shorter than {least * 1e3:g} ms"
                key = (rule, site, row.kind, row.target)
                if row.allowed is None and _is_news(key, watcher):
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


def _is_news(key: Key, watcher: collector.Collector) -> bool:
    action = watcher.settings.on_finding
    return action == "raise" or (action != "ignore" and key not in watcher.reported)


def _row(
    described: Described, harness: Boundary | None, *, late: bool
) -> tuple[CallRow, Site | None]:
    """What happens here, and the line that mixes if one does."""
    holds = context.open_here(late=late)
    if harness is not None:
        found = harness.counted(holds, sys._getframe(1))
    else:
        hold = context.deciding(holds)
        found = None if hold is None else _counted(hold)
    path = context.call_path(sys._getframe(1), None if found is None else found.hold)
    if harness is not None:
        path = harness.cut(path)
    if found is None:
        return CallRow(_sites(path), described.kind, described.target, "free"), None
    hold = found.hold
    state: State = "held" if found.transaction is None else "transaction"
    place = _place(path, found.path)
    row = CallRow(
        place.path,
        described.kind,
        described.target,
        state,
        engine=hold.engine,
        opened=place.opened,
        hold=_sites(hold.path),
        locks=taken(found.locking(), found.path),
        block=place.block,
    )
    return row, place.site


def _counted(hold: context.Hold) -> Counted:
    transaction = hold.transaction
    return Counted(hold, transaction, hold.path if transaction is None else transaction.path)


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
