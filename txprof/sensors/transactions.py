"""Transactions that sat without a statement, or stayed open for long."""

from __future__ import annotations

from types import FrameType

from txprof import callsite, collector, context, policy, visits
from txprof.callsite import Path
from txprof.clock import clock
from txprof.context import Gap, Hold, Transaction
from txprof.entries import Entry, sites
from txprof.model import IDLE, LONG, Site
from txprof.recorded import CallRow, IdleRow, TransactionRow
from txprof.sensors import exemplars
from txprof.sensors.locks import taken
from txprof.visits import is_harness_own


def sat(transaction: Transaction, until: float, frame: FrameType) -> None:
    """The transaction had no statement until now; what ends that is sent from `frame`."""
    before, after = _before(transaction), callsite.path(frame)
    boundary = visits.current
    is_harness = boundary is not None and not boundary.goes_on(transaction, frame)
    if boundary is not None:
        before, after = boundary.cut(before), boundary.cut(after)
    transaction.sat(until, before, after, is_harness=is_harness)


def _before(transaction: Transaction) -> Path:
    """Where the last statement was sent from."""
    if transaction.key is None:
        return transaction.path
    entries = list(collector.entries())
    for visit in (transaction.by, *transaction.users):
        if isinstance(visit, visits.Visit):
            entries += visit.entries.values()
    for entry in entries:
        for rows in list(entry.parts.values()):
            row = rows.get(transaction.key)
            if row is not None:
                return row.path
    return ()


def called(row: CallRow, target: str, since: float, seconds: float) -> None:
    """An external call was made, or went on, here: in what is open here.

    `target` is the row's, as nobody redacted it.
    """
    for hold in context.open_here(late=True):
        hold.external_seconds += seconds
        transaction = hold.transaction
        if transaction is not None:
            # Sites are frames, with names.
            transaction.called(row.path, seconds, allowed=row.allowed is not None)
            exemplars.called(transaction, row, target, since, since + seconds)


def ended(hold: Hold, transaction: Transaction) -> None:
    """Tell those who watch, if it is worth it: most are short, and cost nothing here."""
    seconds = clock.now() - transaction.since
    if seconds < context.GAP:
        return
    opened = sites(transaction.path)
    for entry in collector.entries():
        harness = entry.collector.harness is not None
        if harness and is_harness_own(transaction):
            continue
        settings = entry.collector.settings
        for gap in transaction.gaps:
            if gap.seconds * 1e3 >= settings.idle_ms and not (harness and gap.is_harness):
                entry.found_idle(_idle_row(hold, transaction, gap, entry))
        own = seconds - transaction.harness_seconds if harness else seconds
        if own * 1e3 >= settings.long_transaction_ms:
            entry.found_long(
                TransactionRow(
                    opened,
                    hold.engine,
                    taken(transaction.locking.items(), transaction.path),
                    transaction.inspected,
                    policy.allowed_here(LONG, entry.collector),
                    count=1,
                    seconds=own,
                    longest=own,
                    statement_seconds=transaction.statement_seconds,
                    external_seconds=transaction.external_seconds,
                )
            )


def _idle_row(hold: Hold, transaction: Transaction, gap: Gap, entry: Entry) -> IdleRow:
    before, after = _where(gap)
    return IdleRow(
        sites(gap.after),
        sites(transaction.path),
        hold.engine,
        before,
        after,
        sites(gap.call),
        taken(gap.locking, transaction.path),
        transaction.inspected,
        policy.allowed_here(IDLE, entry.collector),
        count=1,
        seconds=gap.seconds,
        longest=gap.seconds,
        external_seconds=min(gap.external_seconds, gap.seconds),
    )


def _where(gap: Gap) -> tuple[Site | None, Site | None]:
    """The lines between which it sat, in the innermost function that both statements came from."""
    before, after = gap.before, gap.after
    found: tuple[Site | None, Site | None] = (None, None)
    for one, other in zip(reversed(before), reversed(after), strict=False):
        if one[0] != other[0] or one[2] != other[2]:
            break
        found = (Site(*one), Site(*other))
        if one[1] != other[1]:
            break  # further in they are different calls
    if found[1] is None and after:
        return None, Site(*after[0])
    return found
