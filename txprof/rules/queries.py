"""Statements that run again and again where one would do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from txprof.model import N_PLUS_ONE, WRITE_LOOP, Severity, Site, fingerprint
from txprof.recorded import BurstRow, Recorded
from txprof.rules import NOWHERE
from txprof.rules.external_io import relative, shown_path
from txprof.settings import Settings
from txprof.source import is_in_loop

if TYPE_CHECKING:
    from txprof.found import Finding


def judge(recorded: Recorded, settings: Settings) -> list[Finding]:
    """One finding for each line and what it loads or writes."""
    return findings(recorded.bursts, settings)


def findings(bursts: Iterable[BurstRow], settings: Settings) -> list[Finding]:  # noqa: ARG001
    """The findings behind these bursts."""
    groups: dict[tuple[Any, ...], list[BurstRow]] = defaultdict(list)
    for burst in bursts:
        rule = WRITE_LOOP if burst.load.kind == "write" else N_PLUS_ONE
        site = site_of(burst)
        if burst.allowed is None:
            groups[rule, site, burst.load.kind, burst.load.name or burst.statement].append(burst)
    return [_finding(rule, site, rows) for (rule, site, _, _), rows in groups.items()]


def site_of(burst: BurstRow) -> Site:
    """The line that asks each time.

    What touches a relationship or an attribute is the innermost line. A SELECT may go through a
    repository that is called from a loop: then the line in the loop is the one to change.
    """
    path = burst.path
    if not path:
        return NOWHERE
    if burst.load.kind in ("select", "write"):
        for site in path:
            if is_in_loop(site.file, site.line):
                return site
    return path[0]


def _finding(rule: str, site: Site, rows: Sequence[BurstRow]) -> Finding:
    from txprof.found import Finding

    worst = max(rows, key=lambda row: (row.most, row.count, row.path))
    open_here = any(row.state != "free" for row in rows)
    severity: Severity = "info"
    if rule == N_PLUS_ONE:
        severity = "error" if open_here else "warning"
    entries = sum(row.entries for row in rows)
    count = sum(row.count for row in rows)
    message = f"{_what(worst)} {count} times"
    if entries > 1:
        message += f", up to {worst.most} in a call"
    message += _of_what(worst)
    if any(row.state == "transaction" for row in rows):
        message += ", inside a transaction"
    elif open_here:
        message += ", while the connection is held"
    return Finding(
        rule=rule,
        severity=severity,
        message=message,
        site=site,
        count=count,
        seconds=sum(row.seconds for row in rows),
        hint=_hint(worst),
        fingerprint=fingerprint(
            rule, relative(site.file), site.function, worst.load.name or worst.statement
        ),
        details={
            "kind": worst.load.kind,
            "target": worst.load.name or worst.statement,
            "statement": worst.statement,
            "relationship": worst.load.name if worst.load.kind == "relationship" else None,
            "option": worst.load.option,
            "count": count,
            "most": worst.most,
            "distinct": worst.distinct,
            "entries": entries,
            "call": _what(worst),
            "call_path": shown_path(worst.path),
            "state": worst.state,
        },
    )


def _what(row: BurstRow) -> str:
    if row.load.kind in ("relationship", "attribute"):
        return f"{row.load.name} loaded"
    return "one write run" if row.load.kind == "write" else "one query run"


def _of_what(row: BurstRow) -> str:
    if row.load.kind == "write":
        return f": {_abridged(row.statement)}"
    of = {"relationship": "parents", "attribute": "rows"}.get(row.load.kind, "different parameters")
    if row.distinct == 1 and row.most > 1:
        return ", with the same parameters: identical query" + _text_of(row)
    return f", for {row.distinct} {of}" + _text_of(row)


def _text_of(row: BurstRow) -> str:
    return f": {_abridged(row.statement)}" if row.load.kind == "select" else ""


def _hint(row: BurstRow) -> str:
    kind = row.load.kind
    if kind == "write":
        return f"write them in one statement: {_in_one(row.statement)}, or one flush"
    if row.distinct == 1:
        return "load it once and keep it"
    if kind == "relationship":
        return f"load it with the parents: .options({row.load.option})"
    if kind == "attribute":
        if row.load.option:
            return f"load it with the rows: .options({row.load.option})"
        return (
            "keep what was loaded: sessionmaker(expire_on_commit=False), or reload all in one query"
        )
    return "ask once, with all parameters in one IN query"


def _in_one(statement: str) -> str:
    verb = statement.split(None, 1)[0].lower()
    if verb == "delete":
        return "session.execute(delete(...).where(... .in_(ids)))"
    return f"session.execute({'update' if verb == 'update' else 'insert'}(...), rows)"


def _abridged(statement: str) -> str:
    """Without the list of columns: they are seldom what tells it."""
    if statement.startswith("select ") and " from " in statement:
        statement = "select … from " + statement.partition(" from ")[2]
    return statement if len(statement) <= 100 else statement[:99] + "…"
