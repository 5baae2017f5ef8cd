"""Which row an external call is counted in, and whether a rule fires for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from txprof import callsite, collector, context, policy
from txprof.context import Hold
from txprof.model import CallPath, Site
from txprof.places import Start, here
from txprof.recorded import CallRow
from txprof.rules import external_io
from txprof.safety import note_once
from txprof.sensors.inspecting import is_due
from txprof.sensors.locks import taken
from txprof.settings import minima
from txprof.source import enclosing_with
from txprof.visits import Counted

if TYPE_CHECKING:
    from txprof.boundary import Boundary
    from txprof.sensors.external import Described, ExternalCall


Key = tuple[str, Site, str, str]
"""Rule, site, kind and target: what makes a finding the same one."""

News = tuple[collector.Collector, Key, CallRow]
"""A collector that is to be told of a finding, and the call behind it."""


Judged = tuple[list[CallRow], list[News], list[CallRow]]
"""The rows that a call counts in, one a watcher; the findings to tell of; the rows for which the
server is to be asked who waits."""


def judged(described: Described, *, late: bool, took: float = 0.0) -> Judged:
    """What a call here is.

    `late`: the call is over; `took`: the seconds that it ran by now.
    """
    rows: list[CallRow] = []
    news: list[News] = []
    due: list[CallRow] = []
    try:
        shared: Case | None = None
        for watcher in collector.active():
            if watcher.harness is not None:
                case = _case_inside(described, watcher.harness, late=late)
            else:
                case = shared = shared or _case(described, late=late)
            row, rule, site = case.row, case.rule, case.site
            asks = False
            allowed = None
            if rule is not None and site is not None:
                allowed = policy.allowed(rule, row, described.host, watcher)
                if allowed is None:
                    allowed = case.commented
                if watcher.settings.min_ms:
                    least = minima(watcher.settings.min_ms).get(row.kind, 0.0)
                    if allowed is None and took < least:
                        allowed = f"shorter than {least * 1e3:g} ms"
                if allowed is None:
                    key = (rule, site, row.kind, watcher.redact("target", row.target))
                    if _is_news(key, watcher) and not _is_told(described.follows, watcher):
                        news.append((watcher, key, row))
                    asks = rule == external_io.IN_TRANSACTION and is_due(watcher, key)
            rows.append(watcher.call(case, row, allowed))
            due += rows[-1:] if asks else []
    except Exception as error:
        note_once("the judgement of an external call", error)
    return rows, news, due


def minimum(kind: str, above: float) -> float | None:
    """The next number of seconds at which a call of this kind is to be judged again."""
    found: float | None = None
    for watcher in collector.active():
        if watcher.settings.min_ms:
            least = minima(watcher.settings.min_ms).get(kind, 0.0)
            if least > above and (found is None or least < found):
                found = least
    return found


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


# Programs call from the same lines again, with the same things open: what that tells is found out
# once for each case (benchmarks/calls.py).


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What calls to one target from one place are while one thing is open: equal only to itself."""

    row: CallRow
    """With nothing counted; never changed."""
    rule: str | None = None
    """That it breaks."""
    site: Site | None = None
    """The line that mixes."""
    commented: str | None = None
    """Why a comment there lets it be."""
    kept: tuple[object, ...] = ()
    """What the case is known by the id of."""


_CASES = 1_024
_LOCKING = 8
"""With more statements that lock rows a case is not looked for again: asking would cost more."""

_cases: dict[tuple[object, ...], Case] = {}
_starts: dict[str, Start] = {}
"""By kind: calls of one kind come through the same libraries."""


def _case(described: Described, *, late: bool) -> Case:
    """What happens here, and the line that mixes if one does."""
    hold = context.deciding(context.open_here(late=late))
    if hold is not None and not hold.is_here():
        path = context.call_path(sys._getframe(1), hold)
        if hold.transaction is not None and len(hold.transaction.locking) > _LOCKING:
            return _case_of(described, hold, path)
        return _case_by_path(described, _counted(hold), path)
    start = _starts.get(described.kind)
    if start is None:
        if len(_starts) >= _CASES:
            _starts.clear()
        start = _starts[described.kind] = Start()
    place = here(start)
    transaction = None if hold is None else hold.transaction
    what = described[:3]  # without what it follows, which would be kept alive
    key: tuple[object, ...]
    if hold is None:
        key = (*what, place)
    elif transaction is None:
        key = (*what, place, hold.engine, id(hold.path))
    else:
        locking = transaction.locking
        key = (*what, place, hold.engine, id(hold.path), id(transaction.path))
        if len(locking) > _LOCKING:
            return _case_of(described, hold, place.path)
        if locking:
            key += (*locking, *map(id, locking.values()))
    case = _cases.get(key)
    return _known(key, _case_of(described, hold, place.path)) if case is None else case


def _case_inside(described: Described, harness: Boundary, *, late: bool) -> Case:
    """The same, of what is the application's and not the harness's around it."""
    found = harness.counted(context.open_here(late=late), sys._getframe(1))
    hold = None if found is None else found.hold
    path = harness.cut(context.call_path(sys._getframe(1), hold))
    return _case_by_path(described, found, path)


def _case_by_path(described: Described, found: Counted | None, path: callsite.Path) -> Case:
    """The case of a path that was walked: it is known by what is in it."""
    key: tuple[object, ...] = (*described[:3], path)
    if found is not None:
        state = found.transaction is None
        key += (state, found.hold.engine, found.hold.path, found.path, *found.locking())
    case = _cases.get(key)
    return _known(key, _made(described, found, path)) if case is None else case


def _known(key: tuple[object, ...], case: Case) -> Case:
    if len(_cases) >= _CASES:
        _cases.clear()
    _cases[key] = case
    return case


def _case_of(described: Described, hold: Hold | None, path: callsite.Path) -> Case:
    return _made(described, None if hold is None else _counted(hold), path)


def _counted(hold: Hold) -> Counted:
    transaction = hold.transaction
    opened = hold.path if transaction is None else transaction.path
    return Counted(hold, transaction, opened)


def _made(described: Described, found: Counted | None, path: callsite.Path) -> Case:
    if found is None:
        return Case(CallRow(_sites(path), described.kind, described.target, "free"))
    hold, locking = found.hold, found.locking()
    row = CallRow(
        _sites(path),
        described.kind,
        described.target,
        "held" if found.transaction is None else "transaction",
        engine=hold.engine,
        opened=_sites(found.path),
        hold=_sites(hold.path),
        locks=taken(locking, found.path),
    )
    site = external_io.site_of(row)
    openers = [frame.line for frame in row.opened if frame[::2] == site[::2]]
    row.block = enclosing_with(site.file, site.line, openers[0]) if openers else None
    rule = external_io.rule_of(row)
    commented = None if rule is None else policy.commented(rule, row)
    kept = (hold.path, found.path, *(path for _, path in locking))
    return Case(row, rule, site, commented, kept)


def _sites(path: callsite.Path) -> CallPath:
    return tuple(Site(*frame) for frame in path)
