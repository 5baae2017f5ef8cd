"""Which row an external call is counted in, and whether a rule fires for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from txprof import callsite, collector, context, policy, rules
from txprof.context import Hold
from txprof.model import IN_TRANSACTION, CallPath, Site
from txprof.places import Start, here
from txprof.recorded import CallRow
from txprof.safety import note_once
from txprof.sensors.locks import taken
from txprof.settings import minima
from txprof.visits import Counted

if TYPE_CHECKING:
    from txprof.boundary import Boundary
    from txprof.sensors.external import Described, ExternalCall


Key = tuple[str, Site, str, str]
"""Rule, site, kind and target: what makes a finding the same one."""

News = tuple[collector.Collector, Key, CallRow]
"""A collector that is to be told of a finding, and the call behind it."""


Judged = tuple[list[CallRow], list[News], list[CallRow] | None, bool, bool]
"""The rows that a call counts in, one a watcher; the findings to tell of; the rows for which the
server is to be asked who waits, if any; whether the owner of an open hold may yet come to wait for
it, and whether it may yet take long enough: to be asked again as it ends."""

_NO_NEWS: list[News] = []


def judged(described: Described, *, late: bool, took: float = 0.0) -> Judged:
    """What a call here is.

    `late`: the call is over; `took`: the seconds that it ran by now.
    """
    rows: list[CallRow] = []
    news: list[News] = _NO_NEWS
    due: list[CallRow] | None = None
    undecided = timed = False
    try:
        hold, undecided = context.judging_here(late=late)
        shared: Case | None = None
        for watcher in collector.active():
            if watcher.harness is not None:
                case = _case_inside(described, watcher.harness, late=late)
            else:
                case = shared = shared or _case(described, hold, elsewhere=undecided)
            # Nearly every call is like one before it: then this is all (benchmarks/calls.py).
            if case.rule is None or policy.is_silent():
                row = watcher.settled(case)
                if row is not None:
                    rows.append(row)
                    continue
            timed = timed or bool(watcher.settings.min_ms)
            row, told, asks = _counted_anew(case, described, watcher, took)
            rows.append(row)
            if told is not None:
                news = [*news, told]
            if asks:
                due = [*(due or ()), row]
    except Exception as error:
        note_once("the judgement of an external call", error)
    return rows, news, due, undecided, timed


_ASKED = 1_000
"""Findings of one profile for which a server is asked."""


def is_due(watcher: collector.Collector, key: tuple[object, ...]) -> bool:
    """Whether the server is to be asked for this finding: once each, where the settings say so."""
    if watcher.settings.locks != "inspect" or key[0] in watcher.settings.disable:
        return False
    if key in watcher.inspected or len(watcher.inspected) >= _ASKED:
        return False
    watcher.inspected.add(key)
    return True


def _counted_anew(
    case: Case, described: Described, watcher: collector.Collector, took: float
) -> tuple[CallRow, News | None, bool]:
    """The row that a call counts in, what is to be told of it, and whether the server is asked."""
    row, rule, site = case.row, case.rule, case.site
    settings = watcher.settings
    if rule is None or site is None:
        counted = watcher.call(case, row, None)
        if not settings.min_ms:
            watcher.settle(case, counted)
        return counted, None, False
    news: News | None = None
    asks = False
    allowed = policy.allowed(rule, row, described.host, watcher)
    if allowed is None:
        allowed = case.commented
    if settings.min_ms:
        least = minima(settings.min_ms).get(row.kind, 0.0)
        if allowed is None and took < least:
            allowed = f"shorter than {least * 1e3:g} ms"
    if allowed is None:
        key = (rule, site, row.kind, watcher.redact("target", row.target))
        if _is_news(key, watcher) and not _is_told(described.follows, watcher):
            news = (watcher, key, row)
        asks = rule == IN_TRANSACTION and is_due(watcher, key)
    counted = watcher.call(case, row, allowed)
    # The next such call comes here again as long as it could be told of, or be another's.
    told = asks or settings.min_ms or described.follows is not None
    if news is None and not told and policy.is_silent():
        watcher.settle(case, counted)
    return counted, news, asks


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
        (rules.rule_of(row), rules.site_of(row), row.kind, row.target) in watcher.reported
        for row in rows
    )


def _is_news(key: Key, watcher: collector.Collector) -> bool:
    action = watcher.settings.on_finding
    return action == "raise" or (action != "ignore" and key not in watcher.reported)


# Programs call from the same lines again, with the same things open: what that tells is found out
# once for each case (benchmarks/calls.py).


class Case:
    """What calls to one target from one place are while one thing is open: equal only to itself."""

    __slots__ = ("commented", "kept", "row", "rule", "site")

    def __init__(
        self,
        row: CallRow,
        rule: str | None = None,
        site: Site | None = None,
        commented: str | None = None,
        kept: tuple[object, ...] = (),
    ) -> None:
        self.row = row
        """With nothing counted; never changed."""
        self.rule = rule
        """That it breaks."""
        self.site = site
        """The line that mixes."""
        self.commented = commented
        """Why a comment there lets it be."""
        self.kept = kept
        """What the case is known by the id of."""


_CASES = 1_024
_LOCKING = 8
"""With more statements that lock rows a case is not looked for again: asking would cost more."""

_cases: dict[tuple[object, ...], Case] = {}
"""Those of paths that were walked."""


class _Target:
    """What is known of the calls to one target."""

    __slots__ = ("cases", "start")

    def __init__(self) -> None:
        self.start = Start()
        self.cases: dict[object, Case] = {}


_targets: dict[tuple[object, ...], _Target] = {}
_starts: dict[str, Start] = {}
"""By kind: calls of one kind come through the same libraries, also to a target that is new."""

_made_so_far = 0
"""Cases of all targets, since they were forgotten."""


def _case(described: Described, hold: Hold | None, *, elsewhere: bool) -> Case:
    """What happens here, and the line that mixes if one does.

    `elsewhere`: the owner of an open hold, perhaps of this one, is another task or thread.
    """
    if elsewhere and hold is not None and not hold.is_here():
        path = context.call_path(sys._getframe(1), hold)
        if hold.transaction is not None and len(hold.transaction.locking) > _LOCKING:
            return _case_of(described, hold, path)
        return _case_by_path(described, _counted(hold), path)
    # What it follows would be kept alive.
    what = described if described[3] is None else (*described[:3], None)
    try:
        target = _targets[what]
    except KeyError:
        target = _new_target(what, described.kind)
    place = here(target.start)
    key: object
    if hold is None:
        key = place
    elif (transaction := hold.transaction) is None:
        key = (place, hold.engine, id(hold.path))
    elif not (locking := transaction.locking):
        key = (place, hold.engine, id(hold.path), id(transaction.path))
    elif len(locking) > _LOCKING:
        return _case_of(described, hold, place.path)
    else:
        key = (
            *(place, hold.engine, id(hold.path), id(transaction.path)),
            *(*locking, *map(id, locking.values())),
        )
    case = target.cases.get(key)
    if case is None:
        global _made_so_far
        _made_so_far += 1
        if _made_so_far > _CASES:
            _targets.clear()
            _made_so_far = 1
        case = target.cases[key] = _case_of(described, hold, place.path)
        _starts[described.kind] = target.start
    return case


def _new_target(what: tuple[object, ...], kind: str) -> _Target:
    for known_so_far in (_starts, _targets):
        if len(known_so_far) >= _CASES:
            known_so_far.clear()
    target = _targets[what] = _Target()
    known = _starts.get(kind)
    if known is not None:
        target.start.first = known.first
    return target


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
    from txprof.source import enclosing_with  # nothing mixes as a rule

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
    site = rules.site_of(row)
    openers = [frame.line for frame in row.opened if frame[::2] == site[::2]]
    row.block = enclosing_with(site.file, site.line, openers[0]) if openers else None
    rule = rules.rule_of(row)
    commented = None if rule is None else policy.commented(rule, row)
    kept = (hold.path, found.path, *(path for _, path in locking))
    return Case(row, rule, site, commented, kept)


def _sites(path: callsite.Path) -> CallPath:
    return tuple(Site(*frame) for frame in path)
