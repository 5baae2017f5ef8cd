"""What one thread counts for one profile, and how two such parts are added up."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from typing import Any, TypeVar

from txprof.callsite import Frame
from txprof.entries import COMPACTED, Rows, add_rows
from txprof.pooled import HoldRow, PoolRow
from txprof.recorded import BurstRow, CallRow, CheckoutRow, IdleRow, TransactionRow

Row = TypeVar("Row", BurstRow, IdleRow, TransactionRow, CallRow, CheckoutRow, PoolRow, HoldRow)


class Part:
    """One thread's aggregates."""

    __slots__ = (
        "bursts",
        "calls",
        "cases",
        "checkouts",
        "holds",
        "idle",
        "limit",
        "pools",
        "settled",
        "statements",
        "transactions",
    )

    def __init__(self) -> None:
        self.statements: Rows = {}
        self.limit = COMPACTED
        self.bursts: dict[tuple[Any, ...], BurstRow] = {}
        self.idle: dict[tuple[Any, ...], IdleRow] = {}
        self.transactions: dict[tuple[Any, ...], TransactionRow] = {}
        self.calls: dict[tuple[Any, ...], CallRow] = {}
        self.cases: dict[tuple[Hashable, str | None], CallRow] = {}
        """The rows of `calls`, by what is quicker to compare than a call path."""
        self.settled: dict[Hashable, CallRow] = {}
        """Those of cases about which nothing is left to be found out, or told."""
        self.pools: dict[str, PoolRow] = {}
        self.holds: dict[tuple[str, Frame | None], HoldRow] = {}
        self.checkouts: dict[tuple[Any, ...], CheckoutRow] = {}


def fold(into: Part, part: Part) -> None:
    add_rows(into.statements, part.statements)
    add_by_key(into.bursts, part.bursts)
    add_by_key(into.idle, part.idle)
    add_by_key(into.transactions, part.transactions)
    add_by_key(into.calls, part.calls)
    add_by_key(into.pools, part.pools)
    add_by_key(into.holds, part.holds)
    add_by_key(into.checkouts, part.checkouts)


def add_by_key(into: dict[Any, Row], rows: dict[Any, Row]) -> None:
    for key, row in list(rows.items()):
        if key in into:
            into[key].add(row)
        else:
            into[key] = row


def by_key(rows: list[Row]) -> dict[Any, Row]:
    return {row.key(): replace(row) for row in rows}
