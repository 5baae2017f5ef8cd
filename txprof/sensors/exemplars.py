"""Transactions that end: the slowest are kept whole, for each profile that watched them."""

from __future__ import annotations

import functools
import os
import platform
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from txprof import collector, context
from txprof.clock import clock
from txprof.collector import Collector
from txprof.context import Hold, Transaction
from txprof.entries import Entry, sites
from txprof.exemplars import ExemplarRow
from txprof.recorded import CallRow

FAILED = "failed"
"""How a transaction ended whose COMMIT or ROLLBACK raised."""

_LONGEST = 1_000
"""Characters kept of a statement's text."""

_late: deque[tuple[Hold, Transaction, str, float]] = deque(maxlen=100)
"""Transactions whose connection went away around them, of which nobody was told yet."""


def called(transaction: Transaction, row: CallRow, target: str, since: float, until: float) -> None:
    """An external call was made, or went on, in it."""
    if len(transaction.calls) < context.EVENTS:
        transaction.calls.append((since, until, row, collector.entries(), target))
    else:
        transaction.dropped += 1


def ended(hold: Hold, transaction: Transaction, outcome: str, since: float) -> None:
    """By COMMIT or ROLLBACK, sent from `since` on."""
    if _late:
        tell_late()
    if transaction.finishing is not None:
        finishing, since = transaction.finishing
        outcome = outcome if outcome == FAILED else finishing
    _keep(hold, transaction, outcome, clock.now(), collector.entries(), since)


def ended_with_hold(hold: Hold, transaction: Transaction, outcome: str) -> None:
    """Its connection went away around it: told later.

    It may be the garbage collector that gives it back: in any context, while locks are held.
    """
    _late.append((hold, transaction, outcome, clock.now()))


def tell_late() -> None:
    """Keep those of which nobody was told."""
    while _late:
        try:
            hold, transaction, outcome, until = _late.popleft()
        except IndexError:  # another thread took it
            return
        _keep(hold, transaction, outcome, until, ())


def forget_all() -> None:
    """Tell nobody."""
    _late.clear()


def _keep(
    hold: Hold,
    transaction: Transaction,
    outcome: str,
    until: float,
    here: Iterable[Entry],
    finishing: float | None = None,
) -> None:
    """For those who watch `here`, and those who watched an event of it. Most are not slow."""
    since = transaction.since
    watching = {*here}.union(*transaction.ran[3::5], *(call[3] for call in transaction.calls))
    watchers = {entry.collector for entry in watching}
    admitting = [watcher for watcher in watchers if watcher.slowest.admits(until - since)]
    if not admitting:
        return
    row = ExemplarRow(
        engine=hold.engine,
        process=_process(os.getpid()),
        connection=hold.connection,
        owner=hold.owner(),
        started_at=clock.wall() - (clock.now() - since),
        seconds=until - since,
        outcome=outcome,
        finishing=None if finishing is None else _micros(finishing - since),
        hold_start=_micros(hold.since - since),
        wait_seconds=hold.waited,
        opened=sites(transaction.path),
        hold=sites(hold.path),
        dropped=transaction.dropped,
    )
    for watcher in admitting:
        seen = _with_events(row, transaction, watcher)
        watcher.slowest.add(seen, since, hold.end)


@functools.cache
def _process(pid: int) -> str:
    return f"{platform.node()}:{pid}"


def _micros(seconds: float) -> float:
    """Recordings need not tell less than a microsecond."""
    return round(seconds, 6)


class _Index(dict[Any, int]):
    """What repeats -> its place in the list of what there is."""

    def __missing__(self, thing: Any) -> int:
        self[thing] = place = len(self)
        return place


def _with_events(row: ExemplarRow, transaction: Transaction, watcher: Collector) -> ExemplarRow:
    """The row, with what one collector saw in it."""
    start = transaction.since
    ran = transaction.ran
    paths, texts = _Index(), _Index()
    events = [
        (since, until, key, failed)
        for since, until, key, entries, failed in zip(*(ran[i::5] for i in range(5)), strict=False)
        if _watched(watcher, entries)
    ]
    entries = {entry for part in ran[3::5] for entry in part if entry.collector is watcher}
    found = watcher.paths_of(entries, {key for _, _, key, _ in events})
    places = {key: sites(path) for key, path in found.items()}
    statements = [
        (
            _micros(since - start),
            _micros(until - start),
            paths[places[key]],
            texts[_cut(watcher.redact("statement", key[0]))],
            failed,
        )
        for since, until, key, failed in events
    ]
    calls = [
        (
            _micros(since - start),
            _micros(until - start),
            paths[call.path],
            call.kind,
            texts[watcher.redact("target", target)],
            call.allowed,
        )
        for since, until, call, entries, target in list(transaction.calls)
        if _watched(watcher, entries)
    ]
    return replace(
        row, paths=list(paths), texts=list(texts), statements=statements, external_calls=calls
    )


def _watched(watcher: Collector, entries: Iterable[Entry]) -> bool:
    return any(entry.collector is watcher for entry in entries)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
